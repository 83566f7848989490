//! Answers with their complete body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::redact::Carried;
use crate::retry::{asked_pause, is_refusal};

/// An answer of any status, with its complete body.
///
/// An answer holds no permit at its host: the permit is released when the body has been read. A caller may keep an answer for any
/// length of time, and may send other requests in the meantime.
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
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the value of a header, or `None` if it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get(name)?.as_bytes()).ok()
    }

    /// Returns the URL that answered, after redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns `true` if the answer is the result of a redirect. Its content must not be displayed: it may contain a signed URL.
    pub fn is_redirected(&self) -> bool {
        self.is_redirected
    }

    /// Masks secrets in text of the answer, since servers may echo what they receive. The secrets of the request, the query of
    /// its URL and everything that looks like credentials are replaced by dots. Truncate the text only after masking it.
    pub fn masked(&self, text: &str) -> String {
        self.carried.masked(text, &self.url)
    }

    /// Returns the method of the request.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the number of attempts.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the body. If the status is not 2xx, the body is truncated after 64 KiB or five seconds.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body and drops the rest of the answer.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Returns `true` if the host refused the request because of a rate limit.
    pub fn is_refusal(&self) -> bool {
        is_refusal(self.status, &self.headers)
    }

    /// Returns the wait that the answer asks for: `Retry-After`, or the time until a used-up quota is renewed. The value is
    /// untrusted.
    pub fn asked_pause(&self) -> Option<Duration> {
        asked_pause(&self.headers)
    }

    /// Constructs an error about this answer, for callers that cannot use its body.
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.method, &self.url, self.attempts, self.elapsed)
    }
}
