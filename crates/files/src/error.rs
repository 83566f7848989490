//! Errors of stores.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::StatusCode;
use manifest::files::Sha256;

/// Something that was tried on a store, and failed.
#[derive(Clone, Debug)]
pub struct Error {
    /// What was tried, on what: `reading gs://staging/a`.
    what: String,
    kind: ErrorKind,
}

/// Why something failed at a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// There was no usable answer.
    #[error("{0}")]
    Http(Arc<transport::Error>),
    /// The bucket does not exist.
    #[error("the bucket does not exist")]
    NoBucket,
    /// The object does not exist.
    #[error("the object does not exist")]
    NoObject,
    /// The store refuses, because of who asks.
    #[error("the store refuses it: {0}")]
    Forbidden(String),
    /// The object is not in the state that the write is for.
    #[error("the object has changed since it was planned")]
    Precondition,
    /// The object changed while it was read.
    #[error("the object changed while it was read")]
    Changed,
    /// The content has another hash than the manifest says.
    #[error("the SHA-256 of the content is {}, and the manifest says {wanted}", found.map_or_else(|| "another".to_owned(), |found| found.to_string()))]
    Mismatch {
        /// The hash of the content. `None` if the content is only known to be another.
        found: Option<Sha256>,
        /// The hash in the manifest.
        wanted: Sha256,
    },
    /// The store has stored something else than was sent.
    #[error("the store's answer does not fit what was sent: {0}")]
    Corrupted(String),
    /// The answer to a write does not prove that it was done.
    #[error("the store's answer does not prove the write: {0}")]
    Unproven(String),
    /// The store does not know an upload in parts any more.
    #[error("the store has lost the upload: {0}")]
    UploadLost(String),
    /// The answer has another part of the content than was asked for.
    #[error("the store's answer is not the part that was asked for: {0}")]
    Range(String),
    /// Any other answer of the store.
    #[error("the store answered {status}{detail}")]
    Answer {
        /// The status.
        status: StatusCode,
        /// What the answer says, after `: `.
        detail: String,
    },
    /// The answer cannot be understood.
    #[error("the store's answer cannot be read: {0}")]
    Unreadable(String),
    /// A content that comes from elsewhere than a store cannot be read.
    #[error("{0}")]
    Source(String),
    /// There are no credentials, or they cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// A file of this machine cannot be read or written.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The run was stopped.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Creates an error.
    pub fn new(what: impl Into<String>, kind: ErrorKind) -> Self {
        Self { what: what.into(), kind }
    }

    /// Returns why it failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Returns whether another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        match &self.kind {
            ErrorKind::Http(error) => error.is_temporary(),
            ErrorKind::Answer { status, .. } => transport::is_temporary(*status),
            ErrorKind::Unproven(_) | ErrorKind::UploadLost(_) => true,
            _ => false,
        }
    }

    /// Returns whether a write that failed so may have been done all the same.
    pub(crate) fn is_undecided(&self) -> bool {
        match &self.kind {
            ErrorKind::Http(_)
            | ErrorKind::Unproven(_)
            | ErrorKind::UploadLost(_)
            | ErrorKind::Unreadable(_) => true,
            ErrorKind::Answer { status, .. } => transport::is_temporary(*status),
            _ => false,
        }
    }

    /// Returns what a person can do about it, if that is known.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match &self.kind {
            ErrorKind::NoBucket => "check the name of the bucket; kpromo makes no buckets",
            ErrorKind::Forbidden(_) => {
                "check the permissions of the account: reading needs to get and to list objects, writing to create and to \
                 replace them"
            }
            ErrorKind::Precondition => {
                "something else has written the object: run it again, and look at the plan"
            }
            ErrorKind::Changed => "something writes to the source: run it again when that is done",
            ErrorKind::Mismatch { .. } => {
                "the object in the source is not what the manifest was made for: correct one of the two"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.kind)
    }
}

impl std::error::Error for Error {}

impl From<transport::Error> for ErrorKind {
    fn from(error: transport::Error) -> Self {
        Self::Http(Arc::new(error))
    }
}

impl From<io::Error> for ErrorKind {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}
