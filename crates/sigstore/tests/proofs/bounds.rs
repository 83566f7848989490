//! Input that is too large, too deep or malformed is rejected early.

use serde_json::json;
use sigstore::{
    BUNDLE_MAX, CosignLayer, Rejection, Services, Signer, SigningKey, Statement, VerificationKey, Verifier,
};

use crate::support::bundle::Good;
use crate::support::stack::{door, sha256, statement};

fn key() -> (SigningKey, VerificationKey) {
    let key = SigningKey::generate().unwrap();
    let public = key.verification_key();
    (key, public)
}

fn signer(key: SigningKey) -> Signer {
    Signer::with_key(door(), key, Services::none(), None).unwrap()
}

#[test]
fn a_bundle_of_a_hundred_megabytes_is_refused_before_it_is_parsed() {
    let verifier = Verifier::with_key(key().1, None).unwrap();
    // Not JSON: if it were parsed, the rejection would be `Malformed`.
    let large = vec![b'x'; 100 << 20];
    let annotations = [].into();
    let layer = CosignLayer { payload: &large, annotations: &annotations };
    let about = sha256(b"image");
    for rejection in [
        verifier.statement(&large, &about).unwrap_err(),
        verifier.message(&large, b"message").unwrap_err(),
        verifier.artifact(&large, &about).unwrap_err(),
        verifier.cosign_signature(&layer).unwrap_err(),
        verifier.cosign_attestation(&layer, &about).unwrap_err(),
    ] {
        assert_eq!(rejection, Rejection::TooLarge { size: 100 << 20, max: BUNDLE_MAX });
    }
    let rejection = verifier.message(&large[..1000], b"message").unwrap_err();
    assert!(matches!(rejection, Rejection::Malformed(_)), "{rejection}");
}

#[tokio::test]
async fn json_that_is_nested_too_deeply_is_refused_at_any_position() {
    let (key, public) = key();
    let verifier = Verifier::with_key(public, None).unwrap();
    let deep = |open: &str, depth: usize| open.repeat(depth).into_bytes();
    for bundle in [deep("[", 1 << 20), deep("{\"a\":", 1 << 20), deep("{\"verificationMaterial\":", 1 << 19)]
    {
        assert!(matches!(verifier.message(&bundle, b""), Err(Rejection::Malformed(_))));
    }
    // Also within signed content.
    let signer = signer(key);
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let about = sha256(b"image");
    let mut statement = statement(b"image");
    statement.predicate = serde_json::from_str(&nested(50)).unwrap();
    let good = signer.statement(&statement, &about).await.unwrap();
    verifier.statement(&good.bundle(), &about).unwrap();
    let text = String::from_utf8(statement.to_json()).unwrap();
    let deeper = text.replace(&nested(50), &nested(100_000));
    assert!(deeper.len() > text.len());
    let error = signer.statement_bytes(deeper.as_bytes(), &about).await.unwrap_err();
    assert!(matches!(error, sigstore::SignError::Unverified(Rejection::Malformed(_))), "{error}");
}

#[tokio::test]
async fn invalid_and_truncated_bundles_are_malformed() {
    let (key, public) = key();
    let verifier = Verifier::with_key(public, None).unwrap();
    let good = Good::of(&signer(key).message(b"message").await.unwrap().bundle(), b"message");
    assert!(good.judged_by(&verifier).is_ok());
    for name in ["verificationMaterial", "messageSignature"] {
        let partial = good.with(|bundle| {
            bundle.as_object_mut().unwrap().remove(name).unwrap();
        });
        assert!(matches!(partial.judged_by(&verifier), Err(Rejection::Malformed(_))), "without {name}");
    }
    for name in ["mediaType", "verificationMaterial", "messageSignature"] {
        let wrong = good.with(|bundle| bundle[name] = json!(7));
        assert!(matches!(wrong.judged_by(&verifier), Err(Rejection::Malformed(_))), "{name} is a number");
    }
    let unknown =
        good.with(|bundle| bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v9+json".into());
    assert!(matches!(unknown.judged_by(&verifier), Err(Rejection::Malformed(_))));
    let whole = good.bundle.to_string();
    for end in (0..whole.len()).step_by(97) {
        assert!(matches!(
            verifier.message(&whole.as_bytes()[..end], b"message"),
            Err(Rejection::Malformed(_))
        ));
    }
    for digest in ["", "ab", "zz", &"a".repeat(63), &"a".repeat(1 << 20)] {
        assert!(matches!(verifier.artifact(whole.as_bytes(), digest), Err(Rejection::Malformed(_))));
    }
}

/// Only a key is trusted. The digest in the bundle must still match.
#[tokio::test]
async fn a_signature_by_a_key_is_refused_for_other_content() {
    let (key, public) = key();
    let verifier = Verifier::with_key(public, None).unwrap();
    let signer = signer(key);
    let mut message = Good::of(&signer.message(b"message").await.unwrap().bundle(), b"message");
    let about = Statement::about("a", &sha256(b"image"), "https://example.com/p", json!({}));
    let signed = signer.statement(&about, &sha256(b"image")).await.unwrap();
    let mut stated = Good::of(&signed.bundle(), b"image");
    assert!(message.judged_by(&verifier).is_ok() && stated.judged_by(&verifier).is_ok());
    let misnamed = message.with(|bundle| {
        let digest = &mut bundle["messageSignature"]["messageDigest"]["digest"];
        *digest = crate::support::bundle::flipped(digest, 0);
    });
    assert!(matches!(misnamed.judged_by(&verifier), Err(Rejection::OtherArtifact(_))));
    // A statement also verifies against the bytes of its subject, but only in an envelope with the payload type of statements.
    let json = stated.bundle.to_string();
    assert!(verifier.message(json.as_bytes(), b"image").is_ok());
    assert!(matches!(verifier.message(json.as_bytes(), b"another"), Err(Rejection::OtherArtifact(_))));
    let retyped = stated.with(|bundle| bundle["dsseEnvelope"]["payloadType"] = "text/plain".into());
    let rejection = verifier.artifact(retyped.bundle.to_string().as_bytes(), &sha256(b"image")).unwrap_err();
    assert!(matches!(rejection, Rejection::Malformed(_)), "{rejection}");
    message.artifact = b"another".to_vec();
    assert!(matches!(message.judged_by(&verifier), Err(Rejection::OtherArtifact(_))));
    stated.artifact = b"another".to_vec();
    assert!(matches!(stated.judged_by(&verifier), Err(Rejection::OtherArtifact(_))));
    let error = signer.statement(&about, &sha256(b"another")).await.unwrap_err();
    assert!(matches!(error, sigstore::SignError::Unverified(Rejection::OtherArtifact(_))), "{error}");
}
