//! The Sigstore of the tests, used with cosign: the reference that kpromo is compared with must itself be consistent.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers report failures by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use registry::{Config, Server, sample::Recipe};
use serde_json::{Value, json};
use testkit::{
    Auth, Cosign, Crane, Distribution, DockerConfig, Expected, Issuer, Rekor, Signing, Sigstore, Summary,
    TokenRequest, TufRepository, verify_summary,
};

const SIGNER: &str = "promoter@example.com";
const PREDICATE: &str = "https://example.com/predicate/v1";

/// Two registries with the same index of two images: the embedded one, and that of the distribution project.
struct Registries {
    ours: Server,
    theirs: Distribution,
    index: oci::Digest,
    image: oci::Digest,
    config: DockerConfig,
}

impl Registries {
    async fn start() -> Self {
        let (ours, theirs) =
            (Server::start(Config::default()).await.unwrap(), Distribution::start(Auth::None));
        let sample = Recipe { seed: 7, ..Default::default() }.index(2);
        sample.put(ours.store(), &"team/app".parse().unwrap(), &["v1".parse().unwrap()]).await.unwrap();
        let config = DockerConfig::anonymous();
        let crane = Crane::new(&config);
        crane.copy(&format!("{}/team/app:v1", ours.host()), &format!("{}/team/app:v1", theirs.host()));
        let manifest: Value =
            serde_json::from_slice(&crane.manifest(&format!("{}/team/app:v1", ours.host()))).unwrap();
        let image = manifest["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
        Self { index: sample.digest(), image, ours, theirs, config }
    }

    fn references(&self, digest: &oci::Digest) -> [String; 2] {
        [self.ours.host(), self.theirs.host()].map(|host| format!("{host}/team/app@{digest}"))
    }
}

/// Returns the message of a panic.
fn panic_message(action: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(action)).expect_err("the action must fail");
    *panic.downcast::<String>().expect("panics here have formatted messages")
}

fn sigstore_and_signer() -> (&'static Sigstore, Signing<'static>, Expected<'static>) {
    let sigstore = Sigstore::shared();
    let expected = Expected::identity(SIGNER, sigstore.issuer(Issuer::Usual));
    (sigstore, Signing::keyless(sigstore.token(SIGNER)), expected)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn bundles_of_either_cosign_with_either_log_verify_with_the_other_in_both_registries() {
    let registries = Registries::start().await;
    let (sigstore, signing, expected) = sigstore_and_signer();
    let expected = expected.bundle();
    let (old, new) = (Cosign::v2(sigstore, &registries.config), Cosign::v3(sigstore, &registries.config));
    for (rekor, digest, writer, verifier) in [
        (Rekor::V1, &registries.index, new, new),
        (Rekor::V2, &registries.index, new, new),
        (Rekor::V1, &registries.image, old, new),
    ] {
        let signing = signing.clone().bundle(rekor);
        for reference in registries.references(digest) {
            writer.sign(&reference, &signing);
            verifier.verify(&reference, &expected).unwrap();
            writer.attest(&reference, PREDICATE, &json!({ "rekor": format!("{rekor:?}") }), &signing);
            verifier.verify_attestation(&reference, PREDICATE, &expected).unwrap();
            verifier.verify_attestation(&reference, "https://example.com/other", &expected).unwrap_err();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn tags_of_either_cosign_verify_with_the_other() {
    let registries = Registries::start().await;
    let (sigstore, signing, expected) = sigstore_and_signer();
    let (old, new) = (Cosign::v2(sigstore, &registries.config), Cosign::v3(sigstore, &registries.config));
    for (digest, writer, verifier) in [(&registries.index, old, new), (&registries.image, new, old)] {
        for reference in registries.references(digest) {
            verifier.verify(&reference, &expected).expect_err("nothing is signed yet");
            writer.sign(&reference, &signing);
            let payloads: Value =
                serde_json::from_str(&verifier.verify(&reference, &expected).unwrap()).unwrap();
            assert_eq!(payloads[0]["critical"]["image"]["docker-manifest-digest"], digest.to_string());
            writer.attest(&reference, PREDICATE, &json!({ "by": "us" }), &signing);
            verifier.verify_attestation(&reference, PREDICATE, &expected).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn signatures_by_key_verify_in_both_forms_for_an_index_and_its_images() {
    let registries = Registries::start().await;
    let sigstore = Sigstore::shared();
    let cosign = Cosign::v3(sigstore, &registries.config);
    let (keys, others) = (cosign.generate_key_pair(), cosign.generate_key_pair());
    let [ours, theirs] = registries.references(&registries.index);
    cosign.sign(&ours, &Signing::by_key(&keys).recursive());
    cosign.sign(&theirs, &Signing::by_key(&keys).bundle(Rekor::V2).recursive());
    let [our_image, their_image] = registries.references(&registries.image);
    for reference in [ours, our_image] {
        cosign.verify(&reference, &Expected::key(&keys.public())).unwrap();
        Cosign::v2(sigstore, &registries.config).verify(&reference, &Expected::key(&keys.public())).unwrap();
        cosign.verify(&reference, &Expected::key(&others.public())).unwrap_err();
    }
    for reference in [theirs, their_image] {
        cosign.verify(&reference, &Expected::key(&keys.public()).bundle()).unwrap();
        cosign.verify(&reference, &Expected::key(&others.public()).bundle()).unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn fulcio_certifies_the_identities_of_each_issuer() {
    let registries = Registries::start().await;
    let sigstore = Sigstore::shared();
    let cosign = Cosign::v3(sigstore, &registries.config);
    let [reference, _] = registries.references(&registries.index);
    let workflow = "https://github.com/org/repo/.github/workflows/provenance.yml@refs/tags/v1";
    for (request, issuer, identity) in [
        (TokenRequest::email(SIGNER).by(Issuer::Other), Issuer::Other, SIGNER),
        (TokenRequest::workload("ns/a/sa/b"), Issuer::Workload, "spiffe://kpromo.test/ns/a/sa/b"),
        (TokenRequest::workflow("org/repo", "provenance.yml", "refs/tags/v1"), Issuer::Workflow, workflow),
    ] {
        cosign.sign(&reference, &Signing::keyless(sigstore.token_of(&request)).bundle(Rekor::V1));
        let expected = Expected::identity(identity, sigstore.issuer(issuer)).bundle();
        cosign.verify(&reference, &expected).unwrap();
        let by_usual = Expected::identity(identity, sigstore.issuer(Issuer::Usual)).bundle();
        cosign.verify(&reference, &by_usual).unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn fulcio_refuses_invalid_tokens() {
    let registries = Registries::start().await;
    let sigstore = Sigstore::shared();
    let cosign = Cosign::v3(sigstore, &registries.config);
    let [reference, _] = registries.references(&registries.index);
    for request in [
        TokenRequest::email(SIGNER).by(Issuer::Stranger),
        TokenRequest::email(SIGNER).claim("iss", sigstore.issuer(Issuer::Other)),
        TokenRequest::email(SIGNER).expires_in(-60),
        TokenRequest::email(SIGNER).audience("elsewhere"),
        TokenRequest::email(SIGNER).unverified(),
    ] {
        let signing = Signing::keyless(sigstore.token_of(&request)).bundle(Rekor::V1);
        let refused = panic_message(|| cosign.sign(&reference, &signing));
        assert!(
            refused.contains("processing the identity token") || refused.contains("not verified by identity"),
            "{request:?}: {refused}"
        );
    }
}

/// Returns the response of an issuer to a request.
fn ask(url: &str, head: &str, body: &str) -> String {
    let authority = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let length = body.len();
    // In one write, because a server that refuses the head may close the connection before the body is sent.
    let request = format!("{head}\r\nHost: {authority}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns the claims of the token in a response.
fn claims(answer: &str) -> Value {
    let (_, middle) = answer.split_once("\r\n\r\n").unwrap();
    let middle = middle.split('.').nth(1).expect("a token has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap()
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn token_endpoints_behave_like_those_of_github_and_google() {
    let issuer = Sigstore::shared().issuer(Issuer::Usual);
    let github = "GET /github?audience=sigstore&job_workflow_ref=a HTTP/1.0";
    let answer = ask(issuer, &format!("{github}\r\nAuthorization: Bearer kpromo-test"), "");
    assert_eq!(
        (&claims(&answer)["aud"], &claims(&answer)["job_workflow_ref"]),
        (&json!("sigstore"), &json!("a"))
    );
    assert!(ask(issuer, github, "").contains("401"));

    let service = "/computeMetadata/v1/instance/service-accounts/default";
    let metadata = format!("GET {service}/identity?audience=sigstore&format=full HTTP/1.0");
    let answer = ask(issuer, &format!("{metadata}\r\nMetadata-Flavor: Google"), "");
    assert_eq!(claims(&answer)["email"], "default@kpromo.test");
    assert!(ask(issuer, &metadata, "").contains("403"));

    let call = "POST /v1/projects/-/serviceAccounts/a@b.test:generateIdToken HTTP/1.0";
    let body = json!({ "audience": "sigstore", "includeEmail": true }).to_string();
    let answer = ask(issuer, &format!("{call}\r\nAuthorization: Bearer kpromo-test"), &body);
    assert_eq!(claims(&answer)["email"], "a@b.test");
    assert!(ask(issuer, call, &body).contains("401"));
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn cosign_gets_its_trust_root_from_the_tuf_repository() {
    let (sigstore, config) = (Sigstore::shared(), DockerConfig::anonymous());
    let repository = TufRepository::of(sigstore, Rekor::V2);
    let root = config.directory().join("root.json");
    fs::write(&root, repository.root(1)).unwrap();
    let initialise = |root: &Path| {
        let url = repository.url();
        Cosign::v3(sigstore, &config).run([
            "initialize".as_ref(),
            "--mirror".as_ref(),
            url.as_ref(),
            "--root".as_ref(),
            root.as_os_str(),
        ])
    };
    initialise(&root).unwrap();
    let asked = repository.requests();
    assert!(asked.contains(&repository.target_path("trusted_root.json")), "{asked:?}");
    let other = config.directory().join("other.json");
    fs::write(&other, TufRepository::start([]).root(1)).unwrap();
    initialise(&other).expect_err("the root of another repository");
}

/// Writes a summary with `SLSA_BUILD_LEVEL_2` for `subject`, and the public key of its signature.
fn write_summary(directory: &Path, subject: &oci::Digest) {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "app", "digest": { "sha256": subject.hex() } }],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": { "id": "https://example.com/verifier" },
            "timeVerified": "2026-01-01T00:00:00Z",
            "resourceUri": "registry.example.com/app",
            "policy": { "uri": "https://example.com/policy" },
            "verificationResult": "PASSED",
            "verifiedLevels": ["SLSA_BUILD_LEVEL_2"],
            "slsaVersion": "1.0",
        },
    });
    let (kind, payload) = ("application/vnd.in-toto+json", statement.to_string());
    let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let public = STANDARD.encode(key.public_key().as_der().unwrap().as_ref());
    let envelope = json!({
        "payloadType": kind,
        "payload": STANDARD.encode(payload),
        "signatures": [{ "keyid": "test", "sig": STANDARD.encode(signature.as_ref()) }],
    });
    fs::write(directory.join("summary.json"), envelope.to_string()).unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
    fs::write(directory.join("key.pub"), pem).unwrap();
}

#[test]
#[ignore = "needs external programs, run by `cargo xtask test`"]
fn slsa_verifier_accepts_a_summary_and_refuses_other_expected_values() {
    let directory = tempfile::tempdir().unwrap();
    let (subject, other) = (oci::Digest::of(b"image"), oci::Digest::of(b"another"));
    write_summary(directory.path(), &subject);
    let summary = Summary {
        envelope: &directory.path().join("summary.json"),
        key: &directory.path().join("key.pub"),
        key_id: "test",
        subject: &subject,
        verifier: "https://example.com/verifier",
        resource: "registry.example.com/app",
        level: "SLSA_BUILD_LEVEL_2",
    };
    verify_summary(&summary).unwrap();
    verify_summary(&Summary { level: "SLSA_BUILD_LEVEL_3", ..summary }).unwrap_err();
    verify_summary(&Summary { subject: &other, ..summary }).unwrap_err();
    verify_summary(&Summary { verifier: "https://example.com/other", ..summary }).unwrap_err();
}
