//! Finds our own signatures and attestations of an image. An attachment counts only if it verifies, is by us, and is about
//! this image under this name, because anyone with push access may have replaced it.

use oci::{AttachedTag, AttachmentKind, Digest, Error, ErrorKind, Found, Reader, Referrer, Selector};
use sigstore::{BUNDLE_MAX, CosignLayer, SIMPLE_SIGNING_TYPE, Statement};

use super::bundle::BUNDLE_TYPE;
use super::error::{AttachError, sha256};
use super::image::ProductionImage;
use super::signature::Signature;
use super::summary::Stated;
use super::whose::By;
use crate::evidence::{PAYLOAD_MAX, PREDICATE_TYPE, is_about_content};
use crate::predicate::SUMMARY_TYPE;

/// The maximum number of layers of a `.sig` tag, and of bundles of an image, that are read.
const READ_MAX: usize = 100;

/// The content of an image's `.sig` tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagged {
    /// The tag does not exist.
    Nothing,
    /// Signatures, but none is ours for the image's name.
    Others,
    /// Our signature for the image's name.
    Ours,
}

/// Looks for our signature in the `.sig` tag of an image. A tag that cannot be parsed holds none.
///
/// Sends one request, and one more for each layer whose content differs from what this version would sign, or for each layer
/// with `reads_content`.
///
/// # Errors
/// If the registry does not answer, or the image has no SHA-256 digest.
pub async fn tagged(
    reader: &Reader,
    place: &ProductionImage<'_>,
    signature: &Signature,
    by: By<'_>,
    reads_content: bool,
) -> Result<Tagged, AttachError> {
    let tag = AttachedTag::new(place.digest, AttachmentKind::Signature)
        .ok_or(AttachError::Algorithm(place.digest))?
        .tag();
    let attachment = match reader.attachment(place.canonical, Selector::Tag(&tag)).await {
        Ok(Found::Present(attachment)) => attachment,
        Ok(Found::Absent(_)) => return Ok(Tagged::Nothing),
        Err(error) if matches!(error.kind(), ErrorKind::Manifest(_)) => return Ok(Tagged::Others),
        Err(error) => return Err(error.into()),
    };
    let expected = Digest::of(signature.payload());
    let is_signature = |layer: &&oci::AttachedBlob| layer.media_type == SIMPLE_SIGNING_TYPE;
    // The most recent layer is usually ours.
    for layer in attachment.layers.iter().filter(is_signature).rev().take(READ_MAX) {
        let fetched;
        let payload = if layer.digest == expected && !reads_content {
            signature.payload()
        } else {
            match reader.small_blob(place.canonical, layer.digest, layer.size, PAYLOAD_MAX).await {
                Ok(bytes) => fetched = bytes,
                // An unreadable layer is not our signature.
                Err(error) if is_about_content(&error) => continue,
                Err(error) => return Err(error.into()),
            }
            &fetched
        };
        let layer = CosignLayer { payload, annotations: &layer.annotations };
        let is_ours = by.verifier.cosign_signature(&layer).is_ok_and(|verified| {
            by.counts(&verified.signatory)
                && verified.content.reference() == place.reference
                && verified.content.digest() == place.digest.to_string()
        });
        if is_ours {
            return Ok(Tagged::Ours);
        }
    }
    Ok(Tagged::Others)
}

/// Whether the referrers include a bundle of a predicate type, signed by `by`, that is about the image under its name.
///
/// Sends two requests for each candidate until the bundle is found.
///
/// # Errors
/// If the registry does not answer, or the image has no SHA-256 digest.
pub async fn has_bundle(
    reader: &Reader,
    place: &ProductionImage<'_>,
    referrers: &[Referrer],
    predicate_type: &str,
    by: By<'_>,
) -> Result<bool, AttachError> {
    for referrer in may_be(referrers, predicate_type) {
        if ours(reader, place, referrer, predicate_type, by).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the content of the latest verification summary by `by`, or `None` if the image has none.
///
/// Sends two requests for each candidate.
///
/// # Errors
/// If the registry does not answer, or the image has no SHA-256 digest.
pub async fn latest_summary(
    reader: &Reader,
    place: &ProductionImage<'_>,
    referrers: &[Referrer],
    by: By<'_>,
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

/// Returns the referrers that may be bundles of a predicate type. Our bundles have an annotation with their type, so
/// referrers without it come last.
fn may_be<'a>(referrers: &'a [Referrer], predicate_type: &'a str) -> impl Iterator<Item = &'a Referrer> {
    let claims = move |referrer: &&Referrer| {
        referrer.annotations.get(PREDICATE_TYPE).is_some_and(|claimed| claimed == predicate_type)
    };
    let has_no_type = |referrer: &&Referrer| {
        let kind = referrer.artifact_type.as_deref();
        kind.is_none_or(|kind| kind == BUNDLE_TYPE) && !referrer.annotations.contains_key(PREDICATE_TYPE)
    };
    referrers.iter().filter(claims).chain(referrers.iter().filter(has_no_type)).take(READ_MAX)
}

/// Returns the statement of a bundle if it is signed by `by`, has the predicate type, and is about the image under its name.
async fn ours(
    reader: &Reader,
    place: &ProductionImage<'_>,
    referrer: &Referrer,
    predicate_type: &str,
    by: By<'_>,
) -> Result<Option<Statement>, AttachError> {
    let sha256 = sha256(place.digest)?;
    let bundle = match read(reader, place, referrer).await {
        Ok(Some(bundle)) => bundle,
        Ok(None) => return Ok(None),
        Err(error) if is_about_content(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok(verified) = by.verifier.statement(&bundle, &sha256) else { return Ok(None) };
    let statement = verified.content;
    let named = statement
        .subject
        .iter()
        .any(|subject| subject.name == place.reference && subject.digest.get("sha256") == Some(&sha256));
    let is_ours = by.counts(&verified.signatory) && named && statement.predicate_type == predicate_type;
    Ok(is_ours.then_some(statement))
}

/// Reads the bundle of a referrer.
async fn read(
    reader: &Reader,
    place: &ProductionImage<'_>,
    listed: &Referrer,
) -> Result<Option<bytes::Bytes>, Error> {
    let Found::Present(attachment) = reader.referrer(place.canonical, place.digest, listed).await? else {
        return Ok(None);
    };
    let Some(layer) = attachment.layers.iter().find(|layer| layer.media_type == BUNDLE_TYPE) else {
        return Ok(None);
    };
    reader.small_blob(place.canonical, layer.digest, layer.size, BUNDLE_MAX).await.map(Some)
}
