//! What images lack at their homes of signatures, promotion records and summaries: the part of a plan that Sign and Attest carry
//! out.

use oci::{Descriptor, Known, Referrer};

use crate::edge::ImageId;
use crate::phase::finished::Finished;
use crate::subject::Subject;

/// What the images of a plan lack at their homes.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The images that lack something, in the order of their homes.
    pub(super) images: Vec<OwedImage>,
    /// The images that lack nothing.
    pub(super) complete: Vec<Subject>,
    /// How many images a dry run has not looked at: listings do not tell whether they lack anything.
    pub(super) not_looked_at: usize,
    /// The images at which looking failed.
    pub(super) unread: Vec<Subject>,
    /// What earlier runs have seen to be complete.
    pub(super) finished: Option<Finished>,
}

/// An image that lacks something at its home.
#[derive(Debug)]
pub(super) struct OwedImage {
    pub(super) subject: Subject,
    /// Where its edges take it from. Nothing is written for it that has not passed of all of these.
    pub(super) sources: Vec<ImageId>,
    /// Its manifests, its own first. Only a dry run that has not looked has none.
    pub(super) parts: Vec<Part>,
    /// Whether a manifest lacks a signature. An image without a tag is not signed.
    pub(super) signature: bool,
    /// Whether it lacks a promotion record.
    pub(super) record: bool,
    /// Whether it lacks a verification summary.
    pub(super) summary: bool,
    /// Whether it may lack attestations that a policy accepts, which are carried from staging. Until its staging image has been
    /// looked at, that is open for every image with a policy.
    pub(super) carried: bool,
    /// Why it stays without what it lacks, where it or a part of it has not passed. Validate finds that out.
    pub(super) refused: Option<String>,
}

/// A manifest of an image, with what it lacks.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) descriptor: Descriptor,
    /// What is known of its `.sig` tag, where that lacks our signature and should have it.
    pub(super) layer: Option<Known>,
    /// Whether it lacks our signature as a bundle.
    pub(super) bundle: Bundle,
    /// What refers to it, where that was looked up.
    pub(super) referrers: Option<Vec<Referrer>>,
    /// Whether it lacks a verification summary.
    pub(super) summary: bool,
}

/// What a manifest has of our signature as a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bundle {
    /// It has it, or is not to be signed.
    There,
    /// It lacks it, and should have it.
    Lacking,
    /// It lacks it, and should have it if another bundle is attached to it.
    LackingBesideOthers,
}

impl OwedImage {
    /// Whether it lacks anything but attestations to carry.
    pub(super) fn lacks_own(&self) -> bool {
        self.signature || self.record || self.summary
    }
}

impl Part {
    /// Whether it lacks our bundle, where other bundles are attached to it in this run (`beside_others`) or not.
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
