//! Sigstore bundles, which refer to the image. They contain statements, one type of which is cosign's signature, or plain
//! signatures.

use oci::{AttachedBlob, Attachment, Found, Referrer};
use sigstore::BUNDLE_MAX;

use super::envelope::{Content, Peeked, peek};
use super::found::{
    Absent, Claim, Evidence, EvidenceError, FoundAttestation, FoundSignature, Location, Rejected, SIGN_TYPE,
    Unusable,
};
use super::subject::Subject;

/// The common prefix of the media types of all bundle versions.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The listed types of a manifest without an artifact type of its own. Registries then list the media type of its
/// configuration.
const UNTYPED: [&str; 3] =
    ["", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json"];

/// Reads and verifies one bundle.
pub(super) async fn read_bundle(subject: &Subject<'_>, listed: &Referrer) -> Result<Evidence, EvidenceError> {
    let place = format!("{}@{}", subject.repository, listed.digest);
    // An unreadable bundle may be provenance, regardless of its annotations.
    let unknown = Claim::Attestation(None);
    let mut evidence = Evidence::default();
    let attachment = match subject.client.reader.referrer(subject.repository, subject.digest, listed).await {
        Ok(Found::Present(attachment)) => attachment,
        Ok(Found::Absent(_)) => {
            evidence.note(Unusable::Absent(Absent { claim: unknown, place }, None));
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
        // The list had no type for this referrer, and it is not a bundle.
        Ok(None) => return Ok(evidence),
        Err(reason) => reason,
    };
    evidence.note(Unusable::Rejected(Rejected { claim: unknown, reason, place }, None));
    Ok(evidence)
}

/// Returns the bundle layer, or `None` if the manifest is not a bundle. The manifest must have no other layer: it would be
/// copied with the bundle without having been verified.
fn only_bundle(attachment: &Attachment) -> Result<Option<&AttachedBlob>, String> {
    let layers = &attachment.layers;
    match layers.iter().find(|layer| layer.media_type.starts_with(BUNDLE)) {
        None if attachment.artifact_type.starts_with(BUNDLE) => Err("it contains no bundle".to_owned()),
        None => Ok(None),
        Some(layer) if layers.len() == 1 => Ok(Some(layer)),
        Some(_) => Err(format!("it has {} layers, and a bundle has one", layers.len())),
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
    let location =
        Location::Referrer { repository: subject.repository.clone(), attachment: Box::new(attachment) };
    let mut evidence = Evidence::default();
    match content {
        Content::Message => match verifier.artifact(bundle, &subject.sha256) {
            Ok(verified) => evidence.signatures.push(FoundSignature {
                signatory: verified.signatory,
                signed_at: verified.signed_at,
                reference: None,
                location,
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
                    location,
                });
            }
            Ok(verified) => evidence.attestations.push(FoundAttestation {
                signatory: verified.signatory,
                signed_at: verified.signed_at,
                statement: verified.content,
                location,
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

/// Whether a referrer may be a bundle. If the list has no type for it, the layers of its manifest decide.
pub fn is_bundle(referrer: &Referrer) -> bool {
    let listed = referrer.artifact_type.as_deref();
    listed.is_none_or(|kind| kind.starts_with(BUNDLE) || UNTYPED.contains(&kind))
}
