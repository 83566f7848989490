//! One interface to read from a store of any kind, and one to write to it.

use std::fmt::Debug;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use manifest::files::{Sha256, StoreUrl};

use super::content::Content;
use crate::error::Error;
use crate::hash::Hashes;
use crate::object::{Attributes, Object};

/// A page of a listing.
#[derive(Debug, Default)]
pub struct Page {
    /// The objects by their names below the URL of the store, in the store's order.
    pub objects: Vec<(String, Object)>,
    /// What the next page is asked for with. `None`: this is the last page.
    pub next: Option<String>,
}

/// The reading face of a store. The names are those of files below the store's URL.
pub trait StoreRead: Send + Sync + Debug {
    /// Returns the URL.
    fn url(&self) -> &StoreUrl;

    /// Returns a page of the objects whose names begin with `prefix`, from about the name `from` on. The names of a page may
    /// begin earlier, and are in the order of their bytes at most stores. `None` if the store has no listing that is cheaper
    /// than asking for single objects.
    ///
    /// # Errors
    /// If the bucket does not exist or cannot be listed.
    fn page<'a>(
        &'a self,
        prefix: &'a str,
        from: &'a str,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Page>, Error>>;

    /// Returns an object with all that the store knows of it, or `None` if it is proven not to exist.
    ///
    /// # Errors
    /// If it cannot be told whether the object exists.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Object>, Error>>;

    /// Opens the content of an object at an offset, as it is stored: no encoding is undone. With `version`, it is the content of
    /// this version.
    ///
    /// # Errors
    /// If the object does not exist, has another version (`Changed`), or cannot be read.
    fn open<'a>(
        &'a self,
        name: &'a str,
        version: Option<&'a str>,
        offset: u64,
    ) -> BoxFuture<'a, Result<Content, Error>>;
}

/// What must hold of an object for a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does not exist.
    Absent,
    /// It has this version ([`Object::version`]).
    Version(String),
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The size, in bytes.
    pub size: u64,
    /// The SHA-256 that the content must have.
    pub sha256: Sha256,
    /// The CRC32C, if it is known before the content.
    pub crc32c: Option<u32>,
    /// The metadata, with the hash.
    pub attributes: Attributes,
    /// What must hold of the object at the destination.
    pub condition: Condition,
}

/// An object that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The new version.
    pub version: String,
}

/// The writing face of a store. Nothing is ever deleted.
pub trait StoreWrite: StoreRead {
    /// Writes an object whose content is in memory, in one request. The object appears as a whole.
    ///
    /// # Errors
    /// If the condition does not hold (`Precondition`), or the object cannot be written.
    fn put<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        content: Bytes,
    ) -> BoxFuture<'a, Result<Written, Error>>;

    /// Begins to write an object in parts of `part` bytes, a multiple of 256 KiB; only the last one may be smaller. Nothing is
    /// visible before [`PartUpload::finish`].
    ///
    /// # Errors
    /// If the upload cannot be begun.
    fn begin<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        part: u64,
    ) -> BoxFuture<'a, Result<Box<dyn PartUpload>, Error>>;
}

/// An upload in parts.
pub trait PartUpload: Send {
    /// Sends the next part, which is not the last.
    ///
    /// # Errors
    /// If it cannot be sent. The upload is then to be aborted.
    fn part(&mut self, content: Bytes) -> BoxFuture<'_, Result<(), Error>>;

    /// Sends the last part and completes the object. `hashes` are those of the whole content, which the caller has compared.
    ///
    /// # Errors
    /// If the condition does not hold (`Precondition`), or the object cannot be completed.
    fn finish<'a>(&'a mut self, last: Bytes, hashes: &'a Hashes) -> BoxFuture<'a, Result<Written, Error>>;

    /// Leaves an upload that has become the object, although its end seemed to fail.
    fn leave(&mut self) {}

    /// Gives up the upload, so that nothing of it is left in the store.
    fn abort(&mut self) -> BoxFuture<'_, ()>;
}
