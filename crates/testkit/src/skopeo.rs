//! `skopeo`, the client of containers/image.

use std::ffi::OsStr;

use oci::Digest;

use crate::client::{isolated, output};
use crate::credential::DockerConfig;

/// Runs `skopeo`, which shares no code with crane and is as strict about what it is sent as podman and CRI-O are.
///
/// References are texts without a transport: `127.0.0.1:5000/team/app:v1`. Every method panics when skopeo fails, with
/// what it complained of.
#[derive(Clone, Copy, Debug)]
pub struct Skopeo<'a> {
    config: &'a DockerConfig,
}

impl<'a> Skopeo<'a> {
    /// Skopeo with these credentials.
    pub fn new(config: &'a DockerConfig) -> Self {
        Self { config }
    }

    /// Runs `skopeo` with `arguments` and gives what it printed. It is given no credentials and no leave to speak plain
    /// HTTP: which flags do that depends on the subcommand.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Vec<u8> {
        let mut command = isolated("skopeo", self.config);
        // Debian's `containers-common`, which has the policy, is only recommended.
        command.arg("--insecure-policy").args(arguments);
        output(command)
    }

    /// The digest of the manifest that a reference names, made of the bytes that skopeo got.
    pub fn digest(&self, reference: &str) -> Digest {
        Digest::of(&self.manifest(reference))
    }

    /// Copies an image, or an index with all its images, without changing a byte. Skopeo 1.9 refuses OCI indexes whose
    /// descriptors have fields that it does not know, `artifactType` for one.
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

    /// The manifest that a reference names, byte for byte.
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
