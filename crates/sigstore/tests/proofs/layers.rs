//! Layers of cosign's `.sig` and `.att` manifests.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sigstore::{CosignLayer, Rejection, SimpleSigning, Verifier};
use testkit::Rekor;

use crate::support::authority::Wanted;
use crate::support::bundle::flipped;
use crate::support::handmade::{Attestation, Log};
use crate::support::stack::{key_signer, root, sha256, signer, statement, usual_signatory, verifier};

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// A layer, and the result of its verification.
struct Layer {
    payload: Vec<u8>,
    annotations: BTreeMap<String, String>,
}

impl Layer {
    async fn signed() -> Self {
        let payload = SimpleSigning::new("registry.example/app", "sha256:ab", [].into()).to_json();
        let annotations = signer(Rekor::V1).message(&payload).await.unwrap().annotations();
        Self { payload, annotations }
    }

    fn judged(&self) -> Result<SimpleSigning, Rejection> {
        let layer = CosignLayer { payload: &self.payload, annotations: &self.annotations };
        verifier().cosign_signature(&layer).map(|verified| {
            assert_eq!(verified.signatory, usual_signatory());
            verified.content
        })
    }

    fn with(&self, name: &str, text: impl Into<String>) -> Self {
        let mut annotations = self.annotations.clone();
        annotations.insert(name.to_owned(), text.into());
        Self { payload: self.payload.clone(), annotations }
    }

    fn without(&self, name: &str) -> Self {
        let mut annotations = self.annotations.clone();
        annotations.remove(name).expect("the layer has this annotation");
        Self { payload: self.payload.clone(), annotations }
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_layer_verifies_and_names_its_image() {
    let layer = Layer::signed().await;
    let payload = layer.judged().unwrap();
    assert_eq!((payload.reference(), payload.digest()), ("registry.example/app", "sha256:ab"));
    let names: Vec<_> = layer.annotations.keys().map(String::as_str).collect();
    assert_eq!(names, [SIGNATURE, BUNDLE, CERTIFICATE, CHAIN, TIMESTAMP]);
    // Certificates that the root has, and a second source of time, may be missing.
    layer.without(CHAIN).judged().unwrap();
    layer.without(TIMESTAMP).judged().unwrap();
    layer.with(TIMESTAMP, "").judged().unwrap();
    layer.with("org.example/unknown", "anything").judged().unwrap();
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_layer_without_signature_certificate_or_log_entry_is_refused() {
    let layer = Layer::signed().await;
    assert!(matches!(layer.without(SIGNATURE).judged(), Err(Rejection::Malformed(_))));
    let uncertified = layer.without(CERTIFICATE).judged().unwrap_err();
    assert!(
        uncertified.is_someone_elses(),
        "without a certificate, the signer counts as a key: {uncertified}"
    );
    let unlogged = layer.without(BUNDLE).judged().unwrap_err();
    assert!(
        matches!(unlogged, Rejection::Unproven(_)),
        "a timestamp does not replace a log entry: {unlogged}"
    );
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn garbage_in_any_annotation_is_refused() {
    let layer = Layer::signed().await;
    layer.judged().unwrap();
    let pem = |content: &str| format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
    let (deep, long) = ("[".repeat(100_000), "A".repeat(2 << 20));
    let garbage = ["garbage", "{}", "null", "\u{0}", "AAAA", deep.as_str(), &pem("AAAA"), &pem("%%%"), &long];
    for name in [SIGNATURE, CERTIFICATE, CHAIN, BUNDLE, TIMESTAMP] {
        for text in garbage {
            // The chain in the annotation need not be used, because the root has it.
            if name == CHAIN && text == pem("AAAA") {
                layer.with(name, text).judged().unwrap();
                continue;
            }
            let rejection = layer.with(name, text).judged().expect_err(name);
            assert!(rejection.to_string().len() < 600, "the reason is too long: {rejection}");
        }
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn parts_swapped_between_two_valid_layers_are_refused() {
    let (one, other) = (Layer::signed().await, Layer::signed().await);
    assert!(one.judged().is_ok() && other.judged().is_ok());
    for name in [SIGNATURE, CERTIFICATE, BUNDLE, TIMESTAMP] {
        let rejection = one.with(name, &*other.annotations[name]).judged().expect_err(name);
        assert!(matches!(rejection, Rejection::Invalid(_)), "{name}: {rejection}");
    }
    let payload = SimpleSigning::new("registry.example/app", "sha256:cd", [].into()).to_json();
    let swapped = Layer { payload, annotations: one.annotations.clone() };
    assert!(matches!(swapped.judged(), Err(Rejection::Invalid(_) | Rejection::OtherArtifact(_))));
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_altered_promise_is_rejected() {
    let layer = Layer::signed().await;
    for path in ["/SignedEntryTimestamp", "/Payload/body"] {
        let mut bundle: Value = serde_json::from_str(&layer.annotations[BUNDLE]).unwrap();
        let part = bundle.pointer_mut(path).unwrap();
        *part = flipped(part, 1);
        assert!(layer.with(BUNDLE, bundle.to_string()).judged().is_err(), "{path}");
    }
    for path in ["/Payload/integratedTime", "/Payload/logIndex"] {
        let mut bundle: Value = serde_json::from_str(&layer.annotations[BUNDLE]).unwrap();
        let part = bundle.pointer_mut(path).unwrap();
        *part = (part.as_i64().unwrap() - 1).into();
        let rejection = layer.with(BUNDLE, bundle.to_string()).judged().expect_err(path);
        assert!(matches!(rejection, Rejection::Invalid(_) | Rejection::Malformed(_)), "{path}: {rejection}");
    }
}

/// A valid signature over a message is not a signature of an image.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_signature_over_content_that_is_not_a_payload_is_rejected() {
    let payload = br#"{"critical":{"type":"something else"}}"#.to_vec();
    let annotations = signer(Rekor::V1).message(&payload).await.unwrap().annotations();
    assert!(matches!(Layer { payload, annotations }.judged(), Err(Rejection::Malformed(_))));
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_layer_signed_with_a_key_verifies_only_with_that_key() {
    let payload = SimpleSigning::new("registry.example/app", "sha256:ab", [].into()).to_json();
    let (signer, key) = key_signer(Rekor::V1);
    let annotations = signer.message(&payload).await.unwrap().annotations();
    let layer = CosignLayer { payload: &payload, annotations: &annotations };
    let (_, stranger) = key_signer(Rekor::V1);
    for root in [None, Some(root())] {
        let trusting = |key| Verifier::with_key(key, root.as_deref()).unwrap();
        assert!(trusting(key.clone()).cosign_signature(&layer).is_ok());
        let rejection = trusting(stranger.clone()).cosign_signature(&layer).unwrap_err();
        assert!(rejection.is_someone_elses(), "{rejection}");
    }
}

fn judged(attestation: &Attestation, root: &[u8]) -> Result<(), Rejection> {
    let layer = CosignLayer { payload: &attestation.envelope, annotations: &attestation.annotations };
    let verified =
        Verifier::with_root(root).unwrap().cosign_attestation(&layer, &sha256(Attestation::ARTIFACT))?;
    assert_eq!((verified.signatory, verified.content), (usual_signatory(), statement(Attestation::ARTIFACT)));
    Ok(())
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn the_timestamp_of_an_attestation_is_over_its_envelope_and_one_valid_time_suffices() {
    let log = Log::new();
    let now = Timestamp::now() - SignedDuration::from_secs(1);
    let wanted = Wanted { from: SignedDuration::from_mins(-5), ..Wanted::default() };
    let good = Attestation::new(&log, &wanted, now);
    judged(&good, &log.root()).unwrap();
    let envelope = good.envelope.clone();
    let stamped = good.stamped_over(&envelope);
    judged(&stamped, &log.root()).unwrap();
    let rejection = judged(&stamped.stamped_over(b"something else"), &log.root()).unwrap_err();
    assert!(matches!(rejection, Rejection::Invalid(_)), "{rejection}");
    // Logged while the certificate was valid, timestamped afterwards. The validity starts when the certificate is issued, so
    // these times are computed right before.
    let over = Wanted::good_for(SignedDuration::from_secs(-2));
    let early = Attestation::new(&log, &over, Timestamp::now() - SignedDuration::from_secs(4));
    judged(&early, &log.root()).unwrap();
    let envelope = early.envelope.clone();
    judged(&early.stamped_over(&envelope), &log.root()).unwrap();
    // Logged after the certificate expired, or by an unknown log.
    let late = Attestation::new(&log, &over, Timestamp::now());
    assert!(matches!(judged(&late, &log.root()), Err(Rejection::Invalid(_))));
    let envelope = late.envelope.clone();
    assert!(matches!(judged(&late.stamped_over(&envelope), &log.root()), Err(Rejection::Invalid(_))));
    let unknown = Attestation::new(&Log::new(), &wanted, now);
    assert!(matches!(judged(&unknown, &log.root()), Err(Rejection::Invalid(_))));
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_layer_made_of_our_attestation_verifies_only_for_its_image() {
    let signed = signer(Rekor::V1).statement(&statement(b"image"), &sha256(b"image")).await.unwrap();
    let bundle: Value = serde_json::from_slice(&signed.bundle()).unwrap();
    let mut annotations = signed.annotations();
    // The timestamp of a bundle is over the signature. The timestamp of a layer must be over the envelope.
    annotations.remove(TIMESTAMP).unwrap();
    let envelope = bundle["dsseEnvelope"].to_string();
    let layer = CosignLayer { payload: envelope.as_bytes(), annotations: &annotations };
    let verified = verifier().cosign_attestation(&layer, &sha256(b"image")).unwrap();
    assert_eq!((verified.signatory, verified.content), (usual_signatory(), statement(b"image")));
    let other = verifier().cosign_attestation(&layer, &sha256(b"another")).unwrap_err();
    assert!(matches!(other, Rejection::OtherArtifact(_)), "{other}");
    let no_attestation = verifier().cosign_signature(&layer).unwrap_err();
    assert!(matches!(no_attestation, Rejection::Malformed(_)), "{no_attestation}");
    for garbage in ["", "garbage", "{}", "null", &"[".repeat(100_000)] {
        let layer = CosignLayer { payload: garbage.as_bytes(), annotations: &annotations };
        assert!(matches!(
            verifier().cosign_attestation(&layer, &sha256(b"image")),
            Err(Rejection::Malformed(_))
        ));
    }
}
