//! Answers that were read to their end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::redact::Carried;

/// An answer of any status with its whole body.
///
/// It holds no place at its host: the place is given back when the body was read, so a caller may keep an answer for as long
/// as it likes, and send other requests meanwhile.
#[derive(Debug)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) carried: Arc<Carried>,
    pub(crate) is_redirected: bool,
    pub(crate) attempts: u32,
    pub(crate) elapsed: Duration,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value, where it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get(name)?.as_bytes()).ok()
    }

    /// The URL that answered, after redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether a redirect has led to it. What such an answer says is not to be shown: it may repeat the whole of a URL that is
    /// signed.
    pub fn is_redirected(&self) -> bool {
        self.is_redirected
    }

    /// Words of the answer as they may be shown: servers repeat what they were sent. What the request carried in secret and
    /// the query of its URL are replaced by dots, and so is whatever looks like credentials. Cut the words after this.
    pub fn masked(&self, words: &str) -> String {
        self.carried.masked(words, &self.url)
    }

    /// The method of the request.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// How many attempts it took.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The body. That of a status other than 2xx is cut after 64 KiB or five seconds.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body, without the rest of the answer.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// An error about this answer, for callers that cannot use its body.
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.method, &self.url, self.attempts, self.elapsed)
    }
}
