//! Errors of stores.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::StatusCode;
use manifest::files::Sha256;

/// An operation on a store that failed.
#[derive(Clone, Debug)]
pub struct Error {
    /// The operation and its object: `reading gs://staging/a`.
    what: String,
    kind: ErrorKind,
}

/// Why an operation on a store failed.
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
    /// The store refuses access to this identity.
    #[error("the store refuses it: {0}")]
    Forbidden(String),
    /// The condition of the write does not hold: kpromo has seen another object, or the store names a concurrent write.
    #[error("the object has changed since it was planned")]
    Precondition,
    /// The store answered 412: the condition of the write does not hold.
    #[error("the object has changed since it was planned")]
    PreconditionFailed,
    /// The store answered 412, although the condition of the write holds.
    #[error(
        "the store answered 412 Precondition Failed, and the object is as it was when the copy was planned"
    )]
    FalsePrecondition,
    /// The object to replace has no version, so its replacement cannot have a condition.
    #[error(
        "the store returns no version of the object (`ETag` or generation), so it cannot be replaced safely"
    )]
    NoVersion,
    /// The object changed while it was read.
    #[error("the object changed while it was read")]
    Changed,
    /// The hash of the content differs from the manifest.
    #[error("the SHA-256 of the content is {}, and the manifest says {wanted}", found.map_or_else(|| "another".to_owned(), |found| found.to_string()))]
    Mismatch {
        /// The hash of the content. `None` if the content is only known to differ.
        found: Option<Sha256>,
        /// The hash in the manifest.
        wanted: Sha256,
    },
    /// The stored content differs from what was sent.
    #[error("the store's answer does not fit what was sent: {0}")]
    Corrupted(String),
    /// The answer to a write does not prove that the store has done it.
    #[error("the store's answer does not prove the write: {0}")]
    Unproven(String),
    /// The store no longer knows a multipart upload.
    #[error("the store has lost the upload: {0}")]
    UploadLost(String),
    /// The answer has another range of the content than the requested one.
    #[error("the store's answer is not the part that was asked for: {0}")]
    Range(String),
    /// Any other answer of the store.
    #[error("the store answered {status}{detail}")]
    Answer {
        /// The status.
        status: StatusCode,
        /// The message of the answer, with a leading `: `.
        detail: String,
    },
    /// The answer cannot be parsed.
    #[error("the store's answer cannot be read: {0}")]
    Unreadable(String),
    /// Content that does not come from a store cannot be read.
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

    /// Returns why the operation failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Returns whether the store has refused a write because its condition does not hold.
    pub fn is_precondition(&self) -> bool {
        matches!(self.kind, ErrorKind::Precondition | ErrorKind::PreconditionFailed)
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

    /// Returns whether the store may have done a write in spite of this error.
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

    /// Returns what went wrong, without the object and the request: equal for all that fail for the same reason.
    pub fn cause(&self) -> String {
        match &self.kind {
            ErrorKind::Http(error) => error.cause(),
            kind => kind.to_string(),
        }
    }

    /// Returns advice on how to resolve the error, if there is any.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match &self.kind {
            ErrorKind::Http(error) => return connection_advice(error),
            ErrorKind::NoBucket => "check the name of the bucket; kpromo makes no buckets",
            ErrorKind::Forbidden(_) => {
                "check the permissions of the account: reading needs to get and to list objects, writing to create and to \
                 replace them"
            }
            ErrorKind::Precondition | ErrorKind::PreconditionFailed => {
                "something else has written the object: run it again, and look at the plan"
            }
            ErrorKind::FalsePrecondition => {
                "run it again, and check for a proxy between kpromo and the store"
            }
            ErrorKind::NoVersion => {
                "check whether a proxy changes the store's answers: they lack `ETag` (S3) or `generation` (Google)"
            }
            ErrorKind::Changed => "something writes to the source: run it again when that is done",
            ErrorKind::Mismatch { .. } => {
                "the object in the source is not what the manifest was made for: correct one of the two"
            }
            _ => return None,
        })
    }
}

/// The scheme of a store is in its URL. For registries, the configuration has it.
fn connection_advice(error: &transport::Error) -> Option<&'static str> {
    match error.kind() {
        transport::ErrorKind::NotTls(_) => Some(
            "if the store speaks plain HTTP, begin its URL with `http://` (AWS_ENDPOINT_URL, STORAGE_EMULATOR_HOST)",
        ),
        transport::ErrorKind::NotPlainHttp(_) => Some(
            "if the store speaks TLS, begin its URL with `https://` (AWS_ENDPOINT_URL, STORAGE_EMULATOR_HOST)",
        ),
        _ => error.advice(),
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
