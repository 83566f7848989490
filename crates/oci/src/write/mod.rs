//! Writing to a registry (distribution specification, *Push*): the one place that writes blobs, manifests and tags, with all
//! the ways to do so that registries need.

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
