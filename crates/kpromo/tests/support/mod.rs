//! Running the binary as a person would.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use registry::sample::Sample;
use tempfile::TempDir;

/// A folder to write manifests and outputs in.
pub struct Desk {
    folder: TempDir,
}

/// What the binary said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a plain manifest: from a registry, to others, these images with these tags.
    pub fn manifest(
        &self,
        source: &str,
        destinations: &[String],
        images: &[(&str, oci::Digest, &[&str])],
    ) -> PathBuf {
        let mut text = format!("registries:\n- name: {source}\n  src: true\n");
        destinations.iter().for_each(|destination| text.push_str(&format!("- name: {destination}\n")));
        text.push_str("images:\n");
        for (name, digest, tags) in images {
            text.push_str(&format!("- name: {name}\n  dmap:\n    \"{digest}\": {tags:?}\n"));
        }
        self.write("manifest.yaml", &text)
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

/// The binary, which sees no configuration but that of `docker_config`.
pub fn kpromo(docker_config: Option<&Path>) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kpromo"));
    command.env_clear();
    #[expect(clippy::disallowed_methods, reason = "git is found on the path of whoever runs the tests")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", path);
    if let Some(folder) = docker_config {
        command.env("DOCKER_CONFIG", folder);
    }
    command
}

/// Runs the binary to its end.
pub fn run(mut command: Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
}

/// `kpromo cip` with flags. It signs nothing unless they say so: there is nobody to sign as.
pub fn cip(flags: &[&str]) -> Said {
    let mut command = kpromo(None);
    command.args(["cip", "--sign=false"]).args(flags);
    run(command)
}

/// Puts an image into an embedded registry.
pub async fn put(server: &registry::Server, repository: &str, sample: &Sample, tags: &[&str]) {
    let tags: Vec<oci::Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    sample.put(server.store(), &repository.parse().unwrap(), &tags).await.unwrap();
}

/// The text that base64 stands for.
pub fn base64(text: &str) -> String {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}
