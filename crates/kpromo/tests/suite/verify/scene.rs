//! Images that are signed by hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci::{
    Anonymous, AttachedTag, AttachmentKind, Client, Digest, Known, NewLayer, NewReferrer, RawManifest,
    Repository,
};
use registry::sample::{Recipe, Sample};
use registry::{Config, Server};
use serde_json::{Value, json};
use sigstore::{DSSE_TYPE, SIMPLE_SIGNING_TYPE, Services, Signer, SigningKey, SimpleSigning, Statement};
use transport::{Door, Settings};

use crate::support::{Desk, Ran, kpromo, put, run, schema};

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const PROMOTION: &str = "https://k8s.io/promo-tools/promotion/v1";
pub(crate) const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// A signer with a key, who can attach signatures and attestations.
pub(crate) struct Hand {
    pub(crate) client: Client,
    pub(crate) signer: Signer,
    pub(crate) fingerprint: String,
    pub(crate) public: String,
}

impl Hand {
    pub(crate) fn new() -> Self {
        let door = Door::open(Settings::default()).unwrap();
        let key = SigningKey::generate().unwrap();
        let (public, fingerprint) = (key.verification_key().to_pem(), key.verification_key().fingerprint());
        let signer = Signer::with_key(door.clone(), key, Services::none(), None).unwrap();
        Self { client: Client::new(door, Arc::new(Anonymous), HashMap::new()), signer, fingerprint, public }
    }

    /// Adds a signature of an image, as `reference`, to the tag of `at`.
    pub(crate) async fn sign_at(&self, repository: &Repository, at: Digest, image: Digest, reference: &str) {
        let payload = SimpleSigning::new(reference, &image.to_string(), BTreeMap::new()).to_json();
        let annotations = self.signer.message(&payload).await.unwrap().annotations();
        let tag = AttachedTag::new(at, AttachmentKind::Signature).unwrap().tag();
        let layer =
            NewLayer { media_type: SIMPLE_SIGNING_TYPE.to_owned(), content: payload.into(), annotations };
        self.client.writer().append(repository, &tag, &[layer], Known::Unknown).await.unwrap();
    }

    pub(crate) async fn sign(&self, repository: &Repository, image: Digest, reference: &str) {
        self.sign_at(repository, image, image, reference).await;
    }

    /// Signs an index and every manifest that it lists.
    pub(crate) async fn sign_all(&self, repository: &Repository, sample: &Sample, reference: &str) {
        self.sign(repository, sample.digest(), reference).await;
        for child in sample.root().parse().unwrap().children {
            self.sign(repository, child.digest, reference).await;
        }
    }

    /// Attaches a bundle to an image. Returns the digest of the bundle's manifest.
    pub(crate) async fn bundle(
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
    pub(crate) async fn attest_in_tag(
        &self,
        repository: &Repository,
        image: Digest,
        about: Digest,
        kind: &str,
    ) {
        let hex = about.hex();
        let signed = self.signer.statement(&Statement::about("", &hex, kind, json!({})), &hex).await.unwrap();
        let bundle: Value = serde_json::from_slice(&signed.bundle()).unwrap();
        let tag = AttachedTag::new(image, AttachmentKind::Attestation).unwrap().tag();
        let content = bundle["dsseEnvelope"].to_string().into_bytes().into();
        let layer = NewLayer { media_type: DSSE_TYPE.to_owned(), content, annotations: BTreeMap::new() };
        self.client.writer().append(repository, &tag, &[layer], Known::Unknown).await.unwrap();
    }

    /// Attaches an attestation about an image as a bundle.
    pub(crate) async fn attest(
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
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) desk: Desk,
    pub(crate) hand: Hand,
    pub(crate) repository: Repository,
    pub(crate) image: String,
    pub(crate) sample: Sample,
}

impl Scene {
    pub(crate) async fn new() -> Self {
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
    pub(crate) async fn image(&self, name: &str, seed: u64) -> (Repository, Sample) {
        let sample = Recipe { seed, ..Recipe::default() }.image();
        put(&self.server, name, &sample, &["v1"]).await;
        (format!("{}/{name}", self.server.host()).parse().unwrap(), sample)
    }

    pub(crate) fn verify(&self, flags: &[&str]) -> Ran {
        let key = self.desk.path("key.pub");
        verify(&[&["--verification-key", key.to_str().unwrap()], flags].concat())
    }

    pub(crate) fn json(&self, flags: &[&str]) -> (i32, Value) {
        let ran = self.verify(&[&["--output", "json"], flags].concat());
        let document = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
        schema::is_strict("verify", &document);
        (ran.code, document)
    }
}

pub(crate) fn verify(flags: &[&str]) -> Ran {
    let mut command = kpromo(None);
    command.arg("verify").args(flags);
    run(command)
}

pub(crate) fn promotion(digest: Digest) -> Value {
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
