//! Requests to be sent through the door.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::class::Class;
use crate::limit::Permit;
use crate::redact::Secret;

/// The default of [`Request::limit`], in bytes.
const BODY_MAX: u64 = 64 * 1024;

/// Which redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// None: a redirect is returned as the answer.
    Refuse,
    /// To the same host, with method and body (307 and 308 only).
    SameHost,
    /// To the same host, to a configured host or to a public address. Credentials are sent only to the first host.
    Follow,
}

/// When the door sends a request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// After every temporary failure.
    Always,
    /// Only after a refusal because of a rate limit (429, 503 with `Retry-After`, or a 403 as GitHub sends it), which means that
    /// the host has not executed the request.
    WhenRefused,
    /// Never.
    Never,
}

/// Who named the host of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// The user or this program.
    User,
    /// An answer, and the user has configured the host: it may have any address except that of a metadata service.
    AnswerAndUser,
    /// An answer alone: the host must have a public address.
    Answer,
}

/// The body of a request.
pub enum Body {
    /// No body.
    Empty,
    /// Bytes in memory, which can be sent again.
    Bytes(Bytes),
    /// A stream of known length, which can be read once. Such a request is never sent twice.
    Stream {
        /// The length of the stream, in bytes.
        length: u64,
        /// The stream. An error ends the request.
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

/// A permit for one request at a host, from [`Door::reserve`](crate::Door::reserve). It is released when it is dropped.
#[derive(Debug)]
pub struct Reservation(pub(crate) Permit);

/// One request.
#[derive(Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) kind: &'static str,
    pub(crate) class: Class,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) limit: u64,
    pub(crate) redirects: Redirects,
    pub(crate) repeat: Repeat,
    pub(crate) named_by: NamedBy,
    pub(crate) reservation: Option<Reservation>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) is_patient: bool,
}

impl Request {
    /// Constructs a request without a body. It is counted under the name `kind`, such as `manifest-get`.
    pub fn new(method: Method, url: Url, kind: &'static str, class: Class) -> Self {
        Self {
            method,
            url,
            kind,
            class,
            headers: HeaderMap::new(),
            body: Body::Empty,
            limit: BODY_MAX,
            redirects: Redirects::Refuse,
            repeat: Repeat::Always,
            named_by: NamedBy::User,
            reservation: None,
            secrets: Vec::new(),
            is_patient: false,
        }
    }

    /// Adds a header. Mark a value that is a credential with [`HeaderValue::set_sensitive`].
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Registers a secret in the body, which is masked in all displayed text. The secrets of sensitive headers are
    /// registered automatically.
    pub fn secret(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: Body) -> Self {
        if matches!(body, Body::Stream { .. }) {
            self.repeat = Repeat::Never;
        }
        self.body = body;
        self
    }

    /// Limits the body of a successful answer, in bytes; 64 KiB by default. A larger one is an error.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Gives the body of the answer the timeout of its head, however slowly it arrives. This is for servers that begin an answer
    /// before the operation has completed, and send white space in the meantime.
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Follows redirects, including those to other hosts. This is for reads.
    pub fn follow(mut self) -> Self {
        self.redirects = Redirects::Follow;
        self
    }

    /// Follows redirects that stay on the host and keep method and body (307 and 308). This is for writes.
    pub fn follow_on_host(mut self) -> Self {
        self.redirects = Redirects::SameHost;
        self
    }

    /// Sends the request at most once.
    pub fn once(mut self) -> Self {
        self.repeat = Repeat::Never;
        self
    }

    /// Sends the request again only if the host has refused it because of a rate limit, and so has not executed it.
    pub fn again_when_refused(mut self) -> Self {
        if self.repeat == Repeat::Always {
            self.repeat = Repeat::WhenRefused;
        }
        self
    }

    /// Marks the host as named by an answer: it must have a public address.
    pub fn to_named_host(mut self) -> Self {
        self.named_by = NamedBy::Answer;
        self
    }

    /// Marks the host as named by an answer, and as configured or local: it may have any address except that of a metadata
    /// service.
    pub fn to_configured_host(mut self) -> Self {
        self.named_by = NamedBy::AnswerAndUser;
        self
    }

    /// Sends the first attempt without waiting, with a permit that was acquired before.
    pub fn with_reservation(mut self, reservation: Reservation) -> Self {
        self.reservation = Some(reservation);
        self
    }

    /// Returns `true` if the request is sent at most once.
    pub fn is_once(&self) -> bool {
        self.repeat == Repeat::Never
    }

    /// Returns the URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns a copy of the request, or `None` if its body can be sent only once.
    pub fn replica(&self) -> Option<Self> {
        let body = match &self.body {
            Body::Empty => Body::Empty,
            Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Body::Stream { .. } => return None,
        };
        let (method, url, headers) = (self.method.clone(), self.url.clone(), self.headers.clone());
        let secrets = self.secrets.clone();
        Some(Self { method, url, headers, body, secrets, reservation: None, ..*self })
    }
}
