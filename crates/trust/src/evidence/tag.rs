//! cosign's tags: each layer of `sha256-<hex>.sig` is a signature, and each layer of `sha256-<hex>.att` is an attestation.

use bytes::Bytes;
use oci::{AttachedBlob, Attachment, AttachmentKind, NewLayer, Tag};
use sigstore::{BUNDLE_MAX, CosignLayer, DSSE_TYPE, Rejection, SIMPLE_SIGNING_TYPE, SimpleSigning, Verified};

use super::envelope::predicate_type_of_envelope;
use super::found::{Claim, Evidence, EvidenceError, FoundAttestation, FoundSignature, Location, Rejected};
use super::subject::Subject;

/// The maximum number of layers of one tag that are read.
const LAYERS_MAX: usize = 100;
/// The maximum size of a signature's payload, in bytes.
pub(crate) const PAYLOAD_MAX: u64 = 1024 * 1024;

/// The annotation with the certificate of a layer's signer.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The prefixes of the annotations that a layer is verified with.
const PROOFS: [&str; 2] = ["dev.cosignproject.cosign/", "dev.sigstore.cosign/"];

/// Reads and verifies the layers of a tag's manifest.
pub(super) async fn read_layers(
    subject: &Subject<'_>,
    kind: AttachmentKind,
    tag: &Tag,
    attachment: Attachment,
    evidence: &mut Evidence,
) -> Result<(), EvidenceError> {
    let is_signature = kind == AttachmentKind::Signature;
    let claim = || if is_signature { Claim::Signature } else { Claim::Attestation(None) };
    let place = format!("{}:{tag}", subject.repository);
    let (expected, limit) =
        if is_signature { (SIMPLE_SIGNING_TYPE, PAYLOAD_MAX) } else { (DSSE_TYPE, BUNDLE_MAX) };
    let reject = |claim, reason: String, place: &str| Rejected { claim, reason, place: place.to_owned() };
    if attachment.layers.is_empty() {
        evidence.rejected.push(reject(claim(), "it has no layers".to_owned(), &place));
    }
    if attachment.layers.len() > LAYERS_MAX {
        let reason = format!("it has more than {LAYERS_MAX} layers, and the others are not read");
        evidence.rejected.push(reject(claim(), reason, &place));
    }
    for (index, layer) in attachment.layers.into_iter().take(LAYERS_MAX).enumerate() {
        let place = format!("{place}, layer {}", index + 1);
        if layer.media_type != expected {
            let reason = format!("a layer has the type {} instead of {expected}", layer.media_type);
            evidence.rejected.push(reject(claim(), reason, &place));
            continue;
        }
        let content = match subject.content(&layer, limit, claim(), &place).await? {
            Ok(content) => content,
            Err(why) => {
                evidence.note(why);
                continue;
            }
        };
        let by_certificate = layer.annotations.get(CERTIFICATE).is_some_and(|pem| !pem.is_empty());
        let verifier = subject.attestations(by_certificate && !is_signature).await?;
        let cosign = CosignLayer { payload: &content, annotations: &layer.annotations };
        if is_signature {
            match verifier.cosign_signature(&cosign).and_then(|verified| about(subject, verified)) {
                Ok(verified) => evidence.signatures.push(FoundSignature {
                    signatory: verified.signatory,
                    signed_at: verified.signed_at,
                    reference: Some(verified.content.reference().to_owned()),
                    location: location(subject, tag, index, layer, content),
                }),
                Err(why) => evidence.refuse(&why, claim(), &place),
            }
        } else {
            match verifier.cosign_attestation(&cosign, &subject.sha256) {
                Ok(verified) => evidence.attestations.push(FoundAttestation {
                    signatory: verified.signatory,
                    signed_at: verified.signed_at,
                    statement: verified.content,
                    location: location(subject, tag, index, layer, content),
                }),
                Err(why) => {
                    let claim = Claim::Attestation(predicate_type_of_envelope(&content));
                    evidence.refuse(&why, claim, &place);
                }
            }
        }
    }
    Ok(())
}

/// Checks that a signature names the image that it is attached to.
fn about(
    subject: &Subject<'_>,
    verified: Verified<SimpleSigning>,
) -> Result<Verified<SimpleSigning>, Rejection> {
    if verified.content.digest() == subject.digest.to_string() {
        Ok(verified)
    } else {
        Err(Rejection::OtherArtifact(format!("it signs {}", verified.content.digest())))
    }
}

fn location(subject: &Subject<'_>, tag: &Tag, index: usize, layer: AttachedBlob, content: Bytes) -> Location {
    let AttachedBlob { media_type, mut annotations, .. } = layer;
    // Other annotations prove nothing and have not been verified.
    annotations.retain(|name, _| PROOFS.iter().any(|prefix| name.starts_with(prefix)));
    let layer = NewLayer { media_type, content, annotations };
    Location::Layer { repository: subject.repository.clone(), tag: tag.clone(), index, layer }
}
