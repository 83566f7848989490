//! Sigstore bundles, which refer to the image: statements, of which one type is cosign's signature, and plain signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{AttachedBlob, Attachment, Found, Referrer};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sigstore::BUNDLE_MAX;

use super::gather::{BUNDLE, Subject};
use super::{
    Absent, Claim, Evidence, EvidenceError, FoundAttestation, FoundSignature, Origin, Rejected, SIGN_TYPE,
    Unusable,
};

/// Reads and verifies one bundle.
pub(super) async fn read_bundle(subject: &Subject<'_>, listed: &Referrer) -> Result<Evidence, EvidenceError> {
    let place = format!("{}@{}", subject.repository, listed.digest);
    // What cannot be read may be provenance, whatever an annotation says of it.
    let unknown = Claim::Attestation(None);
    let mut evidence = Evidence::default();
    let attachment = match subject.means.reader.referrer(subject.repository, subject.digest, listed).await {
        Ok(Found::Present(attachment)) => attachment,
        Ok(Found::Absent(_)) => {
            evidence.note(Unusable::Absent(Absent { claim: unknown, place }));
            return Ok(evidence);
        }
        Err(error) => {
            evidence.note(subject.unreadable(unknown, place, error)?);
            return Ok(evidence);
        }
    };
    let reason = match only_bundle(&attachment) {
        Ok(Some(layer)) => match subject.content(layer, BUNDLE_MAX, unknown, &place).await? {
            Ok(bundle) => return verify_bundle(subject, attachment, &bundle, &place).await,
            Err(why) => {
                evidence.note(why);
                return Ok(evidence);
            }
        },
        // Something else, of which the list did not say what it is.
        Ok(None) => return Ok(evidence),
        Err(reason) => reason,
    };
    evidence.note(Unusable::Rejected(Rejected { claim: unknown, reason, place }));
    Ok(evidence)
}

/// The layer that is a bundle, where the manifest claims to have one: what nobody verifies must not be carried with what
/// somebody has verified, so that it has no other.
fn only_bundle(attachment: &Attachment) -> Result<Option<&AttachedBlob>, String> {
    let layers = &attachment.layers;
    match layers.iter().find(|layer| layer.media_type.starts_with(BUNDLE)) {
        None if attachment.artifact_type.starts_with(BUNDLE) => Err("it holds no bundle".to_owned()),
        None => Ok(None),
        Some(layer) if layers.len() == 1 => Ok(Some(layer)),
        Some(_) => Err(format!("it has {} layers, where a bundle is one", layers.len())),
    }
}

/// Verifies the content of a bundle.
async fn verify_bundle(
    subject: &Subject<'_>,
    attachment: Attachment,
    bundle: &[u8],
    place: &str,
) -> Result<Evidence, EvidenceError> {
    let Peeked { content, by_certificate } = peek(bundle);
    let is_attestation = matches!(&content, Content::Statement(kind) if kind.as_deref() != Some(SIGN_TYPE));
    let verifier = subject.attestations(by_certificate && is_attestation).await?;
    let origin =
        Origin::Referrer { repository: subject.repository.clone(), attachment: Box::new(attachment) };
    let mut evidence = Evidence::default();
    match content {
        Content::Message => match verifier.artifact(bundle, &subject.sha256) {
            Ok(verified) => evidence.signatures.push(FoundSignature {
                signatory: verified.signatory,
                signed_at: verified.signed_at,
                reference: None,
                origin,
            }),
            Err(why) => evidence.refuse(&why, Claim::Signature, place),
        },
        Content::Statement(predicate_type) => match verifier.statement(bundle, &subject.sha256) {
            Ok(verified) if verified.content.predicate_type == SIGN_TYPE => {
                let named = verified.content.subject.iter();
                let named = named.filter(|named| named.digest.get("sha256") == Some(&subject.sha256));
                let reference = named.map(|named| named.name.clone()).find(|name| !name.is_empty());
                evidence.signatures.push(FoundSignature {
                    signatory: verified.signatory,
                    signed_at: verified.signed_at,
                    reference,
                    origin,
                });
            }
            Ok(verified) => evidence.attestations.push(FoundAttestation {
                signatory: verified.signatory,
                signed_at: verified.signed_at,
                statement: verified.content,
                origin,
            }),
            Err(why) => evidence.refuse(&why, claimed(predicate_type), place),
        },
    }
    Ok(evidence)
}

fn claimed(predicate_type: Option<String>) -> Claim {
    if predicate_type.as_deref() == Some(SIGN_TYPE) {
        Claim::Signature
    } else {
        Claim::Attestation(predicate_type)
    }
}

/// What a bundle claims to hold.
pub(super) enum Content {
    Message,
    /// A statement, with the type of its predicate.
    Statement(Option<String>),
}

/// What can be told of a bundle before it is verified.
pub(super) struct Peeked {
    pub(super) content: Content,
    /// Whether it has a certificate, rather than a key's hint.
    pub(super) by_certificate: bool,
}

pub(super) fn peek(bundle: &[u8]) -> Peeked {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle {
        dsse_envelope: Option<Envelope>,
        message_signature: Option<IgnoredAny>,
        verification_material: Option<Material>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Material {
        certificate: Option<IgnoredAny>,
        x509_certificate_chain: Option<IgnoredAny>,
    }
    let Ok(Bundle { dsse_envelope, message_signature, verification_material }) =
        serde_json::from_slice(bundle)
    else {
        return Peeked { content: Content::Statement(None), by_certificate: false };
    };
    let has_certificate =
        |material: Material| material.certificate.is_some() || material.x509_certificate_chain.is_some();
    let content = match dsse_envelope {
        None if message_signature.is_some() => Content::Message,
        envelope => Content::Statement(envelope.and_then(|envelope| envelope.predicate_type())),
    };
    Peeked { content, by_certificate: verification_material.is_some_and(has_certificate) }
}

/// The type of the predicate that an envelope claims to hold.
pub(super) fn predicate_type_of_envelope(envelope: &[u8]) -> Option<String> {
    serde_json::from_slice::<Envelope>(envelope).ok()?.predicate_type()
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

impl Envelope {
    fn predicate_type(&self) -> Option<String> {
        /// The longest type that is told.
        const TYPE_MAX: usize = 1024;
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Peeked {
            predicate_type: String,
        }
        let payload = STANDARD.decode(&self.payload).ok()?;
        let peeked: Peeked = serde_json::from_slice(&payload).ok()?;
        Some(peeked.predicate_type).filter(|text| text.len() <= TYPE_MAX)
    }
}
