//! Writing to a registry (distribution specification, *Push*). All writes of blobs, manifests and tags are here, with all the
//! variants that registries require.

mod blob;
mod manifest;
mod pieces;
mod tag;
mod upload;

pub use blob::Presence;
pub(crate) use blob::{Brought, Contents};
pub(crate) use tag::{Expected, NotWritten, Written};
pub(crate) use upload::Content;
pub use upload::Upload;
