//! A staging and a production registry, thin manifests in a repository, and a key that signs.

use std::path::{Path, PathBuf};
use std::process::Command;

use oci::Digest;
use registry::sample::Sample;
use registry::{Config, Server};
use serde_json::Value;

use crate::support::{Desk, Ran, kpromo, put, run, schema};
pub(crate) use crate::support::{repository_path as path, sample};

pub(crate) struct Scene {
    pub(crate) staging: Server,
    pub(crate) production: Server,
    pub(crate) desk: Desk,
}

impl Scene {
    /// Creates registries, and an image `app:v1` that is in both.
    pub(crate) async fn new(production: Config) -> Self {
        let this = Self {
            staging: crate::support::google().await,
            production: Server::start(production).await.unwrap(),
            desk: Desk::new(),
        };
        this.desk.key_pair();
        let host = this.production.host();
        this.desk.write(
            "config.yaml",
            &format!("production: {{ canonicalHost: '{host}', path: prod, reference: registry.example }}\n"),
        );
        this.promoted("app", &sample(1), &["v1"]).await;
        this.name_images(&[("app", sample(1).digest(), "v1")]);
        this
    }

    /// Puts an image into staging and, unsigned, into production.
    pub(crate) async fn promoted(&self, name: &str, sample: &Sample, tags: &[&str]) {
        put(&self.staging, &format!("staging/{name}"), sample, &[]).await;
        put(&self.production, &format!("prod/{name}"), sample, tags).await;
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.desk.path("k8s")
    }

    /// Writes thin manifests that name images, each with its tag.
    pub(crate) fn name_images(&self, images: &[(&str, Digest, &str)]) {
        let (staging, production) = (self.staging.host(), self.production.host());
        let registries =
            format!("registries:\n- {{ name: {staging}/staging, src: true }}\n- name: {production}/prod\n");
        self.desk.write("k8s/manifests/project/promoter-manifest.yaml", &registries);
        let images: String = images
            .iter()
            .map(|(name, digest, tag)| format!("- name: {name}\n  dmap:\n    \"{digest}\": [\"{tag}\"]\n"))
            .collect();
        self.desk.write("k8s/images/project/images.yaml", &images);
    }

    /// Returns a command with the configuration and the key.
    pub(crate) fn command(&self, name: &str, flags: &[&str]) -> Command {
        let mut command = kpromo(None);
        command.arg(name).arg("--config").arg(self.desk.path("config.yaml"));
        command.arg("--signing-key").arg(self.desk.path("cosign.key")).args(flags);
        command
    }

    pub(crate) fn sigcheck(&self, flags: &[&str]) -> Ran {
        run(self.command("sigcheck", flags))
    }

    /// Runs `kpromo sigcheck` with the manifests.
    pub(crate) fn with_manifests(&self, flags: &[&str]) -> Ran {
        let directory = self.manifests();
        self.sigcheck(&[&["--thin-manifest-dir", directory.to_str().unwrap()], flags].concat())
    }

    pub(crate) fn json(&self, flags: &[&str]) -> (i32, Value) {
        let ran = self.sigcheck(&[&["--output", "json"], flags].concat());
        let document = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
        schema::is_strict("sigcheck", &document);
        (ran.code, document)
    }

    pub(crate) fn writes(&self) -> u64 {
        let writes = self.production.tally().snapshot().writes();
        self.production.tally().reset();
        writes
    }
}

/// Runs git in a directory.
pub(crate) fn git(directory: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(directory)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments);
    let output = git.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
