//! An image to check.

use jiff::Timestamp;
use oci::{Digest, Repository, Tag};

/// An image in production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    /// The canonical repository.
    pub repository: Repository,
    /// The digest.
    pub digest: Digest,
    /// The tags, as far as they are known.
    pub tags: Vec<Tag>,
    /// The upload time, if the registry reports it.
    pub uploaded: Option<Timestamp>,
    /// Whether the image needs a signature: it has a tag, or may have one.
    pub signs: bool,
}
