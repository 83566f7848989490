//! A key, and the signatures and attachments created with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use oci::{
    AttachedTag, AttachmentKind, Client, Digest, Known, NewLayer, NewReferrer, RawManifest, Repository,
    Subject, Writer,
};
use serde_json::{Value, json};
use sigstore::{
    DSSE_TYPE, SIMPLE_SIGNING_TYPE, Services, Signed, Signer, SigningKey, SimpleSigning, Statement, Trust,
    TrustSettings,
};
use trust::evidence::SIGN_TYPE;

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// The holder of a key.
pub(crate) struct Hand {
    signer: Signer,
    key: sigstore::VerificationKey,
}

impl Hand {
    pub(crate) fn new() -> Self {
        let key = SigningKey::generate().unwrap();
        let verification_key = key.verification_key();
        let signer = Signer::with_key(super::door(), key, Services::none(), None).unwrap();
        Self { signer, key: verification_key }
    }

    /// Returns trust in this key and nothing else.
    pub(crate) fn trust(&self) -> Trust {
        let settings = TrustSettings { verification_key: Some(self.key.clone()), ..TrustSettings::default() };
        Trust::new(super::door(), settings).unwrap()
    }

    /// Returns a layer for a `.sig` tag whose payload names a digest.
    pub(crate) async fn signature(&self, digest: Digest) -> NewLayer {
        let payload =
            SimpleSigning::new("registry.example/app", &digest.to_string(), BTreeMap::new()).to_json();
        let annotations = self.signer.message(&payload).await.unwrap().annotations();
        NewLayer { media_type: SIMPLE_SIGNING_TYPE.to_owned(), content: payload.into(), annotations }
    }

    /// Returns a layer for a `.att` tag about a digest.
    pub(crate) async fn attestation(&self, digest: Digest, predicate_type: &str) -> NewLayer {
        let bundle: Value = serde_json::from_slice(&self.bundle(digest, predicate_type).await).unwrap();
        let content = serde_json::to_vec(&bundle["dsseEnvelope"]).unwrap().into();
        NewLayer { media_type: DSSE_TYPE.to_owned(), content, annotations: BTreeMap::new() }
    }

    /// Returns a bundle with a statement about a digest.
    pub(crate) async fn bundle(&self, digest: Digest, predicate_type: &str) -> Bytes {
        self.statement(digest, predicate_type).await.bundle().into()
    }

    /// Returns a bundle with a signature over a manifest.
    pub(crate) async fn message(&self, manifest: &RawManifest) -> Bytes {
        self.signer.message(manifest.bytes()).await.unwrap().bundle().into()
    }

    async fn statement(&self, digest: Digest, predicate_type: &str) -> Signed {
        let predicate = json!({ "buildDefinition": {}, "runDetails": { "builder": { "id": "b" } } });
        let statement = Statement::about("app", &digest.hex(), predicate_type, predicate);
        self.signer.statement(&statement, &digest.hex()).await.unwrap()
    }

    /// Signs an image as cosign 3 does.
    pub(crate) async fn sign_bundle(&self, digest: Digest) -> Bytes {
        self.bundle(digest, SIGN_TYPE).await
    }
}

/// Alters the signature in the content or the annotations of a layer, so that it no longer verifies.
pub(crate) fn forged(mut layer: NewLayer) -> NewLayer {
    layer.content = broken(&layer.content);
    layer.annotations = layer
        .annotations
        .into_iter()
        .map(|(name, value)| match name.ends_with("/signature") {
            true => (name, flipped(&value)),
            false => (name, value),
        })
        .collect();
    layer
}

/// Returns a layer for a `.att` tag that holds no attestation.
pub(crate) fn malformed() -> NewLayer {
    let content = Bytes::from_static(b"{}");
    NewLayer { media_type: DSSE_TYPE.to_owned(), content, annotations: BTreeMap::new() }
}

/// Returns the bundle or envelope with an altered signature.
pub(crate) fn broken(content: &Bytes) -> Bytes {
    let Ok(mut json) = serde_json::from_slice::<Value>(content) else { return content.clone() };
    for envelope in ["", "/dsseEnvelope"] {
        if let Some(signature) = json.pointer_mut(&format!("{envelope}/signatures/0/sig")) {
            *signature = flipped(signature.as_str().unwrap()).into();
        }
    }
    serde_json::to_vec(&json).unwrap().into()
}

/// Returns an altered signature of the same form: one character in the middle differs.
fn flipped(base64: &str) -> String {
    let at = base64.len() / 2;
    let other = if &base64[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &base64[..at], &base64[at + 1..])
}

/// Returns the writer of a separate client, so that the clients under test know nothing about the attachments.
fn writer() -> Writer {
    Client::new(super::door(), Arc::new(oci::Anonymous), HashMap::new()).writer()
}

/// Adds layers to an image's `.sig` or `.att` tag.
pub(crate) async fn append(
    repository: &Repository,
    digest: Digest,
    kind: AttachmentKind,
    layers: &[NewLayer],
) {
    let tag = AttachedTag::new(digest, kind).unwrap().tag();
    writer().append(repository, &tag, layers, Known::Unknown).await.unwrap();
}

/// Attaches a bundle as a referrer. Returns the digest of its manifest.
pub(crate) async fn attach(repository: &Repository, subject: &RawManifest, bundle: Bytes) -> Digest {
    attach_as(repository, subject, BUNDLE, BUNDLE, bundle).await
}

/// Attaches content that an annotation declares to be a bundle with a statement of the given type.
pub(crate) async fn attach_annotated(
    repository: &Repository,
    subject: &RawManifest,
    predicate_type: &str,
    content: Bytes,
) -> Digest {
    let annotations = [("dev.sigstore.bundle.predicateType".to_owned(), predicate_type.to_owned())];
    push(repository, subject, BUNDLE, BUNDLE, content, annotations.into()).await
}

pub(crate) async fn attach_as(
    repository: &Repository,
    subject: &RawManifest,
    artifact_type: &str,
    media_type: &str,
    content: Bytes,
) -> Digest {
    push(repository, subject, artifact_type, media_type, content, BTreeMap::new()).await
}

async fn push(
    repository: &Repository,
    subject: &RawManifest,
    artifact_type: &str,
    media_type: &str,
    content: Bytes,
    annotations: BTreeMap<String, String>,
) -> Digest {
    let layer = NewLayer { media_type: media_type.to_owned(), content, annotations: BTreeMap::new() };
    let subject = Subject::from(subject);
    let referrer = NewReferrer { subject, artifact_type: artifact_type.to_owned(), layer, annotations };
    writer().attach(repository, &referrer, Known::Unknown).await.unwrap()
}
