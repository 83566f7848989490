//! The content of an object while it is read.

use std::fmt;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use transport::BodyStream;

use crate::error::{Error, ErrorKind};
use crate::object::Object;

/// The size of a piece that is read from a file, in bytes.
const PIECE: usize = 256 * 1024;

/// The content of an object, from an offset on.
pub struct Content {
    /// What the answer says about the object. The size is that of the whole object.
    pub object: Object,
    /// What is read, for errors.
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

impl Content {
    pub(super) fn http(what: String, object: Object, body: Box<BodyStream>) -> Self {
        Self { object, what, inner: Inner::Http(body) }
    }

    pub(super) fn file(what: String, object: Object, file: tokio::fs::File) -> Self {
        Self { object, what, inner: Inner::File(file) }
    }

    /// Returns the next piece; `None` after the last.
    ///
    /// # Errors
    /// If the content breaks off. It may be opened again at the offset reached.
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
