//! slsa-verifier accepts our verification summaries.

use std::fs;

use oci::Digest;
use serde_json::{Value, json};
use sigstore::{Services, Signer, SigningKey, Statement};
use testkit::{Summary, verify_summary};

use crate::support::stack::door;

const LEVEL: &str = "SLSA_BUILD_LEVEL_2";
const VERIFIER: &str = "https://example.com/verifier";
const RESOURCE: &str = "registry.example.com/app";

fn summary(subject: &Digest) -> Statement {
    let predicate = json!({
        "verifier": { "id": VERIFIER }, "timeVerified": "2026-01-01T00:00:00Z", "resourceUri": RESOURCE,
        "policy": { "uri": "https://example.com/policy" }, "verificationResult": "PASSED",
        "verifiedLevels": [LEVEL], "slsaVersion": "1.0",
    });
    Statement::about("app", &subject.hex(), "https://slsa.dev/verification_summary/v1", predicate)
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_summary_is_accepted_only_for_its_subject_and_level_and_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (envelope, key_file) = (directory.path().join("summary.json"), directory.path().join("key.pub"));
    let (subject, other) = (Digest::of(b"image"), Digest::of(b"another"));
    let key = SigningKey::generate().unwrap();
    fs::write(&key_file, key.verification_key().to_pem()).unwrap();
    let signer = Signer::with_key(door(), key, Services::none(), None).unwrap();
    let signed = signer.statement(&summary(&subject), &subject.hex()).await.unwrap();
    let bundle: Value = serde_json::from_slice(&signed.bundle()).unwrap();
    fs::write(&envelope, bundle["dsseEnvelope"].to_string()).unwrap();
    let expected = Summary {
        envelope: &envelope,
        key: &key_file,
        key_id: "",
        subject: &subject,
        verifier: VERIFIER,
        resource: RESOURCE,
        level: LEVEL,
    };
    verify_summary(&expected).unwrap();
    verify_summary(&Summary { subject: &other, ..expected }).unwrap_err();
    verify_summary(&Summary { level: "SLSA_BUILD_LEVEL_3", ..expected }).unwrap_err();
    let strangers = directory.path().join("stranger.pub");
    fs::write(&strangers, SigningKey::generate().unwrap().verification_key().to_pem()).unwrap();
    verify_summary(&Summary { key: &strangers, ..expected }).unwrap_err();
}
