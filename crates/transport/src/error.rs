//! Why no answer came.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::Method;
use url::Url;

use crate::limit::Outage;
use crate::redact::shown;

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
    /// The connection broke, or what came over it is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing came for too long.
    #[error("{waiting_for} did not come within {} s", limit.as_secs_f64())]
    Timeout {
        /// What was waited for.
        waiting_for: &'static str,
        /// How long.
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
    /// Not sent, because its host has been given up.
    #[error("not sent: {0}")]
    Outage(Outage),
    /// The body that was to be sent failed.
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

    /// Whether trying again later may help.
    pub fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }
}

impl ErrorKind {
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Broken(_) | Self::Timeout { .. } => true,
            Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::Forbidden(_)
            | Self::Outage(_)
            | Self::Content(_) => false,
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

/// What a client error says at its root; its upper layers repeat the URL, which may hold secrets.
pub(crate) fn root(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}
