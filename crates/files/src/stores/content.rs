//! The content of an object as a stream.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::io::AsyncReadExt as _;
use transport::BodyStream;

use crate::error::{Error, ErrorKind};
use crate::object::Object;

/// The size of the buffer for reads of files, in bytes.
const PIECE: usize = 256 * 1024;

/// The content of an object, starting at an offset.
pub struct Content {
    /// The object, as described by the answer. The size is the size of the whole object.
    pub object: Object,
    /// The offset of the content, in bytes. It may be less than the requested offset: a store may ignore a range request.
    pub start: u64,
    /// What is read, for error messages.
    what: String,
    inner: Inner,
}

enum Inner {
    Http(Box<BodyStream>),
    File(tokio::fs::File),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("object", &self.object)
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

/// Returns the offset of the body of an answer in the content.
pub(super) fn start_of(body: &BodyStream) -> Result<u64, ErrorKind> {
    if body.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let range = body.header("content-range").unwrap_or_default();
    let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.trim().parse().ok());
    start.ok_or_else(|| ErrorKind::Range("a part came without its place".to_owned()))
}

impl Content {
    pub(super) fn http(what: String, object: Object, body: Box<BodyStream>, start: u64) -> Self {
        Self { object, start, what, inner: Inner::Http(body) }
    }

    pub(super) fn file(what: String, object: Object, file: tokio::fs::File, start: u64) -> Self {
        Self { object, start, what, inner: Inner::File(file) }
    }

    /// Returns the next piece; `None` after the last.
    ///
    /// # Errors
    /// If the stream breaks off. The object can be opened again at the offset that was reached.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = match &mut self.inner {
            Inner::Http(body) => body.next().await.map_err(ErrorKind::from),
            Inner::File(file) => {
                let mut piece = BytesMut::with_capacity(PIECE);
                let read = file.read_buf(&mut piece).await;
                read.map(|read| (read > 0).then(|| piece.freeze())).map_err(ErrorKind::from)
            }
        };
        piece.map_err(|kind| Error::new(self.what.as_str(), kind))
    }
}
