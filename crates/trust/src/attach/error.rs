//! The errors of signing and attesting.

use oci::Digest;
use sigstore::{SignError, TrustError};

use crate::evidence::EvidenceError;

/// The reason why an image was not signed or attested.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A request to a registry failed.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// Signing failed.
    #[error(transparent)]
    Signing(#[from] SignError),
    /// The attachments in staging cannot be verified.
    #[error("verifying what staging has attached: {0}")]
    Trust(#[from] TrustError),
    /// The image is in production, but it has not passed Provenance and Validate in this run.
    #[error("it did not pass: {0}")]
    NotPassed(String),
    /// Sigstore's formats support only SHA-256 digests.
    #[error("{0} is not a SHA-256 digest, which signatures need")]
    Algorithm(Digest),
}

impl AttachError {
    /// Whether the same operation might succeed a little later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_temporary() && !error.is_silence(),
            Self::Signing(error) => error.is_temporary(),
            Self::Trust(_) | Self::NotPassed(_) | Self::Algorithm(_) => false,
        }
    }
}

impl From<EvidenceError> for AttachError {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Registry(error) => Self::Registry(error),
            EvidenceError::Trust(error) => Self::Trust(error),
        }
    }
}

/// Returns the SHA-256 digest that signatures use for an image, in hexadecimal.
pub fn sha256(digest: Digest) -> Result<String, AttachError> {
    match digest {
        Digest::Sha256(_) => Ok(digest.hex()),
        Digest::Sha512(_) => Err(AttachError::Algorithm(digest)),
    }
}
