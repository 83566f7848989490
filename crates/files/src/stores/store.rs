//! The interfaces for reading from and writing to stores of any kind.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use manifest::files::{Sha256, StoreUrl};

use super::content::Content;
use crate::error::Error;
use crate::hash::Hashes;
use crate::object::{Attributes, Object};

/// The maximum time for the abort of an upload.
pub(super) const ABORT_TIME: Duration = Duration::from_secs(20);

/// A page of a listing.
#[derive(Debug, Default)]
pub struct Page {
    /// The objects and their names relative to the URL of the store, in the store's order.
    pub objects: Vec<(String, Object)>,
    /// The token for the next page. `None`: this is the last page.
    pub next: Option<String>,
}

/// Reads from a store. All names are relative to the store's URL.
pub trait StoreRead: Send + Sync + Debug {
    /// Returns the URL of the store.
    fn url(&self) -> &StoreUrl;

    /// Returns a page of the objects whose names begin with `prefix`, starting at the name `from` or earlier. Most stores return
    /// names in byte order. `None` if the store has no listing that is cheaper than requests for single objects.
    ///
    /// # Errors
    /// If the bucket does not exist or cannot be listed.
    fn page<'a>(
        &'a self,
        prefix: &'a str,
        from: &'a str,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Page>, Error>>;

    /// Returns an object with all metadata that the store has, or `None` if the object is proven to be absent.
    ///
    /// # Errors
    /// If the store's answer does not show whether the object exists.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Object>, Error>>;

    /// Opens the content of an object at an offset, as it is stored: content encodings are not decoded. With `version`, opens this
    /// version.
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

/// The condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The object does not exist.
    Absent,
    /// The object has this version ([`Object::version`]).
    Version(String),
}

/// The properties of an object to write.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The size, in bytes.
    pub size: u64,
    /// The SHA-256 that the content must have.
    pub sha256: Sha256,
    /// The CRC32C, if it is known in advance.
    pub crc32c: Option<u32>,
    /// The metadata, including the hash.
    pub attributes: Attributes,
    /// The condition for the object at the destination.
    pub condition: Condition,
}

/// An object that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The new version.
    pub version: String,
}

/// Writes to a store. No method deletes an object.
pub trait StoreWrite: StoreRead {
    /// Writes an object from memory in one request. The write is atomic.
    ///
    /// # Errors
    /// If the condition does not hold ([`Error::is_precondition`]), or the object cannot be written.
    fn put<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        content: Bytes,
    ) -> BoxFuture<'a, Result<Written, Error>>;

    /// Starts an upload in parts of `part` bytes, a multiple of 256 KiB; only the last part may be smaller. The object does not
    /// appear before [`PartUpload::finish`].
    ///
    /// # Errors
    /// If the upload cannot be started.
    fn begin<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        part: u64,
    ) -> BoxFuture<'a, Result<Box<dyn PartUpload>, Error>>;
}

/// An upload in parts.
pub trait PartUpload: Send {
    /// Sends the next part, which must not be the last.
    ///
    /// # Errors
    /// If the part cannot be sent. The caller must then abort the upload.
    fn part(&mut self, content: Bytes) -> BoxFuture<'_, Result<(), Error>>;

    /// Sends the last part and completes the object. `hashes` are the hashes of the whole content, which the caller has checked.
    ///
    /// # Errors
    /// If the condition does not hold ([`Error::is_precondition`]), or the object cannot be completed.
    fn finish<'a>(&'a mut self, last: Bytes, hashes: &'a Hashes) -> BoxFuture<'a, Result<Written, Error>>;

    /// Marks the upload as complete, although `finish` may have failed: the object is known to exist, so nothing is aborted.
    fn leave(&mut self) {}

    /// Aborts the upload and removes its parts from the store.
    fn abort(&mut self) -> BoxFuture<'_, ()>;
}
