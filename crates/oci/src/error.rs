//! Why a registry could not do what it was asked.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use crate::digest::Digest;
use crate::manifest::InvalidManifest;

/// An operation on a registry that failed: what was tried, on what, and what came back.
#[derive(Debug)]
pub struct Error {
    doing: String,
    kind: Box<ErrorKind>,
}

/// What came back.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// No answer, or one that could not be read to its end.
    #[error(transparent)]
    Transport(transport::Error),
    /// The registry answered that it does not do it.
    #[error("{0}")]
    Refused(Refusal),
    /// The credentials for the registry could not be had.
    #[error("no usable credentials: {0}")]
    Credential(String),
    /// The registry sends its clients for tokens to a host that may not have their credentials.
    #[error("the registry wants the credentials sent to {realm}, which is another host")]
    ForeignTokenRealm {
        /// Where it wants them sent.
        realm: String,
    },
    /// The registry sends its clients elsewhere in the middle of an operation.
    #[error("the registry's {header} leads to {to}, which is not followed")]
    ForeignHost {
        /// The header that does.
        header: &'static str,
        /// Where it leads.
        to: String,
    },
    /// The content is not what its digest names.
    #[error("wrong content: asked for {expected}, got {got}")]
    WrongDigest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        got: Digest,
    },
    /// The content has another size than its descriptor.
    #[error("wrong content: {expected} bytes were announced, {got} came")]
    WrongSize {
        /// The size in the descriptor.
        expected: u64,
        /// The size of what came, or of what was read of it.
        got: u64,
    },
    /// An answer that is not what the specification says.
    #[error("the answer is not one of the distribution specification: {0}")]
    Malformed(String),
    /// A manifest that cannot be worked with.
    #[error(transparent)]
    Manifest(InvalidManifest),
    /// An image that is larger, deeper or more branched than any image is.
    #[error("{0}")]
    Unreasonable(String),
    /// What was to be sent could not be read from where it is.
    #[error("{cause}")]
    Source {
        /// What came back there.
        cause: String,
        /// Whether another attempt may go better.
        temporary: bool,
    },
    /// What was to be sent could not be read.
    #[error("the content to send failed: {0}")]
    Content(String),
}

/// An answer by which a registry declines (distribution specification, *Error Codes*).
#[derive(Debug)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The codes and messages of its body, where it has any.
    pub errors: Vec<RegistryError>,
    /// How often it was asked.
    pub attempts: u32,
}

/// One error of a registry's answer.
#[derive(Debug, Deserialize)]
pub struct RegistryError {
    /// One of the specification's codes, such as `NAME_UNKNOWN`.
    #[serde(default)]
    pub code: String,
    /// What the registry says to a person.
    #[serde(default)]
    pub message: String,
}

/// What helps where a registry says that it is asked too much.
const QUOTA_USED_UP: &str =
    "the registry's quota is used up, perhaps by others too: run again later; what is done is not done again";

impl Error {
    pub(crate) fn new(doing: impl Into<String>, kind: ErrorKind) -> Self {
        Self { doing: doing.into(), kind: Box::new(kind) }
    }

    /// What came back.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The status of the registry's answer, where it declined.
    pub fn status(&self) -> Option<StatusCode> {
        match &*self.kind {
            ErrorKind::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Whether another attempt may go better; content that is wrong stays wrong.
    pub fn is_temporary(&self) -> bool {
        match &*self.kind {
            ErrorKind::Transport(error) => error.is_temporary(),
            ErrorKind::Source { temporary, .. } => *temporary,
            ErrorKind::Refused(refusal) => {
                refusal.status.is_server_error() || matches!(refusal.status.as_u16(), 408 | 429)
            }
            _ => false,
        }
    }

    /// What the person who reads the error could do.
    pub fn advice(&self) -> Option<&'static str> {
        match &*self.kind {
            ErrorKind::Refused(refusal) => match refusal.status.as_u16() {
                401 => Some(
                    "log in to the registry (`docker login`, `gcloud auth configure-docker`), or name its credential helper in the docker configuration",
                ),
                403 => Some(
                    "the credentials are known but lack the right; ask for read access to staging, or write access to production",
                ),
                429 | 503 => Some(QUOTA_USED_UP),
                _ => None,
            },
            ErrorKind::ForeignTokenRealm { .. } => Some(
                "if that host belongs to the registry, name it as one of its `tokenHosts` in the --registry-config file",
            ),
            ErrorKind::WrongDigest { .. } | ErrorKind::WrongSize { .. } => Some(
                "the registry, or something between it and here, changes what it serves; nothing of it was tagged",
            ),
            ErrorKind::Transport(error) => match error.kind() {
                transport::ErrorKind::Connect(_) => Some("check the registry's name and the network"),
                transport::ErrorKind::Outage(outage) if outage.unavailable == 0 && outage.lost == 0 => {
                    Some(QUOTA_USED_UP)
                }
                transport::ErrorKind::Outage(_) => Some(
                    "the registry is down, or cannot be reached: run again when it is back; what is done is not done again",
                ),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // What `Display` has said is not said again.
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the registry answered {}", self.status)?;
        for RegistryError { code, message } in &self.errors {
            write!(f, ", {code}: {message}")?;
        }
        if self.attempts > 1 {
            write!(f, " ({} attempts)", self.attempts)?;
        }
        Ok(())
    }
}

impl Refusal {
    /// The most of an error body that is read, in bytes.
    const BODY: u64 = 64 * 1024;
    /// The most that is shown of a registry's own words, in characters.
    const SHOWN: usize = 300;

    /// Reads what a registry says about why it declined.
    pub(crate) async fn read(response: transport::Response) -> Self {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            errors: Vec<RegistryError>,
        }
        let (status, attempts) = (response.status(), response.attempts());
        // A body that cannot be read says nothing; the status does.
        let body = response.bytes(Self::BODY).await.unwrap_or_default();
        let mut errors = serde_json::from_slice::<Body>(&body).map(|body| body.errors).unwrap_or_default();
        errors.truncate(4);
        for error in &mut errors {
            error.code = printable(&error.code, 60);
            error.message = printable(&error.message, Self::SHOWN);
        }
        Self { status, errors, attempts }
    }
}

/// Words of a stranger, fit for a terminal and a log: bounded, and without control characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}
