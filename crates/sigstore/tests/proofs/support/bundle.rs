//! Valid bundles, and alterations of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sigstore::{Rejection, Verifier};
use testkit::Rekor;

use super::stack::{sha256, signer, statement};

/// A valid bundle, and its subject.
#[derive(Clone, Debug)]
pub(crate) struct Good {
    pub(crate) bundle: Value,
    pub(crate) artifact: Vec<u8>,
}

impl Good {
    /// A signature over bytes.
    pub(crate) async fn message(rekor: Rekor, artifact: &[u8]) -> Self {
        let signed = signer(rekor).message(artifact).await.unwrap();
        Self::of(&signed.bundle(), artifact)
    }

    /// A statement about bytes.
    pub(crate) async fn statement(rekor: Rekor, artifact: &[u8]) -> Self {
        let signed = signer(rekor).statement(&statement(artifact), &sha256(artifact)).await.unwrap();
        Self::of(&signed.bundle(), artifact)
    }

    pub(crate) fn of(bundle: &[u8], artifact: &[u8]) -> Self {
        Self { bundle: serde_json::from_slice(bundle).unwrap(), artifact: artifact.to_owned() }
    }

    /// Returns the bundle with a change.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.bundle);
        assert_ne!(changed.bundle, self.bundle, "the change must alter the bundle");
        changed
    }

    /// Returns the result of its verification.
    pub(crate) fn judged_by(&self, verifier: &Verifier) -> Result<sigstore::Signatory, Rejection> {
        let json = self.bundle.to_string();
        if self.bundle.get("dsseEnvelope").is_some() {
            verifier.statement(json.as_bytes(), &sha256(&self.artifact)).map(|verified| verified.signatory)
        } else {
            verifier.message(json.as_bytes(), &self.artifact).map(|verified| verified.signatory)
        }
    }

    /// Converts the bundle to v0.1 or v0.2, with the certificate in a chain.
    pub(crate) fn in_version(&self, version: &str) -> Self {
        self.with(|bundle| {
            bundle["mediaType"] =
                json!(format!("application/vnd.dev.sigstore.bundle+json;version={version}"));
            let material = bundle["verificationMaterial"].as_object_mut().unwrap();
            let certificate = material.remove("certificate").unwrap();
            material.insert("x509CertificateChain".into(), json!({ "certificates": [certificate] }));
        })
    }
}

/// Returns the only log entry of a bundle.
pub(crate) fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

pub(crate) fn timestamps(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
}

/// Flips a bit in the decoded content of Base64 text, at the end or this many bytes before it.
pub(crate) fn flipped(text: &Value, from_end: usize) -> Value {
    let mut bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
    let place = bytes.len() - 1 - from_end;
    bytes[place] ^= 1;
    STANDARD.encode(bytes).into()
}
