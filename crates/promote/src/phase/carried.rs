//! Determines which attestations accepted by policies are still missing from canonical repositories. This completes the owed
//! part of a plan, after the images in staging have been examined.

use std::collections::{HashMap, HashSet};

use manifest::ImageId;
use oci::{AttachedTag, AttachmentKind, Digest, Found, Known, Reader, Selector};
use trust::attach::AttachError;
use trust::evidence::Location;

use crate::event::Run;
use crate::phase::hosts::by_host;
use crate::phase::owed::OwedImage;
use crate::phase::validate::Cleared;

/// Removes from the owed images those that could only have lacked attestations and do not. An image that lacks something else
/// stays. Its attestations count as owed if its policies have accepted any; the Attest phase then compares them with the
/// attached ones.
///
/// Requests for an image with a policy that lacks nothing else: one for each `.att` tag that layers are carried to and that a
/// listing does not rule out.
pub(crate) async fn find_missing_carried(run: &Run, reader: &Reader, mut cleared: Cleared) -> Cleared {
    let (open, mut certain): (Vec<OwedImage>, Vec<OwedImage>) = std::mem::take(&mut cleared.plan.owed.images)
        .into_iter()
        .partition(OwedImage::may_lack_attestations_alone);
    for image in &mut certain {
        image.carried &= image.sources.iter().any(|source| cleared.has_counted(source));
    }
    let numbers: Vec<usize> = (0..open.len()).collect();
    let looked = by_host(
        run,
        cleared.plan.edges(),
        numbers,
        |number| open[number].subject.canonical,
        async |number| (number, CarriedCheck { reader, cleared: &cleared }.lacks(&open[number]).await),
    )
    .await;
    let looked: HashMap<usize, Result<Option<bool>, AttachError>> = looked.into_iter().collect();
    let owed = &mut cleared.plan.owed;
    owed.images = certain;
    for (number, image) in open.into_iter().enumerate() {
        match looked.get(&number) {
            // A read error is reported when the attestations are carried.
            Some(Ok(Some(true)) | Err(_)) => owed.images.push(image),
            Some(Ok(Some(false))) => owed.complete.push(image.subject),
            // Staging no longer proves what an earlier run promoted, so there is nothing to carry.
            Some(Ok(None)) => {}
            // The run is stopping.
            None => {}
        }
    }
    owed.images.sort_by_key(|image| image.subject);
    cleared
}

impl Cleared {
    /// Returns whether a policy has accepted attestations of a staging image.
    fn has_counted(&self, source: &ImageId) -> bool {
        self.gate.passed(source).is_ok_and(|passed| !passed.assessment().counted().is_empty())
    }
}

struct CarriedCheck<'a> {
    reader: &'a Reader,
    cleared: &'a Cleared,
}

impl CarriedCheck<'_> {
    /// Returns whether an image lacks an attestation in its canonical repository, or `None` if it has not passed in this run.
    async fn lacks(&self, image: &OwedImage) -> Result<Option<bool>, AttachError> {
        let mut layers: HashMap<Digest, HashSet<Digest>> = HashMap::new();
        for source in &image.sources {
            let Ok(passed) = self.cleared.gate.passed(source) else { return Ok(None) };
            for (about, found) in passed.assessment().counted() {
                match found.location {
                    Location::Layer { .. } => {
                        layers.entry(about).or_default().insert(found.location.digest());
                    }
                    Location::Referrer { .. }
                        if self.has_referrer(image, about, found.location.digest()).await? => {}
                    Location::Referrer { .. } => return Ok(Some(true)),
                }
            }
        }
        for (about, layers) in layers {
            if !self.has_layers(image, about, &layers).await? {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    async fn has_referrer(
        &self,
        image: &OwedImage,
        about: Digest,
        referrer: Digest,
    ) -> Result<bool, AttachError> {
        let part = image.parts.iter().find(|part| part.descriptor.digest == about);
        if let Some(known) = part.and_then(|part| part.referrers.as_ref()) {
            return Ok(known.iter().any(|listed| listed.digest == referrer));
        }
        let plan = &self.cleared.plan;
        let (canonical, fallback) = (
            plan.edges().repository(image.subject.canonical),
            plan.fallback(image.subject.canonical, &about),
        );
        let listed = self.reader.referrers(canonical, about, None, fallback).await?;
        Ok(listed.iter().any(|listed| listed.digest == referrer))
    }

    /// Returns whether the `.att` tag of a manifest has all of the given layers.
    async fn has_layers(
        &self,
        image: &OwedImage,
        about: Digest,
        layers: &HashSet<Digest>,
    ) -> Result<bool, AttachError> {
        let kind = AttachmentKind::Attestation;
        let plan = &self.cleared.plan;
        if plan.attached(image.subject.canonical, &about, kind) == Known::Absent {
            return Ok(false);
        }
        let tag = AttachedTag::new(about, kind).ok_or(AttachError::Algorithm(about))?.tag();
        let canonical = plan.edges().repository(image.subject.canonical);
        let Found::Present(attachment) = self.reader.attachment(canonical, Selector::Tag(&tag)).await? else {
            return Ok(false);
        };
        let there: HashSet<Digest> = attachment.layers.iter().map(|layer| layer.digest).collect();
        Ok(layers.is_subset(&there))
    }
}
