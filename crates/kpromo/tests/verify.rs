//! `kpromo verify` as a user runs it: results, output and exit codes. The signatures are made with the tests' own keys.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci::{
    Anonymous, AttachedTag, AttachmentKind, Client, Digest, Known, NewLayer, NewReferrer, RawManifest,
    Repository,
};
use registry::sample::{Recipe, Sample};
use registry::{Config, Effect, Fault, Kind, Server};
use serde_json::{Value, json};
use sigstore::{DSSE_TYPE, SIMPLE_SIGNING_TYPE, Services, Signer, SigningKey, SimpleSigning, Statement};
use support::{Desk, Said, kpromo, put, run};
use testkit::{Cosign, DockerConfig, Issuer, Rekor, Signing, Sigstore};
use transport::{Door, Settings};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PROMOTION: &str = "https://k8s.io/promo-tools/promotion/v1";
const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// A signer with a key, who can attach signatures and attestations.
struct Hand {
    client: Client,
    signer: Signer,
    fingerprint: String,
    public: String,
}

impl Hand {
    fn new() -> Self {
        let door = Door::open(Settings::default()).unwrap();
        let key = SigningKey::generate().unwrap();
        let (public, fingerprint) = (key.verification_key().to_pem(), key.verification_key().fingerprint());
        let signer = Signer::with_key(door.clone(), key, Services::none(), None).unwrap();
        Self { client: Client::new(door, Arc::new(Anonymous), HashMap::new()), signer, fingerprint, public }
    }

    /// Adds a signature of an image, as `reference`, to the tag of `at`.
    async fn sign_at(&self, repository: &Repository, at: Digest, image: Digest, reference: &str) {
        let payload = SimpleSigning::new(reference, &image.to_string(), BTreeMap::new()).to_json();
        let annotations = self.signer.message(&payload).await.unwrap().annotations();
        let tag = AttachedTag::new(at, AttachmentKind::Signature).unwrap().tag();
        let layer =
            NewLayer { media_type: SIMPLE_SIGNING_TYPE.to_owned(), content: payload.into(), annotations };
        self.client.writer().append(repository, &tag, &[layer], Known::Unknown).await.unwrap();
    }

    async fn sign(&self, repository: &Repository, image: Digest, reference: &str) {
        self.sign_at(repository, image, image, reference).await;
    }

    /// Signs an index and every manifest that it lists.
    async fn sign_all(&self, repository: &Repository, sample: &Sample, reference: &str) {
        self.sign(repository, sample.digest(), reference).await;
        for child in sample.root().parse().unwrap().children {
            self.sign(repository, child.digest, reference).await;
        }
    }

    /// Attaches a bundle to an image. Returns the digest of the bundle's manifest.
    async fn bundle(
        &self,
        repository: &Repository,
        image: &RawManifest,
        content: Vec<u8>,
        kind: &str,
    ) -> Digest {
        let annotations = [("dev.sigstore.bundle.predicateType", kind)];
        let referrer = NewReferrer {
            subject: image.into(),
            artifact_type: BUNDLE.to_owned(),
            layer: NewLayer {
                media_type: BUNDLE.to_owned(),
                content: content.into(),
                annotations: BTreeMap::new(),
            },
            annotations: annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        };
        self.client.writer().attach(repository, &referrer, Known::Unknown).await.unwrap()
    }

    /// Attaches an attestation about `about` under the tag that cosign uses for `image`.
    async fn attest_in_tag(&self, repository: &Repository, image: Digest, about: Digest, kind: &str) {
        let hex = about.hex();
        let signed = self.signer.statement(&Statement::about("", &hex, kind, json!({})), &hex).await.unwrap();
        let bundle: Value = serde_json::from_slice(&signed.bundle()).unwrap();
        let tag = AttachedTag::new(image, AttachmentKind::Attestation).unwrap().tag();
        let content = bundle["dsseEnvelope"].to_string().into_bytes().into();
        let layer = NewLayer { media_type: DSSE_TYPE.to_owned(), content, annotations: BTreeMap::new() };
        self.client.writer().append(repository, &tag, &[layer], Known::Unknown).await.unwrap();
    }

    /// Attaches an attestation about an image as a bundle.
    async fn attest(
        &self,
        repository: &Repository,
        image: &RawManifest,
        name: &str,
        kind: &str,
        predicate: Value,
    ) -> Digest {
        let hex = image.digest().hex();
        let signed =
            self.signer.statement(&Statement::about(name, &hex, kind, predicate), &hex).await.unwrap();
        self.bundle(repository, image, signed.bundle(), kind).await
    }
}

/// A registry with an index of two platforms under `prod/app:v1`, and the trusted signer.
struct Scene {
    server: Server,
    desk: Desk,
    hand: Hand,
    repository: Repository,
    image: String,
    sample: Sample,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::start(Config::default()).await.unwrap();
        let (desk, hand) = (Desk::new(), Hand::new());
        let sample = Recipe { seed: 1, ..Recipe::default() }.index(2);
        put(&server, "prod/app", &sample, &["v1"]).await;
        desk.write("key.pub", &hand.public);
        let repository: Repository = format!("{}/prod/app", server.host()).parse().unwrap();
        let image = format!("{repository}:v1");
        Self { server, desk, hand, repository, image, sample }
    }

    /// Puts an image without platforms into a new repository.
    async fn image(&self, name: &str, seed: u64) -> (Repository, Sample) {
        let sample = Recipe { seed, ..Recipe::default() }.image();
        put(&self.server, name, &sample, &["v1"]).await;
        (format!("{}/{name}", self.server.host()).parse().unwrap(), sample)
    }

    fn verify(&self, flags: &[&str]) -> Said {
        let key = self.desk.path("key.pub");
        verify(&[&["--verification-key", key.to_str().unwrap()], flags].concat())
    }

    fn json(&self, flags: &[&str]) -> (i32, Value) {
        let said = self.verify(&[&["--output", "json"], flags].concat());
        (said.code, serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr)))
    }
}

fn verify(flags: &[&str]) -> Said {
    let mut command = kpromo(None);
    command.arg("verify").args(flags);
    run(command)
}

fn promotion(digest: Digest) -> Value {
    json!({
        "srcRef": format!("gcr.io/staging/app@{digest}"), "dstRef": "registry.example/app", "digest": digest,
        "timestamp": "2026-01-02T03:04:05Z", "builderId": "https://k8s.io/promo-tools@1.0",
        "manifest": {
            "name": "images/app/images.yaml", "uri": "git+https://github.com/org/manifests",
            "digest": { "gitCommit": "c0ffee" },
        },
        "job": { "name": "promote", "buildId": "7" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_attached_to_a_promoted_image_is_told_in_a_schema_that_stays() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    let (root, digest) = (sample.root(), sample.digest());
    hand.sign_all(repository, sample, &repository.to_string()).await;
    let record = hand.attest(repository, root, "registry.example/app", PROMOTION, promotion(digest)).await;
    let summary = json!({
        "verifier": { "id": "https://k8s.io/promo-tools/verifier/v1" }, "timeVerified": "2026-01-02T03:04:06Z",
        "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
    });
    let summary = hand.attest(repository, root, "registry.example/app", SUMMARY, summary).await;
    let carried = hand.attest(repository, root, "x", PROVENANCE, json!({})).await;

    let key = json!({ "key": hand.fingerprint });
    let signature = |digest: Digest| {
        let tag = AttachedTag::new(digest, AttachmentKind::Signature).unwrap();
        json!({
            "standing": "counts", "signer": key, "reference": repository,
            "place": format!("{repository}:{tag}, layer 1"),
        })
    };
    let platform = |digest: Digest, platform: Option<String>| {
        json!({
            "digest": digest, "platform": platform, "signed": true, "objections": [],
            "signatures": [signature(digest)], "records": [], "summaries": [], "attestations": [], "refused": [],
            "platforms": [],
        })
    };
    let children = root.parse().unwrap().children;
    let children: Vec<Value> =
        children.into_iter().map(|child| platform(child.digest, child.platform)).collect();
    assert_eq!(children.len(), 2);
    let expected = json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "exitCode": 0,
        "signer": format!("the key {}", scene.desk.path("key.pub").display()),
        "images": [{
            "image": image,
            "outcome": "signed",
            "digest": digest,
            "signed": true,
            "objections": [],
            "signatures": [signature(digest)],
            "records": [{
                "accepted": true, "signer": key,
                "source": format!("gcr.io/staging/app@{digest}"), "destination": "registry.example/app",
                "timestamp": "2026-01-02T03:04:05Z", "builder": "https://k8s.io/promo-tools@1.0",
                "manifest": "images/app/images.yaml", "repository": "git+https://github.com/org/manifests",
                "commit": "c0ffee", "job": "promote 7",
                "place": format!("{repository}@{record}"),
            }],
            "summaries": [{
                "accepted": true, "signer": key, "result": "PASSED", "levels": ["SLSA_BUILD_LEVEL_3"],
                "verifier": "https://k8s.io/promo-tools/verifier/v1", "timestamp": "2026-01-02T03:04:06Z",
                "place": format!("{repository}@{summary}"),
            }],
            "attestations": [{
                "predicateType": PROVENANCE, "signer": key, "place": format!("{repository}@{carried}"),
            }],
            "refused": [],
            "platforms": children,
        }],
    });
    let (code, found) = scene.json(&[image]);
    assert_eq!((code, &found), (0, &expected), "{found:#}");
    let by_digest = format!("{repository}@{digest}");
    let (code, found) = scene.json(&[&by_digest]);
    assert_eq!((code, &found["images"][0]["records"]), (0, &expected["images"][0]["records"]));

    let said = scene.verify(&[image]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for part in [
        "signed by the key",
        "2 of 2 platforms signed",
        "from gcr.io/staging/app@",
        "images/app/images.yaml of git+https://github.com/org/manifests",
        "at c0ffee",
        "PASSED SLSA_BUILD_LEVEL_3",
        PROVENANCE,
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    assert!(!said.stdout.contains("linux/"), "platforms are counted: {}", said.stdout);
    let listed = scene.verify(&["--platforms", image]);
    assert!(listed.stdout.contains("linux/"), "and listed where that is asked for: {}", listed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_signed_is_refused_in_four_requests() {
    let scene = Scene::new().await;
    let (repository, _) = scene.image("prod/plain", 2).await;
    scene.server.tally().reset();
    let said = scene.verify(&[&format!("{repository}:v1")]);
    assert_eq!(said.code, 12, "{}", said.stderr);
    assert!(
        said.stdout.contains("NOT SIGNED") && said.stdout.contains("it has no signature"),
        "{}",
        said.stdout
    );
    let asked = scene.server.tally().snapshot();
    assert_eq!((asked.total(), asked.writes()), (4, 0), "the manifest, two tags and the referrers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_platforms_are_not_all_signed_is_refused_and_the_platform_is_named() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    let children = sample.root().parse().unwrap().children;
    hand.sign(repository, sample.digest(), &repository.to_string()).await;
    hand.sign(repository, children[0].digest, &repository.to_string()).await;
    let said = scene.verify(&[image]);
    assert_eq!(said.code, 12, "{}", said.stderr);
    assert!(said.stdout.contains("1 of 2 platforms signed"), "{}", said.stdout);
    let missing = format!("refused: {} ({})", children[1].platform.as_ref().unwrap(), children[1].digest);
    assert!(said.stdout.contains(&missing), "{missing}: {}", said.stdout);
    let (_, found) = scene.json(&[image]);
    assert_eq!(
        (&found["images"][0]["outcome"], &found["images"][0]["signed"]),
        (&json!("refused"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_of_an_index_within_an_index_have_to_be_signed_too() {
    let scene = Scene::new().await;
    let sample = Recipe { seed: 5, ..Recipe::default() }.nested_index();
    put(&scene.server, "prod/nested", &sample, &["v1"]).await;
    let repository: Repository = format!("{}/prod/nested", scene.server.host()).parse().unwrap();
    let image = format!("{repository}:v1");
    let (first, others) = sample.manifests.split_first().unwrap();
    for manifest in others {
        scene.hand.sign(&repository, manifest.digest(), &repository.to_string()).await;
    }
    let said = scene.verify(&[&image]);
    assert_eq!(said.code, 12, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("3 of 4 platforms signed"), "the inner index is one: {}", said.stdout);
    assert!(said.stdout.contains(&format!("({}): it has no signature", first.digest())), "{}", said.stdout);
    scene.hand.sign(&repository, first.digest(), &repository.to_string()).await;
    assert_eq!(scene.verify(&[&image]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_another_key_and_one_of_another_image_prove_nothing() {
    let scene = Scene::new().await;
    let (other, _) = scene.image("prod/other", 3).await;
    let (repository, sample) = scene.image("prod/plain", 2).await;
    Hand::new().sign(&repository, sample.digest(), &repository.to_string()).await;
    let image = format!("{repository}:v1");
    let (code, found) = scene.json(&[&image]);
    let entry = &found["images"][0];
    assert_eq!((code, &entry["signatures"]), (12, &json!([])));
    assert_eq!(entry["refused"][0]["kind"], "signature");
    assert!(entry["objections"][0].as_str().unwrap().contains("does not verify"), "{entry:#}");

    // A valid signature, attached to an image that it was not made for.
    let name = other.to_string();
    scene
        .hand
        .sign_at(&other, Recipe { seed: 3, ..Recipe::default() }.image().digest(), sample.digest(), &name)
        .await;
    let (code, found) = scene.json(&[&format!("{other}:v1")]);
    assert_eq!(code, 12, "{found:#}");
    let reason = found["images"][0]["refused"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("about something else") && reason.contains(&sample.digest().to_string()),
        "{reason}"
    );

    // One accepted signature suffices, despite the refused ones.
    scene.hand.sign(&repository, sample.digest(), &repository.to_string()).await;
    let (code, found) = scene.json(&[&image]);
    assert_eq!((code, found["images"][0]["refused"].as_array().unwrap().len()), (0, 1), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_for_the_name_of_the_image_or_what_users_call_it_and_may_be_in_the_canonical_region() {
    let scene = Scene::new().await;
    let canonical = Server::start(Config::default()).await.unwrap();
    let (repository, sample) = scene.image("prod/images/plain", 2).await;
    put(&canonical, "prod/images/plain", &sample, &["v1"]).await;
    let config = scene.desk.write(
        "config.yaml",
        &format!(
            "production: {{ canonicalHost: '{}', path: prod/images, reference: registry.example }}\n",
            canonical.host()
        ),
    );
    let image = format!("{repository}:v1");
    let flags = ["--registry-config", config.to_str().unwrap(), &image];

    let in_canonical: Repository = format!("{}/prod/images/plain", canonical.host()).parse().unwrap();
    scene.hand.sign(&in_canonical, sample.digest(), "registry.example/other").await;
    let (code, found) = scene.json(&flags);
    assert_eq!((code, &found["images"][0]["signatures"][0]["standing"]), (12, &json!("other-reference")));
    let objection = found["images"][0]["objections"][0].as_str().unwrap();
    assert!(
        objection.contains("registry.example/other") && objection.contains("registry.example/plain"),
        "{objection}"
    );

    scene.hand.sign(&in_canonical, sample.digest(), "registry.example/plain").await;
    let (code, found) = scene.json(&flags);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(
        scene.json(&[&image]).0,
        12,
        "where nobody says what production is called, that is no name of it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_signatures_too_and_what_is_in_the_tag_of_attestations_is_attested() {
    let scene = Scene::new().await;
    let (repository, sample) = scene.image("prod/plain", 2).await;
    let image = format!("{repository}:v1");
    let hand = &scene.hand;
    // An attestation is not a signature, even by the trusted signer.
    hand.attest(&repository, sample.root(), "", PROVENANCE, json!({})).await;
    hand.attest_in_tag(&repository, sample.digest(), sample.digest(), "https://spdx.dev/Document").await;
    hand.attest_in_tag(&repository, sample.digest(), Digest::of(b"other"), PROVENANCE).await;
    let (code, found) = scene.json(&[&image]);
    let attested: Vec<&Value> = found["images"][0]["attestations"].as_array().unwrap().iter().collect();
    assert_eq!((code, attested.len()), (12, 2), "{found:#}");
    assert_eq!(attested[0]["predicateType"], "https://spdx.dev/Document");
    let refused = &found["images"][0]["refused"][0];
    assert_eq!(refused["kind"], "attestation", "{found:#}");
    assert!(refused["reason"].as_str().unwrap().contains("about something else"), "{refused}");

    let over_bytes = hand.signer.message(sample.root().bytes()).await.unwrap().bundle();
    hand.bundle(&repository, sample.root(), over_bytes, "").await;
    let (code, found) = scene.json(&[&image]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(found["images"][0]["signatures"][0].get("reference"), None, "it is for the digest");

    let (named, sample) = scene.image("prod/named", 4).await;
    let sign = "https://sigstore.dev/cosign/sign/v1";
    hand.attest(&named, sample.root(), "registry.example/other", sign, json!({})).await;
    let image = format!("{named}:v1");
    assert_eq!(scene.json(&[&image]).1["images"][0]["signatures"][0]["standing"], "other-reference");
    hand.bundle(&named, sample.root(), b"{".to_vec(), sign).await;
    hand.attest(&named, sample.root(), "", sign, json!({})).await;
    let (code, found) = scene.json(&[&image]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(found["images"][0]["refused"][0]["kind"], "attestation", "what cannot be read may be one");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_image_that_is_refused_decides_and_one_that_cannot_be_had_is_told() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    hand.sign_all(repository, sample, &repository.to_string()).await;
    let (plain, _) = scene.image("prod/plain", 2).await;
    let (plain, absent) = (format!("{plain}:v1"), format!("{repository}:absent"));

    let said = scene.verify(&[image, &absent]);
    assert_eq!(said.code, 20, "{}", said.stderr);
    assert!(said.stderr.contains(&absent) && said.stderr.contains("check the name"), "{}", said.stderr);
    assert!(said.stdout.contains("2 of 2 platforms signed"), "{}", said.stdout);
    let (code, found) = scene.json(&[&absent, &plain, image]);
    let outcomes: Vec<&str> =
        found["images"].as_array().unwrap().iter().map(|image| image["outcome"].as_str().unwrap()).collect();
    assert_eq!((code, outcomes), (12, vec!["unavailable", "refused", "signed"]));
    assert!(found["images"][0]["error"].as_str().unwrap().contains("404"), "{found:#}");
    assert_eq!(found["exitCode"], 12);

    // A registry that breaks the connection is an error, not an image without signatures.
    scene.server.faults().add(Fault::new(Effect::Reset).on(Kind::Referrers).path("prod/plain"));
    assert_eq!(scene.verify(&[&plain]).code, 20);
}

#[test]
fn what_is_wrong_with_the_command_line_or_a_file_is_told_before_anybody_is_asked() {
    let desk = Desk::new();
    let key = desk.write("key.pub", "nothing");
    let config = desk.write("config.yaml", "host: {}\n");
    // Nothing listens on port 1.
    let image = "127.0.0.1:1/app:v1";
    for (flags, code, expected) in [
        (&[][..], 2, "IMAGE"),
        (&["127.0.0.1:1/app"], 2, "127.0.0.1:1/app"),
        (&["--sign", image], 2, "--sign"),
        (&["--output", "yaml", image], 2, "yaml"),
        (&["--certificate-identity", "a", "--certificate-identity-regexp", "b", image], 2, "exclude"),
        (
            &["--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "i", image],
            10,
            "--certificate-identity-regexp",
        ),
        (&["--verification-key", key.to_str().unwrap(), image], 10, "key.pub: the verification key"),
        (
            &[
                "--certificate-identity",
                "a",
                "--certificate-oidc-issuer",
                "i",
                "--trusted-root",
                "/no/such/root.json",
                image,
            ],
            10,
            "/no/such/root.json",
        ),
        (&["--registry-config", config.to_str().unwrap(), image], 10, "config.yaml"),
    ] {
        let said = verify(flags);
        assert_eq!(said.code, code, "{flags:?}: {}", said.stderr);
        assert!(said.stderr.contains(expected) && said.stdout.is_empty(), "{flags:?}: {}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_says_whom_to_trust_no_registry_is_asked() {
    let scene = Scene::new().await;
    let root = scene.desk.write("root.json", r#"{"signed": {"_type": "root"}, "signatures": []}"#);
    // Nothing listens on port 1.
    let flags = ["--tuf-mirror", "http://127.0.0.1:1", "--tuf-root", root.to_str().unwrap()];
    let signer = ["--certificate-identity", "a", "--certificate-oidc-issuer", "https://i"];
    let said = verify(&[&flags[..], &signer, &[&scene.image, &scene.image]].concat());
    assert_eq!((said.code, said.stdout.as_str()), (20, ""), "{}", said.stderr);
    assert_eq!(
        said.stderr.matches("http://127.0.0.1:1").count(),
        1,
        "once, and not once an image: {}",
        said.stderr
    );
    assert_eq!(scene.server.tally().snapshot().total(), 0);
}

/// A signature by an arbitrary identity proves nothing. Like cosign, `kpromo verify` therefore requires the identity. The images
/// of Kubernetes have a default.
#[tokio::test(flavor = "multi_thread")]
async fn outside_of_kubernetes_the_signer_has_to_be_named() {
    let scene = Scene::new().await;
    for given in [&[][..], &["--certificate-identity", "a"], &["--certificate-oidc-issuer-regexp", "i"]] {
        let said = verify(&[given, &[&scene.image]].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{given:?}: {}", said.stderr);
        for flag in ["--certificate-identity", "--certificate-oidc-issuer", "--verification-key"] {
            assert!(said.stderr.contains(flag), "{given:?}: {}", said.stderr);
        }
    }
    assert_eq!(scene.server.tally().snapshot().total(), 0);

    let root = scene.desk.write("root.json", r#"{"signed": {"_type": "root"}, "signatures": []}"#);
    // Nothing listens on port 1, so there is no trust root, and no registry is contacted.
    let flags = ["--tuf-mirror", "http://127.0.0.1:1", "--tuf-root", root.to_str().unwrap()];
    let regional = "us-west2-docker.pkg.dev/k8s-artifacts-prod/images/pause:3.10";
    let kubernetes = verify(&[&flags[..], &["registry.k8s.io/pause:3.10", regional]].concat());
    assert_eq!(kubernetes.code, 20, "{}", kubernetes.stderr);
    let both = verify(&[&flags[..], &["registry.k8s.io/pause:3.10", &scene.image]].concat());
    assert!(both.code == 2 && both.stderr.contains(&scene.image), "{}", both.stderr);
}

/// The configuration of a promotion also names the trusted signer here, and flags override it.
#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_names_the_signer_and_flags_win() {
    let scene = Scene::new().await;
    let Scene { hand, repository, sample, image, .. } = &scene;
    hand.sign_all(repository, sample, &repository.to_string()).await;
    let config = scene.desk.write("kpromo.yaml", "verification: { key: key.pub }\n");
    let config = config.to_str().unwrap();
    for flag in ["--config", "--registry-config"] {
        let said = verify(&[flag, config, image]);
        assert_eq!(said.code, 0, "{flag}: {}", said.stderr);
    }
    let mut command = kpromo(None);
    command.env("KPROMO_CONFIG", config).args(["verify", image]);
    assert_eq!(run(command).code, 0);
    assert_eq!(verify(&["--config", config, "--registry-config", config, image]).code, 2);
    let other = scene.desk.write("other.pub", &Hand::new().public);
    let said = verify(&["--config", config, "--verification-key", other.to_str().unwrap(), image]);
    assert_eq!(said.code, 12, "{}", said.stdout);
}

/// kpromo attributes cosign's signatures with certificates, in both forms, to the signer in the certificate.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an outside part, run by `cargo xtask test`"]
async fn what_cosign_has_signed_is_by_whom_its_certificate_says_and_by_nobody_else() {
    let (sigstore, config) = (Sigstore::shared(), DockerConfig::anonymous());
    let server = Server::start(Config::default()).await.unwrap();
    let sample = Recipe { seed: 1, ..Recipe::default() }.index(2);
    let issuer = sigstore.issuer(Issuer::Usual);
    let by = "releases@example.com";
    for (name, cosign, bundle) in [
        ("prod/tag", Cosign::v2(sigstore, &config), false),
        ("prod/bundle", Cosign::v3(sigstore, &config), true),
    ] {
        put(&server, name, &sample, &["v1"]).await;
        let reference = format!("{}/{name}@{}", server.host(), sample.digest());
        let signing = Signing::keyless(sigstore.token(by));
        let signing = if bundle { signing.bundle(Rekor::V2) } else { signing };
        cosign.sign(&reference, &signing.clone().recursive());
        cosign.attest(&reference, PROVENANCE, &json!({ "buildDefinition": {} }), &signing);

        let root = sigstore.trusted_root();
        let verify = |flags: &[&str]| {
            let json = ["--output", "json", "--trusted-root", root.to_str().unwrap(), &reference];
            verify(&[&json[..], flags].concat())
        };
        let exact = ["--certificate-identity", by, "--certificate-oidc-issuer", issuer];
        let said = verify(&exact);
        assert_eq!(said.code, 0, "{name}: {}{}", said.stderr, said.stdout);
        let found: Value = serde_json::from_str(&said.stdout).unwrap();
        let image = &found["images"][0];
        let signer = json!({ "identity": by, "issuer": issuer });
        assert_eq!(image["signatures"][0]["signer"], signer, "{image:#}");
        assert!(image["signatures"][0]["signedAt"].is_string(), "{image:#}");
        assert_eq!(image["platforms"].as_array().unwrap().len(), 2);
        assert_eq!(image["attestations"][0]["predicateType"], PROVENANCE, "{image:#}");
        assert_eq!(image["refused"], json!([]));

        let pattern =
            ["--certificate-identity-regexp", ".*@example[.]com", "--certificate-oidc-issuer-regexp", ".*"];
        assert_eq!(verify(&pattern).code, 0, "{name}");
        let partial = ["--certificate-identity-regexp", "releases", "--certificate-oidc-issuer", issuer];
        assert_eq!(verify(&partial).code, 12, "{name}: an expression has to match the whole");
        let other =
            verify(&["--certificate-identity", by, "--certificate-oidc-issuer", "https://other.example"]);
        assert_eq!(other.code, 12, "{name}");
        assert!(other.stdout.contains("other-signer"), "{name}: {}", other.stdout);
        assert_eq!(verify(&[]).code, 2, "{name}: there is no default outside of Kubernetes");
    }
}
