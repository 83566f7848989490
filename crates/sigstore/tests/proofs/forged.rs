//! Invalid bundles, and bundles of another kind than expected.

use jiff::SignedDuration;
use manifest::policy::{Pattern, SignerPattern};
use serde_json::{Value, json};
use sigstore::{Rejection, Signatory, Verifier};
use testkit::{Issuer, Rekor, TokenRequest};

use crate::support::authority::{Authority, Wanted};
use crate::support::bundle::{Good, flipped, timestamps};
use crate::support::handmade::{self, without_logs};
use crate::support::stack::{
    SIGNER, door, identity_of, issuer, log_of, pattern, root, root_with, services, sha256, signer, signer_at,
    sigstore, usual_signatory, verifier, verifier_with,
};

/// Checks that a bundle is rejected with this kind of rejection and a reason that contains these words.
#[track_caller]
pub(crate) fn refused(good: &Good, verifier: &Verifier, kind: fn(String) -> Rejection, words: &str) {
    let rejection = good.judged_by(verifier).expect_err("the bundle must be rejected");
    let text = rejection.to_string();
    assert_eq!(std::mem::discriminant(&rejection), std::mem::discriminant(&kind(String::new())), "{text}");
    assert!(text.contains(words), "{text}");
}

/// Returns whether a pattern matches the holder of the certificate.
fn is_match(pattern: &SignerPattern, signatory: &Signatory) -> bool {
    signatory.identity().is_some_and(|(issuer, subject)| pattern.matches(issuer, subject))
}

#[track_caller]
pub(crate) fn accepted(good: &Good, verifier: &Verifier) {
    assert_eq!(good.judged_by(verifier).expect("the bundle must be accepted"), usual_signatory());
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_signature_over_other_content_is_rejected_even_if_the_bundle_names_the_right_digest() {
    let good = Good::message(Rekor::V1, b"the artifact").await;
    accepted(&good, &verifier());
    let mut other = good.clone();
    other.artifact = b"another artifact".to_vec();
    refused(&other, &verifier(), Rejection::OtherArtifact, "about something else");
    let digest = base64_of(&sha256(&other.artifact));
    let other = other.with(|bundle| bundle["messageSignature"]["messageDigest"]["digest"] = digest);
    refused(&other, &verifier(), Rejection::Invalid, "signature");
    // Also by its digest alone.
    let verifier = verifier();
    let json = good.bundle.to_string();
    assert!(verifier.artifact(json.as_bytes(), &sha256(&good.artifact)).is_ok());
    let by_digest = verifier.artifact(json.as_bytes(), &sha256(b"another artifact"));
    assert!(matches!(by_digest, Err(Rejection::OtherArtifact(_))), "{by_digest:?}");
}

fn base64_of(hexadecimal: &str) -> Value {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(hex::decode(hexadecimal).unwrap()).into()
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_statement_about_another_image_is_refused() {
    let mut good = Good::statement(Rekor::V2, b"the image").await;
    accepted(&good, &verifier());
    good.artifact = b"another image".to_vec();
    refused(&good, &verifier(), Rejection::OtherArtifact, "about something else");
}

/// Verification returns the signer; the pattern decides whether it is accepted.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_valid_signature_by_another_identity_or_issuer_does_not_match_the_pattern() {
    let other_issuer = sigstore().issuer(Issuer::Other);
    let wanted = pattern(issuer(), SIGNER);
    for (request, is_wanted) in [
        (TokenRequest::email(SIGNER), true),
        (TokenRequest::email("somebody@example.com"), false),
        (TokenRequest::email(SIGNER).by(Issuer::Other), false),
    ] {
        let identity = identity_of(&sigstore().token_of(&request));
        let signer = sigstore::Signer::with_identity(door(), identity, services(Rekor::V1), verifier());
        let signed = signer.message(b"message").await.unwrap();
        let signatory = verifier().message(&signed.bundle(), b"message").unwrap().signatory;
        assert_eq!(is_match(&wanted, &signatory), is_wanted, "{signatory}");
    }
    assert_ne!(other_issuer, issuer());
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_expression_that_matches_only_part_of_the_identity_does_not_match() {
    let good = Good::message(Rekor::V1, b"message").await;
    let signatory = good.judged_by(&verifier()).unwrap();
    let by = |subject: &str| SignerPattern {
        issuer: Pattern::exact(issuer()).unwrap(),
        subject: Pattern::regex(subject).unwrap(),
    };
    assert!(is_match(&by(r"promoter@example\.com"), &signatory));
    assert!(is_match(&by(r"[a-z]+@example\.(com|org)"), &signatory));
    for partial in [r"promoter@example", r"example\.com", r"promoter|somebody", r"^promoter", ""] {
        let is_match = Pattern::regex(partial).is_ok_and(|_| is_match(&by(partial), &signatory));
        assert!(!is_match, "{partial}");
    }
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn a_certificate_must_be_valid_at_a_proven_time() {
    let (authority, minutes) = (Authority::trusted(), SignedDuration::from_mins);
    let verifier = verifier_with(without_logs);
    accepted(&handmade::message(&authority, &Wanted::default(), true), &verifier);
    // Nothing proves the time of signing. A certificate that is valid now does not help, because the signature may be older.
    let expired = Wanted::good_for(minutes(-1));
    for wanted in [Wanted::default(), expired.clone()] {
        refused(
            &handmade::message(&authority, &wanted, false),
            &verifier,
            Rejection::Unproven,
            "nothing proves when",
        );
    }
    refused(&handmade::message(&authority, &expired, true), &verifier, Rejection::Invalid, "CertExpired");
    let later = Wanted { from: minutes(5), ..Wanted::default() };
    refused(&handmade::message(&authority, &later, true), &verifier, Rejection::Invalid, "certificate");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_timestamp_must_be_over_the_signature_and_by_a_trusted_authority_in_its_validity() {
    let good = Good::message(Rekor::V2, b"message").await;
    accepted(&good, &verifier());
    let other = Good::message(Rekor::V2, b"message").await.bundle;
    let borrowed = good.with(|bundle| *timestamps(bundle) = timestamps(&mut other.clone()).clone());
    refused(&borrowed, &verifier(), Rejection::Invalid, "timestamp");
    let broken = good.with(|bundle| {
        let stamp = &mut timestamps(bundle)[0]["signedTimestamp"];
        *stamp = flipped(stamp, 0);
    });
    refused(&broken, &verifier(), Rejection::Invalid, "timestamp");
    // Rekor v2 states no time.
    let without = good.with(|bundle| *timestamps(bundle) = json!([]));
    refused(&without, &verifier(), Rejection::Invalid, "timestamp");
    let early = verifier_with(|root| {
        root["timestampAuthorities"][0]["validFor"] =
            json!({ "start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z" });
    });
    refused(&good, &early, Rejection::Invalid, "outside the validity");
    let none = verifier_with(|root| root["timestampAuthorities"] = json!([]));
    refused(&good, &none, Rejection::Invalid, "timestamp");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_unlogged_certificate_is_rejected_if_the_root_has_a_certificate_log() {
    let fulcio = Authority::trusted().serve(vec![Wanted::default()]);
    let no_certificate_log = verifier_with(|root| root["ctlogs"] = json!([]));
    let services = sigstore::Services { fulcio: Some(fulcio.url()), ..services(Rekor::V1) };
    let signed = signer_at(services.clone(), no_certificate_log.clone()).message(b"message").await.unwrap();
    let good = Good::of(&signed.bundle(), b"message");
    accepted(&good, &no_certificate_log);
    refused(&good, &verifier(), Rejection::Invalid, "signed certificate timestamp");
    // The signer returns no such bundle either.
    let error = signer_at(services, verifier()).message(b"message").await.unwrap_err();
    assert!(matches!(error, sigstore::SignError::Unverified(Rejection::Invalid(_))), "{error}");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_certificate_of_another_certificate_log_is_refused() {
    let good = Good::message(Rekor::V1, b"message").await;
    accepted(&good, &verifier());
    let rekor = |root: &mut Value| log_of(root, Rekor::V1).clone();
    let another_key = verifier_with(|root| root["ctlogs"][0]["publicKey"] = rekor(root)["publicKey"].clone());
    refused(&good, &another_key, Rejection::Invalid, "signed certificate timestamp");
    let another_log = verifier_with(|root| root["ctlogs"][0] = rekor(root));
    refused(&good, &another_log, Rejection::Invalid, "signed certificate timestamp");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_certificate_of_another_authority_with_the_same_name_is_rejected() {
    let good = handmade::message(&Authority::trusted(), &Wanted::default(), true);
    let verifier = verifier_with(without_logs);
    accepted(&good, &verifier);
    let forged = handmade::message(&Authority::stranger(), &Wanted::default(), true);
    refused(&forged, &verifier, Rejection::SomeoneElses, "certificate");
    let closed = Verifier::with_root(&root_with(|root| {
        without_logs(root);
        root["certificateAuthorities"][0]["validFor"]["end"] = "2021-01-01T00:00:00Z".into();
        root["certificateAuthorities"][0]["validFor"]["start"] = "2020-01-01T00:00:00Z".into();
    }))
    .unwrap();
    refused(&good, &closed, Rejection::Invalid, "certificate");
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn certificate_and_key_signatures_do_not_verify_as_each_other() {
    let good = Good::message(Rekor::V1, b"message").await;
    let (by_key, key) = crate::support::stack::key_signer(Rekor::V1);
    let keyed = Good::of(&by_key.message(b"message").await.unwrap().bundle(), b"message");
    let trusts_key = Verifier::with_key(key.clone(), Some(&root())).unwrap();
    assert!(keyed.judged_by(&trusts_key).is_ok());
    refused(&good, &trusts_key, Rejection::SomeoneElses, "certificate");
    refused(&keyed, &verifier(), Rejection::SomeoneElses, "certificate");
    let (_, stranger) = crate::support::stack::key_signer(Rekor::V1);
    for root in [None, Some(root())] {
        let trusts_stranger = Verifier::with_key(stranger.clone(), root.as_deref()).unwrap();
        refused(&keyed, &trusts_stranger, Rejection::SomeoneElses, "another key");
    }
}

#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_envelope_with_another_payload_or_another_type_or_two_signatures_is_refused() {
    let good = Good::statement(Rekor::V1, b"image").await;
    accepted(&good, &verifier());
    let signer = signer(Rekor::V1);
    let mut more = crate::support::stack::statement(b"image");
    more.predicate = json!({ "by": "somebody else" });
    let more = Good::of(&signer.statement(&more, &sha256(b"image")).await.unwrap().bundle(), b"image");
    accepted(&more, &verifier());
    let swapped = |name: &'static str| {
        good.with(|bundle| bundle["dsseEnvelope"][name] = more.bundle["dsseEnvelope"][name].clone())
    };
    refused(&swapped("payload"), &verifier(), Rejection::Invalid, "signature");
    refused(&swapped("signatures"), &verifier(), Rejection::Invalid, "");
    let whole = good.with(|bundle| bundle["dsseEnvelope"] = more.bundle["dsseEnvelope"].clone());
    refused(&whole, &verifier(), Rejection::Invalid, "");
    let retyped = good.with(|bundle| bundle["dsseEnvelope"]["payloadType"] = "text/plain".into());
    refused(&retyped, &verifier(), Rejection::Malformed, "text/plain");
    let mut twice = good.bundle["dsseEnvelope"]["signatures"].clone();
    let one = twice[0].clone();
    for second in [one, more.bundle["dsseEnvelope"]["signatures"][0].clone()] {
        twice = json!([twice[0], second]);
        let twice = good.with(|bundle| bundle["dsseEnvelope"]["signatures"] = twice.clone());
        refused(&twice, &verifier(), Rejection::Malformed, "signature");
    }
    let never = good.with(|bundle| bundle["dsseEnvelope"]["signatures"] = json!([]));
    refused(&never, &verifier(), Rejection::Malformed, "signature");
}
