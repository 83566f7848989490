//! The signatures, promotion records and summaries that images lack in their canonical repositories. This is the part of a plan
//! that Sign and Attest carry out.

use std::fmt;

use manifest::ImageId;
use oci::{Descriptor, Digest, Known, Referrer, Repository};
use schemars::JsonSchema;
use serde::Serialize;
use trust::Problem;
use trust::attach::Stated;

use crate::phase::completed::CompletedCache;
use crate::subject::Subject;

/// What the images of a plan lack in their canonical repositories.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The images that lack something, ordered by canonical repository.
    pub(super) images: Vec<OwedImage>,
    /// The images that lack nothing.
    pub(super) complete: Vec<Subject>,
    /// The number of images that a dry run has not checked. Listings do not show whether they lack anything.
    pub(super) not_looked_at: usize,
    /// The images that could not be checked, with the reasons.
    pub(super) unread: Vec<(Subject, Problem)>,
    /// The images that earlier runs have seen to be complete. `None` if the run has not checked attachments.
    pub(super) finished: Option<CompletedCache>,
}

/// An image that lacks something in its canonical repository.
#[derive(Debug)]
pub(super) struct OwedImage {
    pub(super) subject: Subject,
    /// The staging images that its edges copy from. Nothing is written for the image unless all of these have passed.
    pub(super) sources: Vec<ImageId>,
    /// The manifests of the image, its own first. Empty in a dry run that has not checked attachments, and for an image without a
    /// tag that has its record if no summaries are written.
    pub(super) parts: Vec<Part>,
    /// Whether a manifest of the image lacks a signature. An image without a tag is not signed.
    pub(super) signature: bool,
    /// Whether the image lacks a promotion record.
    pub(super) record: bool,
    /// Whether the image lacks a verification summary.
    pub(super) summary: bool,
    /// Whether the image may lack attestations that a policy accepts and that are carried from staging. This is true for every
    /// image with a policy until its staging image has been examined.
    pub(super) carried: bool,
    /// Whether the image lacks a promotion record that cannot be made, because no manifest names its source.
    pub(super) unrecordable: bool,
    /// The reason why nothing is written for the image, if it may not be repaired at all.
    pub(super) barred: Option<&'static str>,
    /// The reason why nothing is written for the image, if it or a part of it has not passed. Set by Validate.
    pub(super) refused: Option<String>,
}

/// A manifest of an image, and what it lacks.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) descriptor: Descriptor,
    /// What is known about the `.sig` tag, if the tag lacks our signature and should have it.
    pub(super) layer: Option<Known>,
    /// Whether the manifest lacks our signature as a bundle.
    pub(super) bundle: Bundle,
    /// The referrers of the manifest, if they were looked up.
    pub(super) referrers: Option<Vec<Referrer>>,
    /// Whether the manifest lacks a verification summary or has one that no longer holds.
    pub(super) summary: bool,
    /// The content of our latest verification summary of the manifest, if there is one.
    pub(super) stated: Option<Stated>,
}

/// The state of our bundle on a manifest. A greater value lacks more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bundle {
    /// The bundle exists, or the manifest need not be signed.
    There,
    /// The bundle is missing, and is due only if another bundle is attached to the manifest.
    LackingBesideOthers,
    /// The bundle is missing and due.
    Lacking,
}

/// A kind of attachment to a promoted image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Attached {
    /// A signature of the image or of a part of it.
    Signature,
    /// The promotion record.
    Record,
    /// The verification summary of the image or of a part of it.
    Summary,
    /// Attestations in staging that the image's policy accepts.
    Attestations,
}

/// The attachments that a promoted image lacks, according to the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing<'a> {
    /// The canonical repository of the image.
    pub repository: &'a Repository,
    /// The digest of the image.
    pub digest: &'a Digest,
    /// The missing attachments. [`Attached::Attestations`] may turn out not to be missing once staging has been examined.
    pub lacks: Vec<Attached>,
    /// The reason why nothing is attached, if the image or a part of it has not passed.
    pub refused: Option<&'a str>,
}

impl fmt::Display for Attached {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Signature => "signature",
            Self::Record => "promotion record",
            Self::Summary => "verification summary",
            Self::Attestations => "attestations",
        })
    }
}

impl OwedImage {
    /// Returns the missing attachments in the order in which they are written.
    pub(super) fn lacks(&self) -> Vec<Attached> {
        let all = [
            (self.signature, Attached::Signature),
            (self.carried, Attached::Attestations),
            (self.summary, Attached::Summary),
            (self.record, Attached::Record),
        ];
        all.into_iter().filter_map(|(is_lacking, what)| is_lacking.then_some(what)).collect()
    }

    /// Returns whether the image lacks nothing, except perhaps attestations to carry.
    pub(super) fn may_lack_attestations_alone(&self) -> bool {
        !self.lacks_own() && !self.unrecordable
    }

    /// Returns whether the image lacks anything except attestations to carry.
    pub(super) fn lacks_own(&self) -> bool {
        self.signature || self.record || self.summary
    }
}

impl Part {
    /// Merges the same manifest as part of another image. It lacks what either of them lacks.
    pub(super) fn merge(&mut self, other: &Self) {
        self.layer = self.layer.or(other.layer);
        self.bundle = self.bundle.max(other.bundle);
        if self.referrers.is_none() {
            self.referrers.clone_from(&other.referrers);
        }
    }

    /// Returns whether our bundle is due. `beside_others` says whether this run attaches other bundles to the manifest.
    pub(super) fn lacks_bundle(&self, beside_others: bool) -> bool {
        match self.bundle {
            Bundle::There => false,
            Bundle::Lacking => true,
            Bundle::LackingBesideOthers => beside_others,
        }
    }

    pub(super) fn lacks_signature(&self) -> bool {
        self.layer.is_some() || self.lacks_bundle(false)
    }
}
