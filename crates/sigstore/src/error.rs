//! What can go wrong: a signature that is not accepted, trust that cannot be had, a signature that cannot be made.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use oci_types::text::printable;
use transport::ErrorKind;

use crate::clocks::CLOCKS_APART;

/// Why a signature or an attestation was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is more than is read.
    #[error("it has {size} bytes; no more than {max} are read")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The most that is read, in bytes.
        max: u64,
    },
    /// It cannot be read, or contradicts itself.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A proof that the trusted root asks for is not there.
    #[error("not proven: {0}")]
    Unproven(String),
    /// It is there and does not hold.
    #[error("forged or broken: {0}")]
    Invalid(String),
    /// It holds, and is about something else.
    #[error("about something else: {0}")]
    OtherArtifact(String),
    /// Its verified times are too far ahead of the clock here: one of the clocks is wrong.
    #[error(
        "the clocks differ: it was signed at {theirs}, which is {} s ahead of the time here ({ours}); no more than {} s are \
         granted, so set the clock right",
        theirs.duration_since(*ours).as_secs(),
        CLOCKS_APART.as_secs()
    )]
    Clocks {
        /// The earliest time that is proven.
        theirs: Timestamp,
        /// The time here.
        ours: Timestamp,
    },
    /// It does not claim to be by a trusted signer: it is by another key than the verifier's, or has a certificate of an authority
    /// that the trusted root does not know.
    #[error("by someone else: {0}")]
    SomeoneElses(String),
}

impl Rejection {
    /// Whether it is someone else's (specification 02, *Who is someone else*): made with another key than the verifier's, or with a
    /// certificate of an authority that the trusted root does not know. Callers report and ignore it. Any other rejection is of a
    /// bundle that claims to be by a trusted signer and does not verify, or that cannot be read.
    pub fn is_someone_elses(&self) -> bool {
        matches!(self, Self::SomeoneElses(_))
    }

    /// The same, with who had a part in it.
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

/// What cannot be trusted, because it cannot be had or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrustError {
    /// The trusted root, the signing configuration or a key cannot be read.
    #[error("{what} cannot be used: {why}")]
    Unusable {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The TUF repository gave nothing that is good.
    #[error("no trusted root from the TUF repository {mirror}: {why}")]
    Tuf {
        /// The repository.
        mirror: String,
        /// What went wrong.
        why: String,
    },
    /// The signing configuration names nothing that will do.
    #[error("the signing configuration names {0}")]
    Service(String),
}

impl TrustError {
    pub(crate) fn unusable(what: &'static str, why: impl fmt::Display) -> Self {
        Self::Unusable { what, why: bounded(&why.to_string()) }
    }
}

/// A service of Sigstore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Gives certificates.
    Fulcio,
    /// Logs signatures.
    Rekor,
    /// Says when.
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

/// Why a signature could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SignError {
    /// Whom to trust, or whom to ask, is not known.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no identity to sign with.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// A service was not reached.
    #[error("asking {service}: {source}")]
    Unreachable {
        /// The service.
        service: Service,
        /// What went wrong.
        source: Arc<transport::Error>,
    },
    /// A service refused.
    #[error("{service} at {url} answered {status}{why}")]
    Refused {
        /// The service.
        service: Service,
        /// Where it is.
        url: String,
        /// The status.
        status: u16,
        /// What it said, if anything, after a colon.
        why: String,
    },
    /// A service answered something that cannot be used.
    #[error("{service} at {url} answered what cannot be used: {why}")]
    Answer {
        /// The service.
        service: Service,
        /// Where it is.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The key cannot sign.
    #[error("the key cannot sign: {0}")]
    Key(String),
    /// What was made would not be accepted, so it is not given out.
    #[error("what was signed does not verify against the trusted root, and is not used: {0}")]
    Unverified(Rejection),
    /// What was made is by somebody else.
    #[error("{got} has signed instead of {expected}: nothing of it is used")]
    WrongSignatory {
        /// Who should have.
        expected: String,
        /// Who has.
        got: String,
    },
}

impl SignError {
    /// Whether the same might succeed a little later: a service was not reached, is out of order, or is asked too much.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Identity(error) => error.is_temporary(),
            // A host that was given up may come back.
            Self::Unreachable { source, .. } => {
                source.is_temporary() || matches!(source.kind(), ErrorKind::NotAdmitted { .. })
            }
            Self::Refused { status, .. } => StatusCode::from_u16(*status).is_ok_and(transport::is_temporary),
            _ => false,
        }
    }
}

/// A text from outside, as errors may show it: short, and nothing that a terminal obeys.
pub(crate) fn bounded(text: &str) -> String {
    const MAX: usize = 300;
    let clean = printable(text, MAX);
    if text.chars().count() > MAX { clean + "…" } else { clean }
}
