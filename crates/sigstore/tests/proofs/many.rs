//! All signatures share a certificate until it is about to expire.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::SignedDuration;
use serde_json::{Value, json};
use sigstore::{Services, Signer};
use testkit::Rekor;

use crate::support::authority::{Authority, Wanted};
use crate::support::bundle::Good;
use crate::support::handmade::without_logs;
use crate::support::server::Server;
use crate::support::stack::{
    root_with, services, sha256, signer_at, sigstore, statement, verifier, verifier_with,
};

const AT_ONCE: usize = 16;

fn certificate(bundle: &[u8]) -> String {
    let bundle: Value = serde_json::from_slice(bundle).unwrap();
    bundle["verificationMaterial"]["certificate"]["rawBytes"].as_str().unwrap().to_owned()
}

/// Signs a number of digests, verifies each signature, and returns the number of certificates.
async fn sign(signer: &Signer, number: usize) -> usize {
    let sign_one = async |index: usize| {
        let artifact = format!("image {index}");
        let signed = signer.statement(&statement(artifact.as_bytes()), &sha256(artifact.as_bytes())).await?;
        Ok::<_, sigstore::SignError>((artifact, signed.bundle()))
    };
    let bundles: Vec<_> =
        stream::iter(0..number).map(sign_one).buffer_unordered(AT_ONCE).try_collect().await.unwrap();
    for (artifact, bundle) in &bundles {
        signer.verifier().statement(bundle, &sha256(artifact.as_bytes())).unwrap();
    }
    bundles.iter().map(|(_, bundle)| certificate(bundle)).collect::<BTreeSet<_>>().len()
}

/// Timestamped but not logged, because so many real log entries would take minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn two_thousand_digests_need_at_most_three_certificates() {
    let fulcio = Server::before(sigstore().fulcio(), |_, answer| answer);
    let services = Services { fulcio: Some(fulcio.url()), rekor: Vec::new(), ..services(Rekor::V1) };
    let signer = signer_at(services, verifier_with(|root| root["tlogs"] = json!([])));
    let certificates = sign(&signer, 2000).await;
    assert_eq!(fulcio.count(), certificates);
    assert!(certificates <= 3, "{certificates}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn three_hundred_logged_digests_need_one_certificate() {
    let fulcio = Server::before(sigstore().fulcio(), |_, answer| answer);
    let services = Services { fulcio: Some(fulcio.url()), ..services(Rekor::V1) };
    assert_eq!(sign(&signer_at(services, verifier()), 300).await, 1);
    assert_eq!(fulcio.count(), 1);
}

/// The first task requests the certificate, and the others wait for the result.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn concurrent_signers_request_one_certificate() {
    let fulcio = Server::before(sigstore().fulcio(), |_, answer| answer);
    let services = Services { fulcio: Some(fulcio.url()), ..services(Rekor::V1) };
    let signer = signer_at(services, verifier());
    let clones = vec![signer.clone(); 50];
    try_join_all(clones.iter().map(Signer::signatory)).await.unwrap();
    assert_eq!(fulcio.count(), 1);
}

/// If the certificate expires during a run, the rest is signed with another one, and all signatures verify.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_certificate_is_replaced_only_shortly_before_it_expires() {
    let lives = [300, 89, 10, 600].map(|seconds| Wanted::good_for(SignedDuration::from_secs(seconds)));
    let fulcio = Authority::trusted().serve(lives.to_vec());
    let services = Services { fulcio: Some(fulcio.url()), ..services(Rekor::V1) };
    let verifier = verifier_with(|root| root["ctlogs"] = json!([]));
    let signer = |services: &Services| signer_at(services.clone(), verifier.clone());
    // Five minutes are enough for many signatures.
    let first = signer(&services);
    let mut signed = vec![first.message(b"message").await.unwrap(), first.message(b"message").await.unwrap()];
    assert_eq!(fulcio.count(), 1);
    assert_eq!(certificate(&signed[0].bundle()), certificate(&signed[1].bundle()));
    // A minute and a half is not enough for another signature.
    let second = signer(&services);
    for number in [2, 3, 4, 4, 4] {
        signed.push(second.message(b"message").await.unwrap());
        assert_eq!(fulcio.count(), number);
    }
    let certificates: BTreeSet<_> = signed.iter().map(|signed| certificate(&signed.bundle())).collect();
    assert_eq!(certificates.len(), 4);
    for signed in &signed {
        Good::of(&signed.bundle(), b"message").judged_by(&verifier).unwrap();
    }
}

/// A key needs no certificate.
#[tokio::test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn signing_with_a_key_sends_no_request_to_fulcio() {
    let fulcio = Server::before(sigstore().fulcio(), |_, answer| answer);
    let services = Services { fulcio: Some(fulcio.url()), ..services(Rekor::V1) };
    let key = sigstore::SigningKey::generate().unwrap();
    let root = root_with(without_logs);
    let signer = Signer::with_key(crate::support::stack::door(), key, services, Some(&root)).unwrap();
    signer.message(b"message").await.unwrap();
    assert_eq!(fulcio.count(), 0);
}
