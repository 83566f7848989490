//! `slsa-verifier`, what consumers check SLSA statements with.
//!
//! For provenance it knows the public instance of Sigstore and the builders of public services only, so it judges here
//! what it takes a key for: verification summaries.

use std::path::Path;

use oci::Digest;

use crate::client::{attempt, isolated};
use crate::credential::DockerConfig;

/// A verification summary, and what it has to say to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The file with the DSSE envelope.
    pub envelope: &'a Path,
    /// The public key that it is signed by, a PEM file.
    pub key: &'a Path,
    /// The key's identifier in the envelope; empty where it has none.
    pub key_id: &'a str,
    /// What it is about.
    pub subject: &'a Digest,
    /// Who has verified.
    pub verifier: &'a str,
    /// Which resource was verified.
    pub resource: &'a str,
    /// A level that was found: `SLSA_BUILD_LEVEL_2`.
    pub level: &'a str,
}

/// Lets slsa-verifier judge a summary.
///
/// # Errors
/// What it complained of, when it refuses.
///
/// # Panics
/// When it cannot be started.
pub fn verify_summary(summary: &Summary<'_>) -> Result<(), String> {
    let config = DockerConfig::anonymous();
    let mut command = isolated("slsa-verifier", &config);
    command.arg("verify-vsa").arg("--attestation-path").arg(summary.envelope);
    command.arg("--public-key-path").arg(summary.key).args(["--public-key-id", summary.key_id]);
    command.args(["--subject-digest", &summary.subject.to_string(), "--verifier-id", summary.verifier]);
    command.args(["--resource-uri", summary.resource, "--verified-level", summary.level]);
    attempt(command).map(drop)
}
