//! The images in production that a run completes in addition to those that it promotes.

use std::collections::HashSet;
use std::sync::Arc;

use manifest::Manifest;
use oci::{Digest, Repository};

/// The images in production whose missing signatures and attestations a run adds. They always include the images that the run
/// promotes.
#[derive(Debug, Default)]
pub enum Completion {
    /// The images that the manifests of the run name.
    #[default]
    Named,
    /// Only the images that the run copies or tags (`--repair=false` in a run over all manifests).
    Promoted,
    /// The images that the manifests of the run name, and those that the given manifests name, which are only repaired
    /// (`--repair` in a run over a diff).
    Also(Vec<Manifest>),
    /// The images of `kpromo sigcheck`. Nothing is promoted.
    Checked(CheckedImages),
}

/// The images of `kpromo sigcheck`.
#[derive(Clone, Debug, Default)]
pub struct CheckedImages {
    /// The manifests that name the images. If no manifest names an image, its source is its own repository.
    pub(crate) manifests: Vec<Manifest>,
    /// The images that have a tag in production and therefore need a signature.
    pub(crate) tagged: HashSet<(Repository, Digest)>,
    /// Whether to sign images that no manifest names.
    pub(crate) signs_unnamed: bool,
}

/// The images whose attachments a run checks: see [`Completion`].
#[derive(Clone, Debug)]
pub(super) enum Scope {
    Named,
    Promoted,
    Checked(Arc<CheckedImages>),
}

impl Scope {
    /// Returns the images of `kpromo sigcheck` if the run is one.
    pub(super) fn checked(&self) -> Option<&CheckedImages> {
        match self {
            Self::Checked(images) => Some(images),
            Self::Named | Self::Promoted => None,
        }
    }
}
