//! What is attached to an image: signatures, attestations, bills of materials, anything. Knows no format of any of them.
//!
//! There are two ways. cosign gives a manifest a tag that is made of the image's digest ([`AttachedTag`]), and its layers
//! are what is attached. OCI 1.1 gives a manifest a `subject`, and the registry lists what has the same subject
//! ([`Reader::referrers`](crate::Reader::referrers)); where a registry keeps no such list, clients keep it themselves, as an
//! index under [`referrers_tag`] (distribution specification, *Referrers Tag Schema*).
//!
//! A tag that several clients extend is read, extended, looked at once more and written; where another client has written it
//! meanwhile, this begins anew. In one process that happens one after another. Between processes the time between the look and
//! the write remains: of two that write in it, the later one wins, and what the other has added is lost, unless the host honours
//! conditions on writes. A registry with a referrers API has no such tag.

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

/// What the caller knows of the tag that a call may have to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is read.
    #[default]
    Unknown,
    /// A listing has shown it: it is read.
    Present,
    /// A listing has shown that the repository does not have it, so it is not asked for; unless this client has written it
    /// since.
    Absent,
}
