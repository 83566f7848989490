//! Runs the binary as a user does.

pub(crate) mod collector;
pub(crate) mod html;
pub(crate) mod page;
pub(crate) mod schema;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use registry::sample::{Recipe, Sample};
use registry::{Config, Server};
use tempfile::{NamedTempFile, TempDir};

/// A directory for manifests and outputs.
pub(crate) struct Desk {
    directory: TempDir,
}

/// The exit code and the output of the binary.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns an index of two platforms. Each seed has other content.
pub(crate) fn sample(seed: u64) -> Sample {
    Recipe { seed, ..Recipe::default() }.index(2)
}

pub(crate) fn repository_path(text: &str) -> oci::RepositoryPath {
    text.parse().unwrap()
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a plain manifest with these images and tags, from one registry to others.
    pub(crate) fn manifest(
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

    /// Writes a key pair, `cosign.key` and `cosign.pub`. Returns the path of the private key.
    pub(crate) fn key_pair(&self) -> PathBuf {
        let pem = sigstore::SigningKey::generate_pem().unwrap();
        let key = sigstore::SigningKey::from_pem(pem.reveal().as_bytes(), None).unwrap();
        self.write("cosign.pub", &key.verification_key().to_pem());
        self.write("cosign.key", pem.reveal())
    }

    /// Returns the names of all entries in the directory.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Reads a file of JSON. A report or a plan must satisfy its schema.
    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        let document = serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap();
        schema::check_known(&document);
        document
    }
}

/// The variable that limits the requests in flight at each host. `cargo xtask test` sets it.
pub(crate) const CONCURRENCY: &str = "KPROMO_TEST_CONCURRENCY";

/// Returns a command for the binary. It gets no configuration but that of `docker_config`.
pub(crate) fn kpromo(docker_config: Option<&Path>) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kpromo"));
    command.env_clear();
    #[expect(clippy::disallowed_methods, reason = "git is found on the PATH of the tests")]
    let variable = |name| std::env::var_os(name).map(|value| (name, value));
    command.envs(["PATH", CONCURRENCY].into_iter().filter_map(variable));
    if let Some(directory) = docker_config {
        command.env("DOCKER_CONFIG", directory);
    }
    command
}

/// The maximum duration of a run. Runs in tests take seconds, so a longer one hangs.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// Runs the binary to its end. If it hangs, it is killed, and the panic message has its output. What it prints as JSON must
/// satisfy its schema.
pub(crate) fn run(mut command: Command) -> Ran {
    // Files, because the binary blocks on a full pipe that is not read while it runs.
    let (out, err) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    let mut child = command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap()).spawn().unwrap();
    let deadline = Instant::now() + RUN_LIMIT;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let text = |file: &NamedTempFile| std::fs::read_to_string(file.path()).unwrap();
    let (stdout, stderr) = (text(&out), text(&err));
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("{command:?} has not ended within {RUN_LIMIT:?}\n{stdout}\n{stderr}");
    };
    schema::check_output(&stdout, &stderr);
    Ran { code: status.code().unwrap(), stdout, stderr }
}

/// Runs `kpromo` with flags.
pub(crate) fn kpromo_with(flags: &[&str]) -> Ran {
    let mut command = kpromo(None);
    command.args(flags);
    run(command)
}

/// Runs `kpromo cip` with flags. It does not sign unless the flags say so, because there is no identity.
pub(crate) fn cip(flags: &[&str]) -> Ran {
    let mut command = kpromo(None);
    command.args(["cip", "--sign=false"]).args(flags);
    run(command)
}

/// Puts an image into an embedded registry.
pub(crate) async fn put(server: &Server, repository: &str, sample: &Sample, tags: &[&str]) {
    let tags: Vec<oci::Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    sample.put(server.store(), &repository.parse().unwrap(), &tags).await.unwrap();
}

/// Decodes base64 into text.
pub(crate) fn base64(text: &str) -> String {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}

/// Starts an embedded registry with the listing format of Google's registries.
pub(crate) async fn google() -> Server {
    Server::start(Config { google_listing: true, ..Config::default() }).await.unwrap()
}

/// Starts staging with two images and one production registry, and writes a manifest that promotes from one to the other.
pub(crate) async fn scene() -> (Server, Server, Desk) {
    let (staging, production, desk) = (google().await, google().await, Desk::new());
    let one = Recipe { seed: 1, ..Recipe::default() }.index(2);
    let two = Recipe { seed: 2, ..Recipe::default() }.image();
    put(&staging, "staging/one", &one, &[]).await;
    put(&staging, "staging/two", &two, &[]).await;
    desk.manifest(
        &format!("{}/staging", staging.host()),
        &[format!("{}/prod", production.host())],
        &[("one", one.digest(), &["v1", "latest"]), ("two", two.digest(), &[])],
    );
    (staging, production, desk)
}
