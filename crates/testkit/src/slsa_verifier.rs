//! `slsa-verifier`, with which consumers verify SLSA statements.
//!
//! For provenance, it accepts only the public instance of Sigstore and the builders of public services. The tests therefore
//! use it for what it verifies with a key: verification summaries.

use std::path::Path;

use oci::Digest;

use crate::client::{attempt, isolated};
use crate::credential::DockerConfig;

/// A verification summary and the values that it must have to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The file with the DSSE envelope.
    pub envelope: &'a Path,
    /// The public key of the signature, a PEM file.
    pub key: &'a Path,
    /// The key's identifier in the envelope. Empty if it has none.
    pub key_id: &'a str,
    /// The subject.
    pub subject: &'a Digest,
    /// The verifier.
    pub verifier: &'a str,
    /// The verified resource.
    pub resource: &'a str,
    /// A verified level, such as `SLSA_BUILD_LEVEL_2`.
    pub level: &'a str,
}

/// Verifies a summary with slsa-verifier.
///
/// # Errors
/// Its error output, if it refuses the summary.
///
/// # Panics
/// If it cannot be started.
pub fn verify_summary(summary: &Summary<'_>) -> Result<(), String> {
    let config = DockerConfig::anonymous();
    let mut command = isolated("slsa-verifier", &config);
    command.arg("verify-vsa").arg("--attestation-path").arg(summary.envelope);
    command.arg("--public-key-path").arg(summary.key).args(["--public-key-id", summary.key_id]);
    command.args(["--subject-digest", &summary.subject.to_string(), "--verifier-id", summary.verifier]);
    command.args(["--resource-uri", summary.resource, "--verified-level", summary.level]);
    attempt(command).map(drop)
}
