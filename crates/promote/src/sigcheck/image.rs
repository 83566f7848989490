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
    /// When it was uploaded, if the registry says so.
    pub uploaded: Option<Timestamp>,
    /// Whether it owes a signature: it has a tag, or it is not known that it has none.
    pub signs: bool,
}
