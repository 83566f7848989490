//! `skopeo`, the client of containers/image.

use std::ffi::OsStr;

use oci::Digest;

use crate::client::{isolated, output};
use crate::credential::DockerConfig;

/// Runs `skopeo`. It shares no code with crane, and it is as strict about what a registry sends as podman and CRI-O.
///
/// References are strings without a transport: `127.0.0.1:5000/team/app:v1`. Every method panics if skopeo fails. The message
/// has skopeo's error output.
#[derive(Clone, Copy, Debug)]
pub struct Skopeo<'a> {
    config: &'a DockerConfig,
}

impl<'a> Skopeo<'a> {
    /// Returns a skopeo that uses these credentials.
    pub fn new(config: &'a DockerConfig) -> Self {
        Self { config }
    }

    /// Runs `skopeo` with `arguments` and returns its output. The caller passes the flags for credentials and plain HTTP,
    /// because they differ between subcommands.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Vec<u8> {
        let mut command = isolated("skopeo", self.config);
        // The policy is in Debian's `containers-common`, which skopeo's package only recommends.
        command.arg("--insecure-policy").args(arguments);
        output(command)
    }

    /// Returns the digest of the manifest that a reference names, computed from the bytes that skopeo received.
    pub fn digest(&self, reference: &str) -> Digest {
        Digest::of(&self.manifest(reference))
    }

    /// Copies an image, or an index with all its images, without changing a byte. Skopeo 1.9 refuses OCI indexes whose
    /// descriptors have fields that it does not know, such as `artifactType`.
    pub fn copy(&self, from: &str, to: &str) {
        let flags = [
            "copy",
            "--quiet",
            "--all",
            "--preserve-digests",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
        ];
        let references = [self.authfile(), docker(from), docker(to)];
        self.run(flags.map(str::to_owned).into_iter().chain(references));
    }

    /// Returns the exact bytes of the manifest that a reference names.
    pub fn manifest(&self, reference: &str) -> Vec<u8> {
        let flags = ["inspect", "--raw", "--tls-verify=false"].map(str::to_owned);
        self.run(flags.into_iter().chain([self.authfile(), docker(reference)]))
    }

    fn authfile(&self) -> String {
        format!("--authfile={}", self.config.file().display())
    }
}

fn docker(reference: &str) -> String {
    format!("docker://{reference}")
}
