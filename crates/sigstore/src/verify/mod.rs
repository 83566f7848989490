//! Verification of bundles and cosign layers: what they prove, and who signed.
//!
//! Missing proofs do not make a bundle valid: a proof may be missing only if the trusted root contains no log of its kind
//! (Sigstore *Client Spec*, 4 *Verification*). The signatory is returned. The caller decides whether it is acceptable.

mod authority;
mod certificate;
mod material;
mod root;
#[cfg(test)]
mod tests;
mod times;
mod whose;

#[cfg(test)]
pub(crate) use authority::OwnAuthority;
use jiff::Timestamp;
pub(crate) use material::parse_root;
use root::{Input, Root};
use sigstore_types::bundle::{MessageDigest, MessageSignature};
use sigstore_types::{
    Artifact, Bundle, DerPublicKey, DsseEnvelope, HashAlgorithm, Sha256Hash, SignatureContent, TimestampToken,
};
use times::ExtraTimestamp;
pub(crate) use times::check_clocks;

use crate::error::{Rejection, TrustError, bounded};
use crate::json::names_are_unique;
use crate::key::VerificationKey;
use crate::legacy::{CosignLayer, SimpleSigning};
use crate::signatory::Signatory;
use crate::statement::{STATEMENT_TYPE, Statement};

/// The maximum size of a bundle or an envelope, in bytes.
pub const BUNDLE_MAX: u64 = 20 * 1024 * 1024;

/// The proven facts of a valid signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified<T> {
    /// The signatory.
    pub signatory: Signatory,
    /// The earliest verified time of the signature.
    pub signed_at: Option<Timestamp>,
    /// The signed content.
    pub content: T,
}

impl<T> Verified<T> {
    fn with<U>(self, content: U) -> Verified<U> {
        Verified { signatory: self.signatory, signed_at: self.signed_at, content }
    }
}

/// Verifies signatures against a trusted root or with a key.
pub struct Verifier {
    trusted: Trusted,
}

enum Trusted {
    /// Certificates of the authorities in a trusted root.
    Root(Box<Root>),
    /// The holder of one key. If there is a root with logs, its signatures must be logged.
    Key { key: VerificationKey, root: Option<Box<Root>> },
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// Creates a verifier that trusts the authorities of a `trusted_root.json`.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a trusted root, or if one of its keys or certificates cannot be used.
    pub fn with_root(json: &[u8]) -> Result<Self, TrustError> {
        Ok(Self { trusted: Trusted::Root(Root::new(json)?) })
    }

    /// Creates a verifier that trusts the holder of a key. If a trusted root with logs is given, signatures must be logged
    /// there.
    ///
    /// # Errors
    /// The same as [`Verifier::with_root`].
    pub fn with_key(key: VerificationKey, root: Option<&[u8]>) -> Result<Self, TrustError> {
        let root = root.map(Root::new).transpose()?;
        Ok(Self { trusted: Trusted::Key { key, root } })
    }

    /// Verifies a bundle (v0.1 to v0.3) with a statement about the artifact with this SHA-256 digest, in hexadecimal.
    ///
    /// # Errors
    /// Returns an error if the bundle does not verify or is about another artifact.
    pub fn statement(&self, bundle: &[u8], sha256: &str) -> Result<Verified<Statement>, Rejection> {
        self.bundled_statement(&parse(bundle)?, sha256, None)
    }

    /// Verifies a bundle with a signature over bytes.
    ///
    /// # Errors
    /// Returns an error if the bundle does not verify or is over other bytes.
    pub fn message(&self, bundle: &[u8], message: &[u8]) -> Result<Verified<()>, Rejection> {
        let bundle = parse(bundle)?;
        self.check(&bundle, &Artifact::Blob(message))
    }

    /// Verifies a bundle over an artifact of which only the SHA-256 digest is known, in hexadecimal: a statement about it, or a
    /// signature over it.
    ///
    /// # Errors
    /// Returns an error if the bundle does not verify or is about another artifact.
    pub fn artifact(&self, bundle: &[u8], sha256: &str) -> Result<Verified<()>, Rejection> {
        self.check(&parse(bundle)?, &Artifact::from_digest(digest(sha256)?))
    }

    /// Verifies a layer of a `.sig` manifest.
    ///
    /// # Errors
    /// Returns an error if the signature does not verify, or if its content is not the payload of an image signature.
    pub fn cosign_signature(&self, layer: &CosignLayer<'_>) -> Result<Verified<SimpleSigning>, Rejection> {
        within_bounds(layer.payload)?;
        let bundle = layer.signature()?;
        let verified = self.check(&bundle, &Artifact::Blob(layer.payload))?;
        Ok(verified.with(SimpleSigning::parse(layer.payload)?))
    }

    /// Verifies a layer of a `.att` manifest: a statement about the artifact with this SHA-256 digest, in hexadecimal.
    ///
    /// # Errors
    /// Returns an error if the signature does not verify, or if the statement is about another artifact.
    pub fn cosign_attestation(
        &self,
        layer: &CosignLayer<'_>,
        sha256: &str,
    ) -> Result<Verified<Statement>, Rejection> {
        within_bounds(layer.payload)?;
        let bundle = layer.attestation()?;
        let stamp = layer.timestamp()?;
        let extra = stamp.as_ref().map(|token| ExtraTimestamp { token, message: layer.payload });
        self.bundled_statement(&bundle, sha256, extra)
    }

    /// Checks that a timestamp over a signature is by an authority of this verifier's root. Without a root, every timestamp
    /// passes.
    pub(crate) fn timestamp(&self, token: &TimestampToken, signature: &[u8]) -> Result<(), Rejection> {
        let Some(root) = self.root() else { return Ok(()) };
        let unknown = || {
            Rejection::Invalid(
                "the timestamp: of an authority that the trusted root does not know".to_owned(),
            )
        };
        let time = times::stamped(&root.trusted, token, signature)?.ok_or_else(unknown)?;
        check_clocks(time, Timestamp::now())
    }

    fn root(&self) -> Option<&Root> {
        match &self.trusted {
            Trusted::Root(root) => Some(root),
            Trusted::Key { root, .. } => root.as_deref(),
        }
    }

    fn bundled_statement(
        &self,
        bundle: &Bundle,
        sha256: &str,
        extra: Option<ExtraTimestamp<'_>>,
    ) -> Result<Verified<Statement>, Rejection> {
        let artifact = Artifact::from_digest(digest(sha256)?);
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            let none = Rejection::Malformed("the bundle holds no statement".to_owned());
            return Err(self.attributed(bundle, &artifact, none));
        };
        check_type(envelope).map_err(|why| self.attributed(bundle, &artifact, why))?;
        let input = Input { bundle, artifact: &artifact, extra, now: Timestamp::now() };
        let verified = self.check_input(input)?;
        let statement = Statement::parse(envelope.payload.as_bytes())
            .map_err(|error| Rejection::Malformed(bounded(&error.to_string())))?;
        if !statement.is_about(sha256) {
            return Err(Rejection::OtherArtifact(format!("no subject of the statement is sha256:{sha256}")));
        }
        Ok(verified.with(statement))
    }

    /// Verifies a bundle with any content.
    pub(crate) fn check(&self, bundle: &Bundle, artifact: &Artifact<'_>) -> Result<Verified<()>, Rejection> {
        self.check_input(Input { bundle, artifact, extra: None, now: Timestamp::now() })
    }

    fn check_input(&self, input: Input<'_>) -> Result<Verified<()>, Rejection> {
        let proven = match &self.trusted {
            Trusted::Root(root) => root.by_certificate(input),
            Trusted::Key { key, root } => {
                let signed_at = match root {
                    Some(root) if root.trusted.has_logs() => root.by_key(input, key),
                    // Only the key is trusted, so other proofs are irrelevant.
                    _ => check_by_key(input.bundle, key.der(), input.artifact).map(|()| None),
                };
                signed_at.map(|signed_at| (key.signatory(), signed_at))
            }
        };
        let (signatory, signed_at) =
            proven.map_err(|why| self.attributed(input.bundle, input.artifact, why))?;
        Ok(Verified { signatory, signed_at, content: () })
    }

    /// Returns the rejection of a bundle: as someone else's if it is, or else for the given reason.
    fn attributed(&self, bundle: &Bundle, artifact: &Artifact<'_>, why: Rejection) -> Rejection {
        let stranger = match &self.trusted {
            Trusted::Root(root) => whose::foreign_to_root(bundle, &root.trusted),
            Trusted::Key { key, .. } => whose::foreign_to_key(bundle, artifact, key),
        };
        stranger.map_or(why, |stranger| Rejection::SomeoneElses(stranger.to_owned()))
    }
}

/// Verifies a signature with only a key.
fn check_by_key(bundle: &Bundle, key: &DerPublicKey, artifact: &Artifact<'_>) -> Result<(), Rejection> {
    let invalid = |error: sigstore_crypto::Error| Rejection::Invalid(bounded(&error.to_string()));
    let key = sigstore_crypto::VerificationKey::from_spki(key).map_err(invalid)?;
    let unknown = || Rejection::Malformed("a signature of a kind that is not known".to_owned());
    let sha256 = match artifact {
        Artifact::Blob(bytes) => sigstore_crypto::sha256(bytes).as_bytes().to_vec(),
        Artifact::Digest(digest) => digest.as_bytes().to_vec(),
        _ => return Err(unknown()),
    };
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            check_type(envelope)?;
            key.verify(envelope.pae(), &envelope.signature.sig).map_err(invalid)?;
            let statement = Statement::parse(envelope.payload.as_bytes())
                .map_err(|error| Rejection::Malformed(bounded(&error.to_string())))?;
            let sha256 = hex::encode(sha256);
            if statement.is_about(&sha256) {
                Ok(())
            } else {
                Err(Rejection::OtherArtifact(format!("no subject of the statement is sha256:{sha256}")))
            }
        }
        SignatureContent::MessageSignature(message) => {
            check_digest(message, &sha256)?;
            match artifact {
                Artifact::Blob(bytes) => key.verify(bytes, &message.signature),
                _ => key.verify_prehashed(&sha256, &message.signature),
            }
            .map_err(invalid)
        }
        _ => Err(unknown()),
    }
}

/// Checks that an envelope contains a statement.
fn check_type(envelope: &DsseEnvelope) -> Result<(), Rejection> {
    if envelope.payload_type == STATEMENT_TYPE {
        return Ok(());
    }
    let kind = bounded(&envelope.payload_type);
    Err(Rejection::Malformed(format!("the envelope holds `{kind}`, not a statement")))
}

/// Checks that the digest in a signature, if any, is this one.
fn check_digest(message: &MessageSignature, sha256: &[u8]) -> Result<(), Rejection> {
    let is_other = |named: &MessageDigest| {
        named.algorithm == HashAlgorithm::Sha2256 && named.digest.as_bytes() != sha256
    };
    match &message.message_digest {
        Some(named) if is_other(named) => {
            Err(Rejection::OtherArtifact("the signature is over another digest".to_owned()))
        }
        _ => Ok(()),
    }
}

fn within_bounds(bytes: &[u8]) -> Result<(), Rejection> {
    let size = bytes.len() as u64;
    if size > BUNDLE_MAX { Err(Rejection::TooLarge { size, max: BUNDLE_MAX }) } else { Ok(()) }
}

fn parse(bytes: &[u8]) -> Result<Bundle, Rejection> {
    within_bounds(bytes)?;
    let malformed = |why: String| Rejection::Malformed(bounded(&why));
    let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    names_are_unique(bytes).map_err(|error| malformed(error.to_string()))?;
    Bundle::from_json(text).map_err(|error| malformed(error.to_string()))
}

pub(crate) fn digest(sha256: &str) -> Result<Sha256Hash, Rejection> {
    Sha256Hash::from_hex(sha256).map_err(|error| Rejection::Malformed(bounded(&error.to_string())))
}
