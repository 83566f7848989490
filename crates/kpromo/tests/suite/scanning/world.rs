//! Staging with an index of two platforms and an image, production, and a server of occurrences.

use oci::Digest;
use registry::Server;
use registry::sample::{Recipe, Sample};
use serde_json::{Value, json};
use testkit::Occurrences;

use crate::support::{Desk, Ran, google, kpromo, put, run};

pub(crate) struct World {
    pub(crate) staging: Server,
    pub(crate) production: Server,
    pub(crate) desk: Desk,
    pub(crate) occurrences: Occurrences,
    pub(crate) index: Sample,
    pub(crate) image: Sample,
}

/// The project of all images: the first part of their path.
pub(crate) const PROJECT: &str = "staging";

impl World {
    pub(crate) async fn new() -> Self {
        let (staging, production, desk) = (google().await, google().await, Desk::new());
        let index = Recipe { seed: 1, ..Recipe::default() }.index(2);
        let image = Recipe { seed: 2, ..Recipe::default() }.image();
        put(&staging, "staging/one", &index, &[]).await;
        put(&staging, "staging/two", &image, &[]).await;
        desk.manifest(
            &format!("{}/staging", staging.host()),
            &[format!("{}/prod", production.host()), format!("{}/mirror", production.host())],
            &[("one", index.digest(), &["v1", "latest"]), ("two", image.digest(), &["v1"])],
        );
        Self { staging, production, desk, occurrences: Occurrences::start(), index, image }
    }

    /// Returns the image manifests: the two platforms, and the image.
    pub(crate) fn parts(&self) -> [(&'static str, Digest); 3] {
        let [first, second, _] = &self.index.manifests[..] else { panic!("an index of two platforms") };
        [("one", first.digest()), ("one", second.digest()), ("two", self.image.digest())]
    }

    /// Returns the name of a manifest in occurrences.
    pub(crate) fn resource(&self, part: usize) -> String {
        let (name, digest) = self.parts()[part];
        format!("https://{}/staging/{name}@{digest}", self.staging.host())
    }

    /// Lets the scans of all image manifests have finished.
    pub(crate) fn scan_all(&self) {
        (0..3).for_each(|part| self.occurrences.add_scan(PROJECT, &self.resource(part), "FINISHED_SUCCESS"));
    }

    pub(crate) fn find(&self, part: usize, id: &str, severity: &str, fixed: Option<&str>) {
        self.occurrences.add_vulnerability(PROJECT, &self.resource(part), id, severity, fixed);
    }

    /// Runs `kpromo cip` without signatures, with a report.
    pub(crate) fn cip(&self, flags: &[&str]) -> Ran {
        let mut command = kpromo(None);
        command.args(["cip", "--sign=false", "--manifest"]).arg(self.desk.path("manifest.yaml"));
        command.arg("--report").arg(self.desk.path("report.json")).args(flags);
        run(command)
    }

    /// Runs `kpromo cip` with the server of occurrences as the source.
    pub(crate) fn ask(&self, flags: &[&str]) -> Ran {
        let url = self.occurrences.url();
        self.cip(&[&["--vuln-source", &url], flags].concat())
    }

    pub(crate) fn report(&self) -> Value {
        self.desk.json("report.json")
    }

    /// Writes a policy and returns its path.
    pub(crate) fn policy(&self, text: &str) -> String {
        self.desk.write("policy.yaml", text).display().to_string()
    }

    /// Returns the number of requests to production, those that write included.
    pub(crate) fn production_requests(&self) -> u64 {
        self.production.tally().snapshot().total()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.production.tally().snapshot().writes()
    }

    /// Returns a report of Trivy about an image manifest, with these vulnerabilities: identifier and severity.
    pub(crate) fn trivy(&self, part: usize, found: &[(&str, &str)]) -> Value {
        let (name, digest) = self.parts()[part];
        let vulnerabilities: Vec<Value> = found
            .iter()
            .map(|(id, severity)| {
                json!({
                    "VulnerabilityID": id, "PkgName": "openssl", "InstalledVersion": "1", "FixedVersion": "2",
                    "PkgIdentifier": { "PURL": "pkg:apk/alpine/openssl@1" }, "Severity": severity,
                })
            })
            .collect();
        json!({
            "SchemaVersion": 2, "CreatedAt": jiff::Timestamp::now().to_string(), "ArtifactType": "container_image",
            "ArtifactName": format!("{}/staging/{name}", self.staging.host()),
            "Metadata": { "RepoDigests": [format!("{}/staging/{name}@{digest}", self.staging.host())] },
            "Results": [{ "Target": "alpine", "Class": "os-pkgs", "Vulnerabilities": vulnerabilities }],
        })
    }
}
