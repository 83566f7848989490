//! Content that is attached to an image, such as signatures, attestations and SBOMs. This module does not depend
//! on their formats.
//!
//! There are two ways to attach content. cosign writes a manifest under a tag that is derived from the digest of the image
//! ([`AttachedTag`](oci_types::AttachedTag)), and the layers of that manifest are the attached content. OCI 1.1 sets the
//! `subject` of a manifest, and the registry lists all manifests with the same subject
//! ([`Reader::referrers`](crate::Reader::referrers)). If the registry has no such list, clients maintain it as an index under
//! [`referrers_tag`](oci_types::referrers_tag) (distribution specification, *Referrers Tag Schema*).
//!
//! To extend a tag that several clients write, this module reads it, extends it, checks it again and writes it. If another
//! client has written the tag in the meantime, it starts over. Within one process such writes are serialized. Between processes a
//! race remains from the check to the write: the last write wins and the other one is lost, unless the host supports conditional
//! writes. A registry with a referrers API has no such tag.

mod append;
mod attachment;
mod carry;
mod document;
mod fallback;
mod memory;
mod push;
mod referrer;
mod referrers;

pub use append::Appended;
pub use attachment::{AttachedBlob, Attachment};
pub(crate) use memory::Memory;
pub use push::{NewLayer, NewReferrer, Subject};
pub use referrer::Referrer;
pub use referrers::Referrers;

/// What the caller knows about the tag that a call may have to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Nothing is known: the tag is read.
    #[default]
    Unknown,
    /// A listing has shown the tag: it is read.
    Present,
    /// A listing has shown that the repository does not have the tag. The tag is not requested, unless this client has written it
    /// since then.
    Absent,
}
