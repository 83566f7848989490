//! Errors of operations on registries.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use oci_types::Digest;
use oci_types::InvalidManifest;
use oci_types::text::{first_words, printable};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use transport::{Answer, Budget};

/// An operation on a registry that failed: what was tried, on what, and why it failed.
#[derive(Clone, Debug)]
pub struct Error {
    doing: String,
    kind: Arc<ErrorKind>,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// There was no answer, or it could not be read completely.
    #[error(transparent)]
    Transport(transport::Error),
    /// The registry refused the request.
    #[error("{0}")]
    Refused(Refusal),
    /// The registry answered that something does not exist, but the answer does not prove it.
    #[error("{refusal}: that does not prove that it does not exist, because {reason}")]
    Unproven {
        /// The answer.
        refusal: Refusal,
        /// Why the answer proves nothing.
        reason: String,
    },
    /// The credentials for the registry cannot be used.
    #[error("no usable credentials: {0}")]
    Credential(String),
    /// The registry refers its clients to a token service on a host that must not receive their credentials.
    #[error("the registry requests the credentials for {realm}, which is another host")]
    ForeignTokenRealm {
        /// The URL of that token service.
        realm: String,
    },
    /// The registry refers its clients to another host in the middle of an operation.
    #[error("the registry's {header} leads to {to}, which is not followed")]
    ForeignHost {
        /// The header that contains the URL.
        header: &'static str,
        /// The URL.
        to: String,
    },
    /// The content does not match its digest.
    #[error("wrong content: expected {expected}, got {got}")]
    WrongDigest {
        /// The digest that was requested, or that the answer to a request for a tag names.
        expected: Digest,
        /// The digest of the content that was received.
        got: Digest,
    },
    /// The size of the content differs from its descriptor.
    #[error("wrong content: expected {expected} bytes, got {got}")]
    WrongSize {
        /// The size in the descriptor.
        expected: u64,
        /// The size of the content, or of the part that was read.
        got: u64,
    },
    /// The tag names another digest than the one to write. It was not written.
    #[error("the tag names {found} instead of {wanted}; production tags never move, so it was not written")]
    TagMoved {
        /// The digest that the tag names.
        found: Digest,
        /// The digest to write.
        wanted: Digest,
    },
    /// The answer does not conform to the specification.
    #[error("the answer does not follow the distribution specification: {0}")]
    Malformed(String),
    /// The answer is not a manifest, and names no digest that would prove that the registry stores it: it may be the page of a proxy.
    #[error("the answer does not follow the distribution specification: expected a manifest: {0}")]
    NotAManifest(InvalidManifest),
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(InvalidManifest),
    /// The content exceeds a limit on size, depth or number of parts.
    #[error("{0}")]
    Unreasonable(String),
    /// The content to send could not be read from its source.
    #[error("{cause}")]
    Source {
        /// The error of the source.
        cause: String,
        /// Whether another attempt may succeed.
        temporary: bool,
        /// What the user can do about it.
        advice: Option<String>,
    },
    /// The content to send could not be read.
    #[error("the content to send failed: {0}")]
    Content(String),
}

/// An answer by which a registry refuses a request (distribution specification, *Error Codes*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The codes and messages of the body, if it has any.
    pub errors: Vec<RegistryError>,
    /// The first words of a body that does not have the form that the specification defines.
    pub words: String,
    /// Why the challenge of a 401 is not understood. In this case no credentials can help.
    pub challenge: Option<String>,
    /// How often the request was sent.
    pub attempts: u32,
    /// The credentials that the request carried.
    pub identity: Identity,
}

/// The credentials that a request carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The credentials are unknown.
    #[default]
    Unknown,
    /// No credentials were found.
    None {
        /// The host.
        host: String,
        /// The places that were searched for credentials.
        places: String,
    },
    /// The credentials come from this origin.
    From {
        /// The host.
        host: String,
        /// The file and key, helper or service.
        origin: String,
    },
    /// Credentials are configured, but the request could not carry them.
    Unusable {
        /// The host.
        host: String,
        /// Why the request could not carry them.
        why: String,
    },
}

impl Identity {
    fn host(&self) -> Option<&str> {
        match self {
            Self::Unknown => None,
            Self::None { host, .. } | Self::From { host, .. } | Self::Unusable { host, .. } => Some(host),
        }
    }
}

/// One error in the answer of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegistryError {
    /// One of the codes of the specification, such as `NAME_UNKNOWN`.
    #[serde(default, deserialize_with = "text")]
    pub code: String,
    /// The message for the user.
    #[serde(default, deserialize_with = "text")]
    pub message: String,
}

/// Deserializes a string, or an empty string if the value is of another type.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        _ => String::new(),
    })
}

impl Error {
    pub(crate) fn new(doing: impl Into<String>, kind: ErrorKind) -> Self {
        Self { doing: doing.into(), kind: Arc::new(kind) }
    }

    /// Returns why the operation failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Returns the status of the registry's answer, if it refused the request.
    pub fn status(&self) -> Option<StatusCode> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// Returns the answer by which the registry refused the request, if it did.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &*self.kind {
            ErrorKind::Refused(refusal) | ErrorKind::Unproven { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// Returns `true` if another attempt may succeed. Wrong content stays wrong.
    pub fn is_temporary(&self) -> bool {
        match &*self.kind {
            ErrorKind::Transport(error) => error.is_temporary(),
            ErrorKind::Source { temporary, .. } => *temporary,
            ErrorKind::Refused(refusal) => transport::is_temporary(refusal.status),
            _ => false,
        }
    }

    /// Returns `true` if an answer, or the rest of it, did not arrive in time, after all attempts.
    pub fn is_silence(&self) -> bool {
        matches!(&*self.kind, ErrorKind::Transport(error) if error.is_silence())
    }

    /// Returns what went wrong at the registry, without the repository and the request, if it can happen to several in the same
    /// way: the registry cannot be reached, or refuses everything.
    pub fn cause(&self) -> Option<String> {
        match &*self.kind {
            ErrorKind::Transport(error) => Some(error.cause()),
            ErrorKind::Refused(refusal) => refusal.cause(),
            _ => None,
        }
    }

    /// Records the failure of an attempt in a budget.
    pub(crate) fn count_in(&self, budget: &mut Budget) {
        if let ErrorKind::Transport(error) = &*self.kind {
            budget.failed(error);
        }
    }

    /// Returns what the user can do about it.
    pub fn advice(&self) -> Option<String> {
        match &*self.kind {
            ErrorKind::Refused(refusal) => refusal.advice(),
            ErrorKind::Unproven { refusal, .. } if refusal.errors.is_empty() => refusal.advice().or_else(|| {
                Some(
                    "check the registry's name and path, and for a proxy: a registry's own 404 has an error code"
                        .to_owned(),
                )
            }),
            ErrorKind::Unproven { refusal, .. } => refusal.advice().or_else(|| {
                Some(format!(
                    "check the registry's name and path; if this registry answers so for content that \
                     does not exist (Harbor does), list its code in `absenceCodes` for it in the \
                     configuration{}",
                    refusal.errors.first().map(|error| format!(" (here {})", error.code)).unwrap_or_default()
                ))
            }),
            ErrorKind::ForeignTokenRealm { .. } => Some(
                "if that host belongs to the registry, list it in `tokenHosts` of the registry in the \
                 configuration"
                    .to_owned(),
            ),
            ErrorKind::WrongDigest { .. } | ErrorKind::WrongSize { .. } => Some(
                "the registry, or a proxy in front of it, serves different content".to_owned(),
            ),
            ErrorKind::TagMoved { .. } => Some(
                "another run or another tool has written the tag: promote under a new tag, or correct the manifest".to_owned(),
            ),
            ErrorKind::Source { advice, .. } => advice.clone(),
            ErrorKind::Transport(error) => error.advice().map(str::to_owned),
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
        // The output of `Display` includes the cause.
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the registry answered {}", self.status)?;
        for RegistryError { code, message } in &self.errors {
            write!(f, ", {code}")?;
            if !message.is_empty() {
                write!(f, ": {message}")?;
            }
        }
        if self.errors.is_empty() && !self.words.is_empty() {
            write!(f, ": {}", self.words)?;
        }
        if let Some(why) = &self.challenge {
            write!(f, "; its challenge is not understood: {why}")?;
        }
        if self.attempts > 1 {
            write!(f, " ({} attempts)", self.attempts)?;
        }
        Ok(())
    }
}

/// Returns the error code of an object store, which Amazon's and Google's stores write in XML.
fn storage_code(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    is_code(code).then(|| code.to_owned())
}

/// Returns `true` if the text is an error code alone, so that it cannot contain a part of a URL.
fn is_code(text: &str) -> bool {
    (1..=60).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

impl Refusal {
    /// Returns the host, the status and the codes, without the messages, which may name the repository. `None` if the host is
    /// unknown, or if the refusal is about one repository or image.
    fn cause(&self) -> Option<String> {
        let host = self.identity.host().filter(|_| self.status != StatusCode::NOT_FOUND)?;
        let codes: String = self.errors.iter().map(|error| format!(", {}", error.code)).collect();
        Some(format!("{host}: the registry answered {}{codes}", self.status))
    }

    /// The maximum length of a registry's message that is displayed, in characters.
    const SHOWN: usize = 300;

    /// Reads the error codes and messages from an answer.
    pub(crate) fn of(answer: &Answer, identity: Identity) -> Self {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            errors: Option<Vec<RegistryError>>,
        }
        let body: Option<Body> = serde_json::from_slice(answer.body()).ok();
        let mut errors = body.and_then(|body| body.errors).unwrap_or_default();
        errors.truncate(4);
        let shown = |text: &str, most| printable(&answer.masked(&printable(text, usize::MAX)), most);
        for error in &mut errors {
            error.code = shown(&error.code, 60);
            error.message = shown(&error.message, Self::SHOWN);
        }
        let words = match errors.is_empty() {
            false => String::new(),
            true if answer.is_redirected() => storage_code(answer.body()).unwrap_or_default(),
            true => shown(&first_words(answer.body(), 4096), 120),
        };
        if answer.is_redirected() {
            errors.retain(|error| is_code(&error.code));
            errors.iter_mut().for_each(|error| error.message.clear());
        }
        Self {
            status: answer.status(),
            errors,
            words,
            challenge: None,
            attempts: answer.attempts(),
            identity,
        }
    }

    /// Returns `true` if at least one of its codes is in `codes`.
    pub(crate) fn says(&self, codes: &[&str]) -> bool {
        self.errors.iter().any(|error| codes.contains(&error.code.as_str()))
    }

    /// Returns `true` if it has codes and all of them are in `codes`.
    pub(crate) fn says_only(&self, codes: &[&str]) -> bool {
        !self.errors.is_empty() && self.errors.iter().all(|error| codes.contains(&error.code.as_str()))
    }

    fn advice(&self) -> Option<String> {
        let login = |host: &str| {
            format!(
                "log in with `docker login {host}`, or name its credential helper in docker's configuration"
            )
        };
        if self.challenge.is_some() {
            return Some("check the registry's name, and the `WWW-Authenticate` that it, or a proxy before it, answers with".to_owned());
        }
        match (self.status.as_u16(), &self.identity) {
            (401 | 403 | 404, Identity::Unusable { host, why }) => Some(format!(
                "credentials for {host} are configured and could not be used ({why}); {}",
                login(host)
            )),
            (401, Identity::From { host, origin }) => {
                Some(format!("the registry does not accept the credentials from {origin}; {}", login(host)))
            }
            (401 | 403, Identity::None { host, places }) => {
                Some(format!("no credentials were found for {host} (looked in: {places}); {}", login(host)))
            }
            (401, Identity::Unknown) => Some(login("HOST")),
            (403, Identity::From { origin, .. }) => Some(format!(
                "the credentials from {origin} are accepted but lack the permission; ask for read \
                 access to staging, or write access to production"
            )),
            (404, _) if self.says(&["NAME_UNKNOWN"]) => Some(
                "check the repository's name; some registries (Amazon ECR) require that a repository is \
                 created before the first push"
                    .to_owned(),
            ),
            (400, _) if self.words.contains("HTTP request to an HTTPS server") => {
                Some("the registry speaks TLS: remove `plainHttp` for it from the configuration".to_owned())
            }
            (429, _) => Some(transport::QUOTA_USED_UP.to_owned()),
            (503, _) => Some(
                "the registry is overloaded or down: run again later; completed work is not repeated"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
