//! The images in production that a run completes, beside those that it promotes.

use std::collections::HashSet;
use std::sync::Arc;

use manifest::Manifest;
use oci::{Digest, Repository};

/// The images in production whose missing signatures and attestations a run adds. What a run promotes is always among them.
#[derive(Debug, Default)]
pub enum Completion {
    /// Those that the manifests of the run name.
    #[default]
    Named,
    /// None but those that the run copies or tags (`--repair=false` in a run over all manifests).
    Promoted,
    /// Those that the manifests of the run name, and those that these manifests name, of which nothing is promoted (`--repair` in
    /// a run over a diff).
    Also(Vec<Manifest>),
    /// Those of `kpromo sigcheck`. Nothing is promoted.
    Checked(CheckedImages),
}

/// The images of `kpromo sigcheck`.
#[derive(Clone, Debug, Default)]
pub struct CheckedImages {
    /// The manifests that name the images. Where nothing names an image, the source is its own repository.
    pub(crate) manifests: Vec<Manifest>,
    /// The images that have a tag in production, and are to be signed.
    pub(crate) tagged: HashSet<(Repository, Digest)>,
    /// Whether images are signed that no manifest names.
    pub(crate) signs_unnamed: bool,
}

/// The images that a run looks at: see [`Completion`].
#[derive(Clone, Debug)]
pub(super) enum Scope {
    Named,
    Promoted,
    Checked(Arc<CheckedImages>),
}

impl Scope {
    /// Returns the images of `kpromo sigcheck`, in such a run.
    pub(super) fn checked(&self) -> Option<&CheckedImages> {
        match self {
            Self::Checked(images) => Some(images),
            Self::Named | Self::Promoted => None,
        }
    }
}
