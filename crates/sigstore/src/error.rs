//! Errors: a signature that is not accepted, a trusted root that cannot be loaded, a signature that cannot be made.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use oci_types::text::printable;
use transport::ErrorKind;

use crate::clocks::CLOCKS_APART;

/// Why a signature or an attestation is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It exceeds the size limit.
    #[error("it has {size} bytes; no more than {max} are read")]
    TooLarge {
        /// The size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// It cannot be read or is inconsistent.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A proof that the trusted root requires is missing.
    #[error("not proven: {0}")]
    Unproven(String),
    /// A proof or a signature is present and does not verify.
    #[error("forged or broken: {0}")]
    Invalid(String),
    /// It verifies but is about another artifact.
    #[error("about something else: {0}")]
    OtherArtifact(String),
    /// Its verified times are too far ahead of the local clock: one of the clocks is wrong.
    #[error(
        "the clocks differ: it was signed at {theirs}, which is {} s ahead of the time here ({ours}); \
         at most {} s are accepted, so correct the clock",
        theirs.duration_since(*ours).as_secs(),
        CLOCKS_APART.as_secs()
    )]
    Clocks {
        /// The earliest verified time.
        theirs: Timestamp,
        /// The local time.
        ours: Timestamp,
    },
    /// It does not claim to be by a trusted signer: it was made with another key than the verifier's, or its certificate is from
    /// an authority that the trusted root does not contain.
    #[error("by someone else: {0}")]
    SomeoneElses(String),
}

impl Rejection {
    /// Returns whether the signature is someone else's (specification 02, *Who is someone else*): made with another key than the
    /// verifier's, or with a certificate from an authority that the trusted root does not contain. Callers report and ignore it.
    /// Any other rejection is of a bundle that claims to be by a trusted signer and does not verify, or that cannot be read.
    pub fn is_someone_elses(&self) -> bool {
        matches!(self, Self::SomeoneElses(_))
    }

    /// Returns the rejection with the involved parties added to its text.
    pub(crate) fn with_parties(self, parties: &str) -> Self {
        let with = |why: String| format!("{why} ({parties})");
        match self {
            Self::TooLarge { .. } | Self::Clocks { .. } => self,
            Self::Malformed(why) => Self::Malformed(with(why)),
            Self::Unproven(why) => Self::Unproven(with(why)),
            Self::Invalid(why) => Self::Invalid(with(why)),
            Self::OtherArtifact(why) => Self::OtherArtifact(with(why)),
            Self::SomeoneElses(why) => Self::SomeoneElses(with(why)),
        }
    }
}

impl From<sigstore_verify::Error> for Rejection {
    fn from(error: sigstore_verify::Error) -> Self {
        use sigstore_verify::Error as E;
        let text = bounded(&error.to_string());
        match error {
            E::ArtifactMismatch(_) => Self::OtherArtifact(text),
            E::InvalidBundle(_) | E::UnsupportedBundle(_) | E::Types(_) | E::Bundle(_) => {
                Self::Malformed(text)
            }
            _ => Self::Invalid(text),
        }
    }
}

/// Why trust cannot be established.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrustError {
    /// The trusted root, the signing configuration or a key cannot be used.
    #[error("{what} cannot be used: {why}")]
    Unusable {
        /// The unusable item.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The TUF repository provided no valid trusted root.
    #[error("no trusted root from the TUF repository {mirror}: {why}")]
    Tuf {
        /// The repository's URL.
        mirror: String,
        /// What went wrong.
        why: String,
    },
    /// The signing configuration contains no suitable service.
    #[error("the signing configuration names {0}")]
    Service(String),
}

impl TrustError {
    pub(crate) fn unusable(what: &'static str, why: impl fmt::Display) -> Self {
        Self::Unusable { what, why: bounded(&why.to_string()) }
    }
}

/// A Sigstore service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The certificate authority.
    Fulcio,
    /// The transparency log.
    Rekor,
    /// The timestamp authority.
    TimestampAuthority,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fulcio => "Fulcio",
            Self::Rekor => "Rekor",
            Self::TimestampAuthority => "the timestamp authority",
        })
    }
}

/// Why a signature cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SignError {
    /// The trusted root or the services to sign with are not available.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no identity to sign with.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// A service was unreachable.
    #[error("asking {service}: {source}")]
    Unreachable {
        /// The service.
        service: Service,
        /// What went wrong.
        source: Arc<transport::Error>,
    },
    /// A service refused the request.
    #[error("{service} at {url} answered {status}{why}")]
    Refused {
        /// The service.
        service: Service,
        /// The URL of the request.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The service's message after a colon, or an empty text.
        why: String,
    },
    /// The answer of a service cannot be used.
    #[error("{service} at {url} gave an unusable answer: {why}")]
    Answer {
        /// The service.
        service: Service,
        /// The URL of the request.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The key cannot sign.
    #[error("the key cannot sign: {0}")]
    Key(String),
    /// The new signature does not verify, so it is not returned.
    #[error("the new signature does not verify against the trusted root and is not used: {0}")]
    Unverified(Rejection),
    /// The new signature is by another identity than the expected one.
    #[error("{got} has signed instead of {expected}: the signature is not used")]
    WrongSignatory {
        /// The expected signatory.
        expected: String,
        /// The actual signatory.
        got: String,
    },
}

impl SignError {
    /// Returns whether a retry may succeed a little later: a service was unreachable, failing or overloaded.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Identity(error) => error.is_temporary(),
            // The door may admit a host again after a while.
            Self::Unreachable { source, .. } => {
                source.is_temporary() || matches!(source.kind(), ErrorKind::NotAdmitted { .. })
            }
            Self::Refused { status, .. } => StatusCode::from_u16(*status).is_ok_and(transport::is_temporary),
            _ => false,
        }
    }
}

/// Returns a text from outside in a form that is safe in an error message: short, and without control characters.
pub(crate) fn bounded(text: &str) -> String {
    const MAX: usize = 300;
    let clean = printable(text, MAX);
    if text.chars().count() > MAX { clean + "…" } else { clean }
}
