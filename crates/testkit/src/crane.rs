//! `crane`, the client of go-containerregistry.

use std::ffi::OsStr;
use std::path::Path;

use oci::Digest;

use crate::client::{isolated, output};
use crate::credential::DockerConfig;

/// Runs `crane`. For registries on loopback, it uses plain HTTP without a flag.
///
/// References are strings in crane's syntax: `127.0.0.1:5000/team/app:v1`, `127.0.0.1:5000/team/app@sha256:…`. Every method
/// panics if crane fails. The message has crane's error output.
#[derive(Clone, Copy, Debug)]
pub struct Crane<'a> {
    config: &'a DockerConfig,
}

impl<'a> Crane<'a> {
    /// Returns a crane that uses these credentials.
    pub fn new(config: &'a DockerConfig) -> Self {
        Self { config }
    }

    /// Runs `crane` with `arguments` and returns its output.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Vec<u8> {
        let mut command = isolated("crane", self.config);
        command.args(arguments);
        output(command)
    }

    /// Returns the digest that a reference resolves to, as the registry reports it.
    pub fn digest(&self, reference: &str) -> Digest {
        let printed = self.run(["digest", reference]);
        let text = String::from_utf8_lossy(&printed);
        text.trim().parse().unwrap_or_else(|error| panic!("the digest of {reference}: {error}"))
    }

    /// Copies an image, or an index with all its images.
    pub fn copy(&self, from: &str, to: &str) {
        self.run(["copy", from, to]);
    }

    /// Returns the exact bytes of the manifest that a reference names.
    pub fn manifest(&self, reference: &str) -> Vec<u8> {
        self.run(["manifest", reference])
    }

    /// Reads the whole image, including every image of an index, and checks all sizes and digests.
    pub fn validate(&self, reference: &str) {
        self.run(["validate", "--remote", reference]);
    }

    /// Pushes a new image with Docker's media types and one layer, the tar file `layer`.
    pub fn append(&self, layer: &Path, to: &str) {
        self.run([
            OsStr::new("append"),
            "--new_layer".as_ref(),
            layer.as_ref(),
            "--new_tag".as_ref(),
            to.as_ref(),
        ]);
    }

    /// Pushes a new Docker manifest list of these images, which must be in the same registry. Use it for the images of
    /// [`Crane::append`].
    pub fn index(&self, images: &[&str], to: &str) {
        let members = images.iter().flat_map(|image| ["--manifest", image]);
        self.run(["index", "append", "--docker-empty-base"].into_iter().chain(members).chain(["--tag", to]));
    }
}
