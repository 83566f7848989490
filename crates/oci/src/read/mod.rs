//! Reading from a registry (distribution specification, *Pull* and *Content Discovery*), one file for each kind of resource.

mod blob;
mod catalog;
mod manifest;
mod pages;
mod tags;

pub use blob::BlobStream;
pub use manifest::{Head, Selector};
pub(crate) use pages::Pages;
