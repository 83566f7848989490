//! Errors of requests.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use crate::address::NotAllowed;
use crate::certificate::{describe, refused_handshake};
use crate::limit::NotAdmitted;
use crate::redact::shown;

/// The answers of Go, nginx and Apache to plain HTTP on a TLS port.
const EXPECTS_TLS: &[&str] = &[
    "Client sent an HTTP request to an HTTPS server",
    "The plain HTTP request was sent to HTTPS port",
    "plain HTTP to an SSL-enabled server port",
];

/// A request without an answer, or with an answer that could not be read completely.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    method: Method,
    url: String,
    /// The host, with its port if the URL has one.
    authority: String,
    attempts: u32,
    elapsed: Duration,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The connection could not be established.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The certificate of the host was rejected: unknown, expired, or for another name.
    #[error("the certificate of the host is not accepted: {0}")]
    Certificate(String),
    /// The host and the client cannot agree on TLS.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// The host speaks plain HTTP where TLS is expected.
    #[error("the host does not speak TLS: {0}")]
    NotTls(String),
    /// The host speaks another protocol, probably TLS, where plain HTTP is expected.
    #[error("the host does not speak plain HTTP: {0}")]
    NotPlainHttp(String),
    /// The connection was interrupted, or the data is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// There was no answer within the time limit.
    #[error("timed out: no answer within {} s", limit.as_secs_f64())]
    Timeout {
        /// The time limit.
        limit: Duration,
    },
    /// The body was too slow, or stopped.
    #[error("timed out: fewer than {least} bytes of the body arrived within {} s", span.as_secs_f64())]
    SlowBody {
        /// The minimum number of bytes within each span.
        least: u64,
        /// The span.
        span: Duration,
    },
    /// The body was not complete within the time limit.
    #[error("timed out: the body was not complete within {} s", limit.as_secs_f64())]
    LongBody {
        /// The time limit.
        limit: Duration,
    },
    /// The answer exceeds its size limit.
    #[error("the answer is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The redirect is not followed.
    #[error("redirected to {to}, which is not followed: {reason}")]
    Redirect {
        /// The target, in a form that may be displayed.
        to: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The request must not be sent.
    #[error("not sent: {0}")]
    Forbidden(&'static str),
    /// The limits of the host did not admit the request, because the host is given up.
    #[error("{why}{}", last.as_ref().map(|last| format!("; last: {last}")).unwrap_or_default())]
    NotAdmitted {
        /// Why the request was not admitted.
        why: NotAdmitted,
        /// The last failure of the host.
        last: Option<String>,
    },
    /// The content to send could not be read from its source.
    #[error("the content to send failed: {0}")]
    Content(String),
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, method: &Method, url: &Url, attempts: u32, elapsed: Duration) -> Self {
        Self {
            kind,
            method: method.clone(),
            url: shown(url),
            authority: url.authority().rsplit('@').next().unwrap_or_default().to_owned(),
            attempts,
            elapsed,
        }
    }

    /// Returns what went wrong at the host, without the request and its attempts. It is the same for all requests that fail for the
    /// same reason.
    pub fn cause(&self) -> String {
        let why = match &self.kind {
            ErrorKind::NotAdmitted { last: Some(last), .. } => last.clone(),
            kind => kind.to_string(),
        };
        format!("{}: {why}", self.authority)
    }

    /// Returns why the request failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Returns `true` if another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }

    /// Returns for how long the quota of the host is used up, if the request was not sent because that is too long to wait.
    pub fn used_up_for(&self) -> Option<Duration> {
        match self.kind {
            ErrorKind::NotAdmitted { why: NotAdmitted::UsedUp(time), .. } => Some(time),
            _ => None,
        }
    }

    /// Returns `true` if the answer, or the rest of it, did not arrive in time.
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
            | Self::Handshake(_)
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

    /// Returns an error if the answer to a request with `scheme` says that the host expects TLS.
    pub(crate) fn of_answer(status: StatusCode, scheme: &str, body: &[u8]) -> Option<Self> {
        if status != StatusCode::BAD_REQUEST || scheme != "http" {
            return None;
        }
        let text = String::from_utf8_lossy(body);
        let phrase = EXPECTS_TLS.iter().find(|phrase| text.contains(**phrase))?;
        Some(Self::NotPlainHttp((*phrase).to_owned()))
    }

    /// Converts the error for a host that has answered before. Such a host speaks the expected protocol, so data of another
    /// protocol is a fault of this one connection.
    pub(crate) fn after_an_answer(self) -> Self {
        match self {
            Self::Handshake(text) | Self::NotTls(text) | Self::NotPlainHttp(text) => Self::Broken(text),
            other => other,
        }
    }

    /// Classifies an error of the HTTP client for a request with `scheme`.
    pub(crate) fn of(error: &reqwest::Error, scheme: &str) -> Self {
        let text = root(error);
        // The address of the host does not change with another attempt.
        if let Some(NotAllowed(why)) = causes(error).find_map(|cause| cause.downcast_ref()) {
            return Self::Forbidden(why);
        }
        match rustls_error(error) {
            Some(rustls::Error::InvalidCertificate(reason)) => {
                return Self::Certificate(describe(reason));
            }
            Some(rustls::Error::NoCertificatesPresented) => return Self::Certificate(text),
            Some(rustls::Error::InvalidMessage(_)) if error.is_connect() => return Self::NotTls(text),
            Some(other) => {
                if let Some(why) = refused_handshake(other) {
                    return Self::Handshake(why);
                }
            }
            None => {}
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
        // The text of `NotAdmitted` already contains the number of requests.
        if self.attempts > 1 && !matches!(self.kind, ErrorKind::NotAdmitted { .. }) {
            write!(f, " ({} attempts in {:.1} s)", self.attempts, self.elapsed.as_secs_f64())?;
        }
        Ok(())
    }
}

impl StdError for Error {}

/// Returns the causes of an error, the outermost first. An I/O error does not return the error that it wraps as its source.
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

/// Returns the innermost cause of a client error. The outer ones contain the URL, which may include secrets.
pub(crate) fn root(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}
