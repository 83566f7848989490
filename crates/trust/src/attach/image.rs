//! A production image, as its attachments name it.

use oci::{Digest, Repository};

/// The location of an image, and the name that users pull it by.
#[derive(Clone, Copy, Debug)]
pub struct ProductionImage<'a> {
    /// The canonical repository, which holds the signatures and attestations of the image.
    pub canonical: &'a Repository,
    /// The name that users pull it by, without tag.
    pub reference: &'a str,
    /// The digest of the image.
    pub digest: Digest,
}
