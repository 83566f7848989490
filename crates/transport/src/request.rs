//! What is asked of the door.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

/// What a request is to its host's limits. Registries keep separate quotas for reads and writes; and what is small, and waited
/// for by others, goes before what is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Asks for a token, without which nothing else can be asked.
    Token,
    /// Changes nothing.
    Read,
    /// May change something.
    Write,
    /// Brings much and changes nothing.
    BulkRead,
    /// Sends much.
    BulkWrite,
}

impl Class {
    /// Whether it may change something.
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::BulkWrite)
    }

    /// Whether it moves much, and should let others go first.
    pub(crate) fn is_bulk(self) -> bool {
        matches!(self, Self::BulkRead | Self::BulkWrite)
    }
}

/// Where the answer to a request may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// Nowhere: a redirect is given back as the answer.
    Refuse,
    /// To the same host, or to a public address; credentials only ever go to the host that was asked.
    Follow,
}

/// The body of a request.
pub enum Body {
    /// No body.
    Empty,
    /// Bytes that are there, and can be sent again.
    Bytes(Bytes),
    /// Bytes that come once, of a known length. Such a request is never sent twice.
    Stream {
        /// How many bytes the stream gives.
        length: u64,
        /// The bytes; an error ends the request.
        stream: BoxStream<'static, std::io::Result<Bytes>>,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream { length, .. } => write!(f, "a stream of {length} bytes"),
        }
    }
}

/// One request, as its caller wants it.
#[derive(Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) kind: &'static str,
    pub(crate) class: Class,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) redirects: Redirects,
    pub(crate) repeatable: bool,
    pub(crate) untrusted: bool,
}

impl Request {
    /// A request without a body. `kind` is the name it is counted under, such as `manifest-get`.
    pub fn new(method: Method, url: Url, kind: &'static str, class: Class) -> Self {
        Self {
            method,
            url,
            kind,
            class,
            headers: HeaderMap::new(),
            body: Body::Empty,
            redirects: Redirects::Refuse,
            repeatable: true,
            untrusted: false,
        }
    }

    /// Adds a header. A value that looks like a credential should be marked with [`HeaderValue::set_sensitive`].
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Gives it a body.
    pub fn body(mut self, body: Body) -> Self {
        self.repeatable &= !matches!(body, Body::Stream { .. });
        self.body = body;
        self
    }

    /// Lets it follow redirects.
    pub fn follow(mut self) -> Self {
        self.redirects = Redirects::Follow;
        self
    }

    /// Has it sent at most once: doing it twice would not be the same as doing it once.
    pub fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Marks the host as one that an answer named and nobody configured: it must have a public address.
    pub fn to_named_host(mut self) -> Self {
        self.untrusted = true;
        self
    }

    /// The same request once more; `None` where its body can be sent only once.
    pub fn replica(&self) -> Option<Self> {
        let body = match &self.body {
            Body::Empty => Body::Empty,
            Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Body::Stream { .. } => return None,
        };
        let (method, url, headers) = (self.method.clone(), self.url.clone(), self.headers.clone());
        Some(Self { method, url, headers, body, ..*self })
    }
}
