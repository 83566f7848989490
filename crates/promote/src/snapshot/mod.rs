//! Snapshots: the images of a registry with their digests and tags, read from the registry, from manifests or from a file.
//!
//! A snapshot is complete or it is an error: nothing is written before everything is read (`docs/design/snapshot.md`).

mod children;
mod contents;
mod declared;
mod diff;
mod draft;
mod error;
mod file;
mod format;
mod walk;

use std::collections::{BTreeMap, HashSet};

pub use contents::{Contents, Entry};
pub use declared::declared;
pub use diff::{ImageDiff, diff};
pub(crate) use draft::FoundManifest;
pub use error::SnapshotError;
pub use file::{FileSnapshot, InvalidSnapshot, read_file};
pub use format::Format;
use oci::{Digest, Tag};
pub(crate) use walk::read_manifests;
pub use walk::{children_of_indexes, read_registry};

/// The images of a registry, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The images by their path below the registry, which is empty for the repository at the path of the registry itself. Each
    /// image has at least one digest.
    images: BTreeMap<Box<str>, Contents>,
}

impl Snapshot {
    /// Returns the images, each with its path below the registry.
    pub fn images(&self) -> impl Iterator<Item = (&str, &Contents)> {
        self.images.iter().map(|(name, contents)| (&**name, contents))
    }

    /// Returns the number of digests in all images.
    pub fn digests(&self) -> usize {
        self.images.values().map(|contents| contents.entries().len()).sum()
    }

    /// Adds an image, unless it has no digests.
    pub(crate) fn insert(&mut self, name: &str, contents: Contents) {
        if !contents.is_empty() {
            self.images.insert(name.into(), contents);
        }
    }

    /// Keeps the digests that have a tag, with all their tags.
    pub fn keep_tagged(&mut self, tag: &Tag) {
        self.keep(|entry| entry.has_tag(tag));
    }

    /// Returns whether any digest has no tag.
    pub fn has_untagged(&self) -> bool {
        self.images.values().any(|contents| contents.entries().iter().any(|entry| !entry.is_tagged()))
    }

    /// Removes untagged digests that are in `children`, from all images.
    pub fn leave_out_children(&mut self, children: &HashSet<Digest>) {
        self.keep(|entry| entry.is_tagged() || !children.contains(&entry.digest()));
    }

    fn keep(&mut self, keeps: impl Fn(&Entry) -> bool) {
        self.images.values_mut().for_each(|contents| contents.keep(&keeps));
        self.images.retain(|_, contents| !contents.is_empty());
    }
}
