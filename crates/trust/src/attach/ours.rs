//! What of ours an image has already. What is there counts only where it verifies, is by us, and is about this image under
//! this name: anybody who may push may put something in its place.

use oci::{AttachedTag, AttachmentKind, Digest, Error, Found, Reader, Referrer, Selector};
use sigstore::{BUNDLE_MAX, CosignLayer, Owner, SIMPLE_SIGNING_TYPE, Signer, Statement};

use super::bundle::BUNDLE_TYPE;
use super::error::{AttachError, sha256};
use super::image::ProductionImage;
use super::signature::Signature;
use super::summary::Stated;
use crate::evidence::{PAYLOAD_MAX, PREDICATE_TYPE, is_about_content};
use crate::predicate::SUMMARY_TYPE;

/// The most layers of a `.sig` tag, and the most bundles of an image, that are looked at.
const LOOKED_AT_MAX: usize = 100;

/// What the `.sig` tag of an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagged {
    /// There is no such tag.
    Nothing,
    /// Signatures, and none is ours for its name.
    Others,
    /// Our signature for its name.
    Ours,
}

/// Looks for our signature in the `.sig` tag of an image.
///
/// One request; one more for each layer whose content is not what this version would sign.
pub async fn tagged(
    reader: &Reader,
    place: &ProductionImage<'_>,
    signature: &Signature,
    owner: &Owner,
    signer: &Signer,
) -> Result<Tagged, AttachError> {
    let tag = AttachedTag::new(place.digest, AttachmentKind::Signature)
        .ok_or(AttachError::Algorithm(place.digest))?
        .tag();
    let Found::Present(attachment) = reader.attachment(place.home, Selector::Tag(&tag)).await? else {
        return Ok(Tagged::Nothing);
    };
    let expected = Digest::of(signature.payload());
    let is_signature = |layer: &&oci::AttachedBlob| layer.media_type == SIMPLE_SIGNING_TYPE;
    // What was added last is ours, mostly.
    for layer in attachment.layers.iter().filter(is_signature).rev().take(LOOKED_AT_MAX) {
        let fetched;
        let payload = if layer.digest == expected {
            signature.payload()
        } else {
            match reader.small_blob(place.home, layer.digest, layer.size, PAYLOAD_MAX).await {
                Ok(bytes) => fetched = bytes,
                // What cannot be read is not our signature.
                Err(error) if is_about_content(&error) => continue,
                Err(error) => return Err(error.into()),
            }
            &fetched
        };
        let layer = CosignLayer { payload, annotations: &layer.annotations };
        let is_ours = signer.verifier().cosign_signature(&layer).is_ok_and(|verified| {
            owner.is(&verified.signatory)
                && verified.content.reference() == place.reference
                && verified.content.digest() == place.digest.to_string()
        });
        if is_ours {
            return Ok(Tagged::Ours);
        }
    }
    Ok(Tagged::Others)
}

/// Whether a bundle of a predicate type that is by `owner`, and is about an image under its name, is among its referrers.
///
/// Two requests for each bundle that may be one, until it is found.
pub async fn has_bundle(
    reader: &Reader,
    place: &ProductionImage<'_>,
    referrers: &[Referrer],
    predicate_type: &str,
    by: (&Owner, &Signer),
) -> Result<bool, AttachError> {
    for referrer in may_be(referrers, predicate_type) {
        if ours(reader, place, referrer, predicate_type, by).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the latest of the verification summaries by `owner` says of an image; `None` where there is none.
///
/// Two requests for each bundle that may be one.
pub async fn latest_summary(
    reader: &Reader,
    place: &ProductionImage<'_>,
    referrers: &[Referrer],
    by: (&Owner, &Signer),
) -> Result<Option<Stated>, AttachError> {
    let mut latest: Option<Stated> = None;
    for referrer in may_be(referrers, SUMMARY_TYPE) {
        if let Some(summary) = ours(reader, place, referrer, SUMMARY_TYPE, by).await? {
            let stated = Stated::read(&summary);
            latest = Some(latest.map_or(stated.clone(), |latest| latest.latest(stated)));
        }
    }
    Ok(latest)
}

/// The referrers that may be bundles of a predicate type. Ours say what they are, so what says nothing comes last.
fn may_be<'a>(referrers: &'a [Referrer], predicate_type: &'a str) -> impl Iterator<Item = &'a Referrer> {
    let claims = move |referrer: &&Referrer| {
        referrer.annotations.get(PREDICATE_TYPE).is_some_and(|claimed| claimed == predicate_type)
    };
    let says_nothing = |referrer: &&Referrer| {
        let kind = referrer.artifact_type.as_deref();
        kind.is_none_or(|kind| kind == BUNDLE_TYPE) && !referrer.annotations.contains_key(PREDICATE_TYPE)
    };
    referrers.iter().filter(claims).chain(referrers.iter().filter(says_nothing)).take(LOOKED_AT_MAX)
}

/// The statement of a bundle, where it is by `owner`, of a predicate type, and about an image under its name.
async fn ours(
    reader: &Reader,
    place: &ProductionImage<'_>,
    referrer: &Referrer,
    predicate_type: &str,
    (owner, signer): (&Owner, &Signer),
) -> Result<Option<Statement>, AttachError> {
    let sha256 = sha256(place.digest)?;
    let bundle = match read(reader, place, referrer).await {
        Ok(Some(bundle)) => bundle,
        Ok(None) => return Ok(None),
        Err(error) if is_about_content(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok(verified) = signer.verifier().statement(&bundle, &sha256) else { return Ok(None) };
    let statement = verified.content;
    let named = statement
        .subject
        .iter()
        .any(|subject| subject.name == place.reference && subject.digest.get("sha256") == Some(&sha256));
    let is_ours = owner.is(&verified.signatory) && named && statement.predicate_type == predicate_type;
    Ok(is_ours.then_some(statement))
}

/// The bundle that a referrer carries.
async fn read(
    reader: &Reader,
    place: &ProductionImage<'_>,
    listed: &Referrer,
) -> Result<Option<bytes::Bytes>, Error> {
    let Found::Present(attachment) = reader.referrer(place.home, place.digest, listed).await? else {
        return Ok(None);
    };
    let Some(layer) = attachment.layers.iter().find(|layer| layer.media_type == BUNDLE_TYPE) else {
        return Ok(None);
    };
    reader.small_blob(place.home, layer.digest, layer.size, BUNDLE_MAX).await.map(Some)
}
