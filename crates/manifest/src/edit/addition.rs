//! The additions of an edit, and the kinds of files.

use oci_types::{Digest, RepositoryPath, Tag};

/// The kind of file that lists images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The `images.yaml` of a thin manifest: a list of images.
    Images,
    /// A plain manifest: registries and images.
    Plain,
}

/// A tag to add to a digest of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addition {
    /// The path of the image below its registries.
    pub image: RepositoryPath,
    /// The digest.
    pub digest: Digest,
    /// The tag.
    pub tag: Tag,
}
