//! Staging, production in several regions, and a key that signs.

use std::collections::BTreeMap;
use std::process::Command;

use oci::{AttachedTag, Digest};
use registry::{Config, Server};
use serde_json::Value;

use crate::support::{Desk, Ran, base64, kpromo, put, run};
pub(crate) use crate::support::{repository_path as path, sample};

/// The number of regions. The first one is the canonical one.
pub(crate) const REGIONS: usize = 5;
/// The number of shards.
pub(crate) const SHARDS: usize = 4;
/// The images of staging: name, seed and tags.
const IMAGES: [(&str, u64, &[&str]); 4] =
    [("one", 1, &["v1", "latest"]), ("two", 2, &["v1"]), ("deep/three", 3, &["v3"]), ("untagged", 4, &[])];

pub(crate) struct Scene {
    pub(crate) staging: Server,
    pub(crate) regions: Vec<Server>,
    pub(crate) desk: Desk,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let config = || Config { google_listing: true, request_log: 100_000, ..Config::default() };
        let mut regions = Vec::new();
        for _ in 0..REGIONS {
            regions.push(Server::start(config()).await.unwrap());
        }
        let this = Self { staging: Server::start(config()).await.unwrap(), regions, desk: Desk::new() };
        this.desk.key_pair();
        let canonical = this.regions[0].host();
        this.desk.write(
            "config.yaml",
            &format!(
                "production: {{ canonicalHost: '{canonical}', path: prod, reference: registry.example }}\n"
            ),
        );
        for (name, seed, _) in IMAGES {
            put(&this.staging, &format!("staging/{name}"), &sample(seed), &[]).await;
        }
        let images: Vec<_> = IMAGES.map(|(name, seed, tags)| (name, sample(seed).digest(), tags)).into();
        let destinations: Vec<String> =
            this.regions.iter().map(|region| format!("{}/prod", region.host())).collect();
        this.desk.manifest(&format!("{}/staging", this.staging.host()), &destinations, &images);
        this
    }

    /// Returns `kpromo cip` with the manifest and the key.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let mut command = self.unsigned(flags);
        command.arg("--signing-key").arg(self.desk.path("cosign.key"));
        command
    }

    /// Returns `kpromo cip` with the manifest and no choice of a signer.
    pub(crate) fn unsigned(&self, flags: &[&str]) -> Command {
        let mut command = kpromo(None);
        command.arg("cip").arg("--config").arg(self.desk.path("config.yaml"));
        command.arg("--manifest").arg(self.desk.path("manifest.yaml")).args(flags);
        command
    }

    /// Returns the confirmed run of one shard, as a pod of an Indexed Job runs it.
    pub(crate) fn shard(&self, index: usize) -> Command {
        let mut command = self.command(&["--confirm"]);
        command.env("KPROMO_SHARDS", SHARDS.to_string()).env("JOB_COMPLETION_INDEX", index.to_string());
        command.arg("--report").arg(self.desk.path(&format!("report-{index}.json")));
        command
    }

    /// Returns the regions of a shard, by their positions.
    pub(crate) fn regions_of(&self, index: usize) -> Vec<usize> {
        let mut command = self.command(&["--parse-only"]);
        command.args(["--shard", &format!("{index}/{SHARDS}")]);
        let ran = succeeded(run(command));
        let line = ran.stdout.lines().find(|line| line.starts_with("shard ")).unwrap().to_owned();
        let is_named = |server: &Server| line.contains(server.host().as_str());
        (0..REGIONS).filter(|region| is_named(&self.regions[*region])).collect()
    }

    /// Returns the shard that owns a region.
    pub(crate) fn owner_of(&self, region: usize) -> usize {
        (0..SHARDS).find(|index| self.regions_of(*index).contains(&region)).unwrap()
    }

    /// Returns the content of a region: images with their tags, signatures and statements. Two scenes in which the same was
    /// promoted have the same content: names of hosts and times are left out.
    pub(crate) async fn content(&self, region: usize) -> Vec<String> {
        let store = self.regions[region].store();
        let mut content = Vec::new();
        for repository in store.repositories() {
            let mut signatures: BTreeMap<Digest, String> = BTreeMap::new();
            for (tag, digest) in store.tags(&repository) {
                match AttachedTag::parse(&tag) {
                    Some(_) => drop(signatures.insert(digest, tag.to_string())),
                    None => content.push(format!("{repository}:{tag} is {digest}")),
                }
            }
            for digest in store.manifests(&repository) {
                let manifest = store.manifest(&repository, &digest).await.unwrap().unwrap();
                let parsed: Value = serde_json::from_slice(manifest.bytes()).unwrap();
                let blobs = || parsed["layers"].as_array().into_iter().flatten();
                let line = match (signatures.get(&digest), parsed.get("subject")) {
                    (None, None) => format!("{repository} has {digest}"),
                    (Some(tag), _) => {
                        let payloads: Vec<&str> =
                            blobs().map(|layer| layer["digest"].as_str().unwrap()).collect();
                        format!("{repository}:{tag} holds {payloads:?}")
                    }
                    (None, Some(subject)) => {
                        let bundle = blobs().next().unwrap()["digest"].as_str().unwrap().parse().unwrap();
                        let bundle = store.blob(&repository, &bundle).await.unwrap().unwrap();
                        let statement = statement(&serde_json::from_slice(&bundle).unwrap());
                        format!("{repository} states of {}: {statement}", subject["digest"])
                    }
                };
                content.push(self.anonymous(line));
            }
        }
        content.sort();
        content
    }

    /// Replaces what differs between two scenes.
    fn anonymous(&self, mut text: String) -> String {
        for (number, region) in self.regions.iter().enumerate() {
            text = text.replace(region.host().as_str(), &format!("region-{number}"));
        }
        let text = text.replace(self.staging.host().as_str(), "staging");
        text.replace(self.desk.path("").to_str().unwrap(), "")
    }

    /// Returns the content of all regions.
    pub(crate) async fn contents(&self) -> Vec<Vec<String>> {
        let mut contents = Vec::new();
        for region in 0..REGIONS {
            contents.push(self.content(region).await);
        }
        contents
    }

    /// Returns how often each tag of a region was written, by repository and tag.
    pub(crate) fn tag_writes(&self, region: usize) -> BTreeMap<String, usize> {
        let is_tag = |target: &str| target.contains("/manifests/") && !target.contains("/manifests/sha256:");
        self.counted(&self.regions[region], "PUT", is_tag)
    }

    /// Returns how often each blob of staging was read.
    pub(crate) fn blob_reads(&self) -> BTreeMap<String, usize> {
        self.counted(&self.staging, "GET", |target| target.contains("/blobs/"))
    }

    fn counted(
        &self,
        server: &Server,
        method: &str,
        is_counted: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let log = server.tally().log();
        for request in log.iter().filter(|request| request.method == method && is_counted(&request.target)) {
            *counts.entry(request.target.clone()).or_default() += 1;
        }
        counts
    }

    /// Panics unless a check finds every signature and record.
    pub(crate) fn assert_signed(&self) {
        let mut command = kpromo(None);
        command.arg("sigcheck").arg("--config").arg(self.desk.path("config.yaml"));
        command.arg("--verification-key").arg(self.desk.path("cosign.pub")).args(["--output", "json"]);
        let ran = succeeded(run(command));
        let checked: Value = serde_json::from_str(&ran.stdout).unwrap();
        let images = checked["images"].as_array().unwrap();
        assert!(images.len() >= 3 && images.iter().all(|image| image["outcome"] == "ok"), "{}", ran.stdout);
    }
}

/// Returns the statement in a bundle, without its time.
fn statement(bundle: &Value) -> String {
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let mut statement: Value = serde_json::from_str(&base64(payload)).unwrap();
    if let Some(predicate) = statement["predicate"].as_object_mut() {
        predicate.remove("timestamp");
        // A run has seen the image in place only in its own regions.
        predicate.remove("destinations");
    }
    statement.to_string()
}

/// Panics unless a run has ended with exit code 0.
pub(crate) fn succeeded(ran: Ran) -> Ran {
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    ran
}
