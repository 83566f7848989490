//! Log entries that prove nothing about their signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sigstore::{Rejection, Verifier};
use testkit::Rekor;

use crate::forged::{accepted, refused};
use crate::support::bundle::{Good, entry, flipped};
use crate::support::handmade::Key;
use crate::support::stack::{log_of, root, verifier, verifier_with};

const BOTH: [Rekor; 2] = [Rekor::V1, Rekor::V2];

/// Returns the bundle with the part of its log entry at this path replaced.
fn with(good: &Good, path: &str, change: impl FnOnce(&Value) -> Value) -> Good {
    good.with(|bundle| {
        let part = entry(bundle).pointer_mut(path).expect("the entry has this part");
        *part = change(part);
    })
}

/// Returns the checkpoint with one bit of its signature flipped.
fn missigned(checkpoint: &Value) -> Value {
    let text = checkpoint.as_str().unwrap().trim_end();
    let (before, signature) = text.rsplit_once(' ').unwrap();
    let signature = flipped(&signature.into(), 0);
    format!("{before} {}\n", signature.as_str().unwrap()).into()
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_unlogged_signature_is_rejected_if_the_root_has_logs() {
    for rekor in BOTH {
        let good = Good::message(rekor, b"message").await;
        accepted(&good, &verifier());
        let unlogged = good.with(|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]));
        refused(&unlogged, &verifier(), Rejection::Unproven, "no entry of a transparency log");
        let bare = good.with(|bundle| {
            let entry = entry(bundle).as_object_mut().unwrap();
            entry.remove("inclusionPromise");
            entry.remove("inclusionProof").unwrap();
        });
        refused(&bare, &verifier(), Rejection::Unproven, "neither proof nor promise");
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_promise_without_an_inclusion_proof_is_accepted_only_in_version_0_1() {
    let good = Good::message(Rekor::V1, b"message").await;
    let promised = good.with(|bundle| {
        entry(bundle).as_object_mut().unwrap().remove("inclusionProof").unwrap();
    });
    accepted(&promised.in_version("0.1"), &verifier());
    assert!(promised.judged_by(&verifier()).is_err(), "v0.3");
    assert!(promised.in_version("0.2").judged_by(&verifier()).is_err(), "v0.2");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_entry_about_another_signature_is_refused() {
    for rekor in BOTH {
        for (good, other) in [
            (Good::message(rekor, b"message").await, Good::message(rekor, b"message").await),
            (Good::statement(rekor, b"image").await, Good::statement(rekor, b"image").await),
        ] {
            accepted(&good, &verifier());
            let borrowed = good.with(|bundle| *entry(bundle) = entry(&mut other.bundle.clone()).clone());
            refused(&borrowed, &verifier(), Rejection::Invalid, "");
        }
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_altered_inclusion_proof_is_rejected() {
    for rekor in BOTH {
        // The first entry of a log has no hashes in its proof.
        let (_, good) = (Good::message(rekor, b"first").await, Good::message(rekor, b"message").await);
        accepted(&good, &verifier());
        let last = |hashes: &Value| {
            let mut hashes = hashes.as_array().unwrap().clone();
            let last = hashes.last_mut().expect("the log has entries before this one");
            *last = flipped(last, 0);
            Value::Array(hashes)
        };
        let elsewhere = with(&good, "/inclusionProof/hashes", last);
        refused(&elsewhere, &verifier(), Rejection::Invalid, "");
        let shorter = with(&good, "/inclusionProof/hashes", |_| json!([]));
        refused(&shorter, &verifier(), Rejection::Invalid, "");
        // Rekor v2 states the index twice. The value in the entry is the one that is verified.
        let moved = match rekor {
            Rekor::V1 => with(&good, "/inclusionProof/logIndex", |_| json!("0")),
            Rekor::V2 => with(&good, "/logIndex", |_| json!("0")),
        };
        refused(&moved, &verifier(), Rejection::Invalid, "inclusion proof");
    }
    let good = Good::message(Rekor::V1, b"message").await;
    let rooted = with(&good, "/inclusionProof/rootHash", |hash| flipped(hash, 0));
    refused(&rooted, &verifier(), Rejection::Malformed, "root hash");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_proof_or_a_checkpoint_of_another_log_is_refused() {
    let (one, two) = (Good::message(Rekor::V1, b"message").await, Good::message(Rekor::V2, b"message").await);
    for (good, other) in [(&one, &two), (&two, &one)] {
        accepted(good, &verifier());
        for path in ["/inclusionProof", "/inclusionProof/checkpoint"] {
            let theirs = entry(&mut other.bundle.clone()).pointer(path).unwrap().clone();
            let rejection = with(good, path, |_| theirs).judged_by(&verifier()).unwrap_err();
            let is_expected = matches!(rejection, Rejection::Invalid(_))
                || rejection.to_string().contains("does not match checkpoint");
            assert!(is_expected, "{path}: {rejection}");
        }
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_checkpoint_that_the_log_has_not_signed_is_refused() {
    for rekor in BOTH {
        let good = Good::message(rekor, b"message").await;
        accepted(&good, &verifier());
        let path = "/inclusionProof/checkpoint/envelope";
        refused(&with(&good, path, missigned), &verifier(), Rejection::Invalid, "checkpoint");
        let larger = |checkpoint: &Value| {
            let mut lines: Vec<_> = checkpoint.as_str().unwrap().split('\n').map(str::to_owned).collect();
            lines[1].push('0');
            lines.join("\n").into()
        };
        refused(&with(&good, path, larger), &verifier(), Rejection::Invalid, "");
        let unsigned = |checkpoint: &Value| checkpoint.as_str().unwrap().split_once("\n\n").unwrap().0.into();
        assert!(with(&good, path, unsigned).judged_by(&verifier()).is_err());
        assert!(with(&good, path, |_| "".into()).judged_by(&verifier()).is_err());
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_promise_that_the_log_has_not_made_is_refused() {
    let good = Good::message(Rekor::V1, b"message").await;
    accepted(&good, &verifier());
    let path = "/inclusionPromise/signedEntryTimestamp";
    let broken = with(&good, path, |promise| flipped(promise, 0));
    refused(&broken, &verifier(), Rejection::Invalid, "promise");
    let by_another_key = with(&good, path, |_| STANDARD.encode(Key::new().sign(b"promise")).into());
    refused(&by_another_key, &verifier(), Rejection::Invalid, "promise");
    // The promise also covers the time.
    let earlier = with(&good, "/integratedTime", |time| {
        (time.as_str().unwrap().parse::<i64>().unwrap() - 1).to_string().into()
    });
    refused(&earlier, &verifier(), Rejection::Invalid, "promise");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn entries_of_unknown_and_retired_logs_are_rejected() {
    for (rekor, the_other) in [(Rekor::V1, Rekor::V2), (Rekor::V2, Rekor::V1)] {
        let good = Good::message(rekor, b"message").await;
        accepted(&good, &verifier());
        let unknown = verifier_with(|root| {
            let log = log_of(root, rekor).clone();
            root["tlogs"].as_array_mut().unwrap().retain(|other| *other != log);
        });
        refused(&good, &unknown, Rejection::Invalid, "");
        let another_key = verifier_with(|root| {
            let key = STANDARD.encode(Key::new().public());
            let log = log_of(root, rekor);
            log["publicKey"]["rawBytes"] = key.into();
            log["publicKey"]["keyDetails"] = "PKIX_ECDSA_P256_SHA_256".into();
        });
        refused(&good, &another_key, Rejection::Invalid, "");
        let retired = verifier_with(|root| {
            log_of(root, rekor)["publicKey"]["validFor"]["end"] = "2024-06-01T00:00:00Z".into();
        });
        refused(&good, &retired, Rejection::Invalid, "");
        let another_name = with(&good, "/logId/keyId", |id| flipped(id, 0));
        refused(&another_name, &verifier(), Rejection::Invalid, "");
        let other = verifier_with(|root| {
            log_of(root, the_other)["publicKey"]["validFor"]["end"] = "2024-06-01T00:00:00Z".into();
        });
        accepted(&good, &other);
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_bundle_with_too_many_entries_is_rejected() {
    let good = Good::message(Rekor::V1, b"message").await;
    let crowded = good.with(|bundle| {
        let one = entry(bundle).clone();
        bundle["verificationMaterial"]["tlogEntries"] = Value::Array(vec![one; 17]);
    });
    refused(&crowded, &verifier(), Rejection::Malformed, "more than 16");
}

/// The returned time of signing is proven, and is the earliest proven time.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn the_signing_time_is_the_earliest_proven_time() {
    let second = |time: &Value| time.as_str().unwrap().parse::<i64>().unwrap();
    for rekor in BOTH {
        let before = jiff::Timestamp::now().as_second();
        let good = Good::message(rekor, b"message").await;
        let after = jiff::Timestamp::now().as_second();
        let verified = verifier().message(good.bundle.to_string().as_bytes(), b"message").unwrap();
        let signed_at = verified.signed_at.unwrap().as_second();
        assert!((before..=after).contains(&signed_at), "{before} {signed_at} {after}");
        if rekor == Rekor::V1 {
            assert!(signed_at <= second(&entry(&mut good.bundle.clone())["integratedTime"]));
        }
    }
}

/// Signatures by a key must be in the root's logs too.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn signatures_by_a_key_must_be_logged_if_the_root_has_logs() {
    for rekor in BOTH {
        let (signer, key) = crate::support::stack::key_signer(rekor);
        let good = Good::of(&signer.message(b"message").await.unwrap().bundle(), b"message");
        let logged = Verifier::with_key(key.clone(), Some(&root())).unwrap();
        assert!(good.judged_by(&logged).is_ok());
        let unlogged = good.with(|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]));
        refused(&unlogged, &logged, Rejection::Unproven, "no entry");
        assert!(
            unlogged.judged_by(&Verifier::with_key(key, None).unwrap()).is_ok(),
            "the key alone is trusted"
        );
        let path = "/inclusionProof/checkpoint/envelope";
        refused(&with(&good, path, missigned), &logged, Rejection::Invalid, "checkpoint");
    }
}
