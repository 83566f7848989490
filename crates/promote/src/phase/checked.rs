//! The findings of a plan about the images of `kpromo sigcheck`. They are the input for its verdicts.

use std::collections::HashMap;

use oci::{Digest, Referrer, Repository};
use trust::Problem;
use trust::evidence::ListedTags;

use crate::phase::owed::OwedImage;
use crate::phase::plan::Plan;
use crate::phase::validate::Cleared;
use crate::subject::Subject;

/// The findings about an image.
#[derive(Clone, Debug)]
pub(crate) enum Checked<'a> {
    /// The image lacks nothing.
    Complete,
    /// The image lacks a signature or a promotion record.
    Lacking {
        /// The manifests of the image, its own first. Empty for an image without a tag that has its record.
        parts: Vec<LackingPart<'a>>,
        /// Whether the image lacks a promotion record.
        record: bool,
        /// Why the image is not repaired, or not completely.
        why_not: Option<String>,
    },
    /// The image could not be read.
    Unread(&'a Problem),
}

/// What one manifest of an image lacks.
#[derive(Clone, Debug)]
pub(crate) struct LackingPart<'a> {
    pub(crate) digest: Digest,
    pub(crate) platform: Option<&'a str>,
    /// Whether the manifest lacks our signature under its `.sig` tag.
    pub(crate) layer: bool,
    /// Whether the manifest lacks our signature as a bundle.
    pub(crate) bundle: bool,
    /// The referrers of the manifest, as far as they were looked up.
    pub(crate) referrers: &'a [Referrer],
    /// What the listing shows about the tags of its attachments.
    pub(crate) listed_tags: ListedTags,
}

impl Cleared {
    /// Returns the findings about each image, by canonical repository and digest.
    pub(crate) fn checked(&self) -> HashMap<(&Repository, Digest), Checked<'_>> {
        let plan = self.plan();
        let name = |subject: &Subject| {
            (plan.edges().repository(subject.canonical), *plan.edges().digest_name(subject.digest))
        };
        let owed = &plan.owed;
        let mut found = HashMap::new();
        found.extend(owed.complete.iter().map(|subject| (name(subject), Checked::Complete)));
        found.extend(owed.images.iter().map(|image| (name(&image.subject), lacking(plan, image))));
        found.extend(owed.unread.iter().map(|(subject, why)| (name(subject), Checked::Unread(why))));
        found
    }
}

fn lacking<'a>(plan: &'a Plan, image: &'a OwedImage) -> Checked<'a> {
    let canonical = image.subject.canonical;
    let parts = image.parts.iter().map(|part| LackingPart {
        digest: part.descriptor.digest,
        platform: part.descriptor.platform.as_deref(),
        layer: part.layer.is_some(),
        bundle: part.lacks_bundle(false),
        referrers: part.referrers.as_deref().unwrap_or_default(),
        listed_tags: plan.listed_tags(canonical, &part.descriptor.digest),
    });
    let barred = image.barred.map(|why| format!("it is not repaired: {why}"));
    let refused =
        image.refused.as_ref().map(|why| format!("it is not repaired, because it did not pass: {why}"));
    let unrecorded = image
        .unrecordable
        .then(|| "its record is not written: no manifest names its source (--thin-manifest-dir)".to_owned());
    Checked::Lacking {
        parts: parts.collect(),
        record: image.record || image.unrecordable,
        why_not: barred.or(refused).or(unrecorded),
    }
}
