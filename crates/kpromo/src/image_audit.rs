//! The audit of one image of `kpromo verify`.

use oci::{Digest, Tag};
use trust::Problem;
use trust::audit::Audited;

/// An image, and the result of its audit.
pub(crate) struct ImageAudit {
    /// The name that the user gave, or the name by digest if a manifest or a registry lists the image. The name of a repository
    /// if its images could not be listed.
    pub(crate) name: String,
    /// The tags that refer to the image. Each has been read.
    pub(crate) tags: Vec<Tag>,
    /// The tags that refer to the image according to the manifest, but not according to the registry.
    pub(crate) wrong_tags: Vec<WrongTag>,
    /// Why tags that a manifest states could not be read.
    pub(crate) unread: Option<Problem>,
    /// What was found.
    pub(crate) found: Result<Audited, Problem>,
}

/// A tag that does not refer to the image that the manifest states.
pub(crate) struct WrongTag {
    pub(crate) tag: Tag,
    /// The image that it refers to. `None` if the tag does not exist.
    pub(crate) digest: Option<Digest>,
}

/// The result for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The image and its platforms are signed, and its tags are right.
    Signed,
    /// The image or a platform is not signed, or a tag is wrong.
    Refused,
    /// It is not known.
    Unavailable,
}

impl ImageAudit {
    /// An image whose tags are not known yet, or the images of a repository that could not be listed.
    pub(crate) fn new(name: String, found: Result<Audited, Problem>) -> Self {
        Self { name, tags: Vec::new(), wrong_tags: Vec::new(), unread: None, found }
    }

    /// Returns the result. What is proven to be wrong decides it, whatever could not be read.
    pub(crate) fn outcome(&self) -> Outcome {
        match &self.found {
            _ if !self.wrong_tags.is_empty() => Outcome::Refused,
            Ok(found) if !found.is_wholly_signed() => Outcome::Refused,
            Ok(_) if self.unread.is_none() => Outcome::Signed,
            _ => Outcome::Unavailable,
        }
    }

    /// Returns why the image, or one of its tags, could not be examined.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        self.found.as_ref().err().or(self.unread.as_ref())
    }
}
