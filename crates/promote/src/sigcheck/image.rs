//! An image to check.

use jiff::Timestamp;
use oci::{Digest, Repository, Tag};

/// An image in production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    /// Its canonical repository.
    pub repository: Repository,
    /// Its digest.
    pub digest: Digest,
    /// Its tags, as far as they are known.
    pub tags: Vec<Tag>,
    /// The upload time, if the registry reports it.
    pub uploaded: Option<Timestamp>,
    /// Whether it needs a signature: it has a tag, or may have one.
    pub signs: bool,
}
