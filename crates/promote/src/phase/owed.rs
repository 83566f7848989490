//! What images lack at their homes of signatures, promotion records and summaries: the part of a plan that Sign and Attest carry
//! out.

use std::fmt;

use manifest::ImageId;
use oci::{Descriptor, Digest, Known, Referrer, Repository};
use serde::Serialize;
use trust::attach::Stated;

use crate::phase::completed::CompletedCache;
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
    pub(super) finished: Option<CompletedCache>,
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
    /// Whether it lacks a verification summary, or has one that is not true any more.
    pub(super) summary: bool,
    /// What its latest summary of ours says, where it has one.
    pub(super) stated: Option<Stated>,
}

/// What a manifest has of our signature as a bundle. The greater, the more it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bundle {
    /// It has it, or is not to be signed.
    There,
    /// It lacks it, and should have it if another bundle is attached to it.
    LackingBesideOthers,
    /// It lacks it, and should have it.
    Lacking,
}

/// Something that is attached to promoted images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// What a promoted image lacks of what is attached to it, as the plan tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing<'a> {
    /// The repository that holds what is attached.
    pub repository: &'a Repository,
    /// The image.
    pub digest: &'a Digest,
    /// What it lacks. [`Attached::Attestations`] may turn out to be there once staging has been looked at.
    pub lacks: Vec<Attached>,
    /// Why it stays without, where it or a part of it has not passed.
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
    /// What it lacks, in the order in which it is written.
    pub(super) fn lacks(&self) -> Vec<Attached> {
        let all = [
            (self.signature, Attached::Signature),
            (self.carried, Attached::Attestations),
            (self.summary || self.parts.iter().any(|part| part.summary), Attached::Summary),
            (self.record, Attached::Record),
        ];
        all.into_iter().filter_map(|(is_lacking, what)| is_lacking.then_some(what)).collect()
    }

    /// Whether it lacks anything but attestations to carry.
    pub(super) fn lacks_own(&self) -> bool {
        self.signature || self.record || self.summary
    }
}

impl Part {
    /// The same manifest as part of another image: what either of them lacks is lacking.
    pub(super) fn merge(&mut self, other: &Self) {
        self.layer = self.layer.or(other.layer);
        self.bundle = self.bundle.max(other.bundle);
        self.summary |= other.summary;
        if self.referrers.is_none() {
            self.referrers.clone_from(&other.referrers);
        }
    }

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
