//! An image in production, as what is attached names it.

use oci::{Digest, Repository};

/// Where an image is, and what users call it.
#[derive(Clone, Copy, Debug)]
pub struct ProductionImage<'a> {
    /// The repository that holds its signatures and attestations.
    pub home: &'a Repository,
    /// The name that users pull it by, without tag.
    pub reference: &'a str,
    /// What it is.
    pub digest: Digest,
}
