//! Requests that failed.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use crate::limit::NotAdmitted;
use crate::redact::shown;

/// What servers answer to plain HTTP where they expect TLS: Go's, nginx's and Apache's.
const EXPECTS_TLS: &[&str] = &[
    "Client sent an HTTP request to an HTTPS server",
    "The plain HTTP request was sent to HTTPS port",
    "plain HTTP to an SSL-enabled server port",
];

/// A request that got no answer, or none that could be read to its end.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    method: Method,
    url: String,
    attempts: u32,
    elapsed: Duration,
}

/// What happened to a request.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The host's certificate is not accepted: unknown, expired, or of another name.
    #[error("the certificate of the host is not accepted: {0}")]
    Certificate(String),
    /// The host speaks plain HTTP where TLS is expected.
    #[error("the host does not speak TLS: {0}")]
    NotTls(String),
    /// The host speaks something else, TLS probably, where plain HTTP is expected.
    #[error("the host does not speak plain HTTP: {0}")]
    NotPlainHttp(String),
    /// The connection broke, or what came over it is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer came.
    #[error("timed out: an answer did not come within {} s", limit.as_secs_f64())]
    Timeout {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The body came too slowly, or came no further.
    #[error("timed out: fewer than {least} bytes of the body came within {} s", span.as_secs_f64())]
    SlowBody {
        /// The fewest bytes that must come within each span.
        least: u64,
        /// The span.
        span: Duration,
    },
    /// The body did not come to its end.
    #[error("timed out: the body was not complete within {} s", limit.as_secs_f64())]
    LongBody {
        /// How long it was waited for.
        limit: Duration,
    },
    /// More came than may come.
    #[error("the answer is larger than the {limit} bytes it may have")]
    TooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("redirected to {to}, which is not followed: {reason}")]
    Redirect {
        /// Where to, as it may be shown.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// The request must not be sent.
    #[error("not sent: {0}")]
    Forbidden(&'static str),
    /// The host's limits did not admit the request: the host is given up.
    #[error("not sent: {why}{}", last.as_ref().map(|last| format!("; the last failure: {last}")).unwrap_or_default())]
    NotAdmitted {
        /// Why not.
        why: NotAdmitted,
        /// What the host last failed with.
        last: Option<String>,
    },
    /// The content to send failed at its source.
    #[error("the content to send failed: {0}")]
    Content(String),
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, method: &Method, url: &Url, attempts: u32, elapsed: Duration) -> Self {
        Self { kind, method: method.clone(), url: shown(url), attempts, elapsed }
    }

    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Whether another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }

    /// Whether the answer, or the rest of it, was waited for in vain.
    pub fn is_silence(&self) -> bool {
        self.kind.is_silence()
    }
}

impl ErrorKind {
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Broken(_)
            | Self::Timeout { .. }
            | Self::SlowBody { .. }
            | Self::LongBody { .. } => true,
            Self::Certificate(_)
            | Self::NotTls(_)
            | Self::NotPlainHttp(_)
            | Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::Forbidden(_)
            | Self::NotAdmitted { .. }
            | Self::Content(_) => false,
        }
    }

    fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::SlowBody { .. } | Self::LongBody { .. })
    }

    /// The error that an answer to a request by `scheme` stands for, if it says that the host expects TLS.
    pub(crate) fn of_answer(status: StatusCode, scheme: &str, body: &[u8]) -> Option<Self> {
        if status != StatusCode::BAD_REQUEST || scheme != "http" {
            return None;
        }
        let text = String::from_utf8_lossy(body);
        let said = EXPECTS_TLS.iter().find(|said| text.contains(**said))?;
        Some(Self::NotPlainHttp((*said).to_owned()))
    }

    /// The same of a host that has answered before: it speaks what is expected of it, so another protocol is a fault of this
    /// one connection.
    pub(crate) fn after_an_answer(self) -> Self {
        match self {
            Self::NotTls(text) | Self::NotPlainHttp(text) => Self::Broken(text),
            other => other,
        }
    }

    /// Classifies what the HTTP client reports of a request by `scheme`.
    pub(crate) fn of(error: &reqwest::Error, scheme: &str) -> Self {
        let text = root(error);
        match rustls_error(error) {
            Some(rustls::Error::InvalidCertificate(reason)) => {
                return Self::Certificate(format!("{reason:?}: {reason}"));
            }
            Some(rustls::Error::NoCertificatesPresented) => return Self::Certificate(text),
            Some(rustls::Error::InvalidMessage(_)) if error.is_connect() => return Self::NotTls(text),
            _ => {}
        }
        if error.is_connect() {
            Self::Connect(text)
        } else if scheme == "http" && text.contains("invalid HTTP") {
            Self::NotPlainHttp(text)
        } else {
            Self::Broken(text)
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.method, self.url, self.kind)?;
        if self.attempts > 1 {
            write!(f, " ({} attempts in {:.1} s)", self.attempts, self.elapsed.as_secs_f64())?;
        }
        Ok(())
    }
}

impl StdError for Error {}

/// The causes of an error, the outermost first. An I/O error does not name the error that it wraps as its source.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

fn rustls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The innermost cause of a client error. The outer ones repeat the URL, which may hold secrets.
pub(crate) fn root(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}
