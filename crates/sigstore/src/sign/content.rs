//! The content to sign, and the signature over it.

use sigstore_crypto::KeyPair;
use sigstore_types::bundle::{MessageDigest, MessageSignature};
use sigstore_types::{
    Artifact, DsseEnvelope, DsseSignature, HashAlgorithm, KeyId, PayloadBytes, Sha256Hash, SignatureBytes,
    SignatureContent,
};

use crate::error::SignError;
use crate::statement::STATEMENT_TYPE;
use crate::verify;

/// The content to sign.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Message(&'a [u8]),
    Statement { json: &'a [u8], sha256: &'a str },
}

/// A signature that is not logged yet.
pub(super) struct Made {
    pub(super) content: SignatureContent,
    pub(super) signature: SignatureBytes,
    /// The SHA-256 digest of the signed bytes.
    pub(super) digest: Sha256Hash,
}

impl Content<'_> {
    /// Signs the content with a key.
    pub(super) fn signed(self, pair: &KeyPair) -> Result<Made, SignError> {
        let sign = |bytes: &[u8]| {
            let signature = pair.sign(bytes).map_err(|error| SignError::Key(error.to_string()))?;
            Ok::<_, SignError>((signature, sigstore_crypto::sha256(bytes)))
        };
        match self {
            Self::Message(message) => {
                let (signature, digest) = sign(message)?;
                let named = MessageDigest::new(HashAlgorithm::Sha2256, digest.into());
                let content = MessageSignature::new(signature.clone()).with_message_digest(named);
                Ok(Made { content: SignatureContent::MessageSignature(content), signature, digest })
            }
            Self::Statement { json, .. } => {
                let (signature, digest) = sign(&sigstore_types::pae(STATEMENT_TYPE, json))?;
                let signed = DsseSignature::new(signature.clone(), KeyId::default());
                let envelope = DsseEnvelope::new(STATEMENT_TYPE, PayloadBytes::from_bytes(json), signed);
                Ok(Made { content: SignatureContent::DsseEnvelope(envelope), signature, digest })
            }
        }
    }

    /// Returns the artifact to verify the signature against.
    pub(super) fn artifact(&self) -> Result<Artifact<'_>, SignError> {
        match self {
            Self::Message(message) => Ok(Artifact::Blob(message)),
            Self::Statement { sha256, .. } => {
                verify::digest(sha256).map(Artifact::from_digest).map_err(SignError::Unverified)
            }
        }
    }
}
