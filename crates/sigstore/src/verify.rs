//! Verification: what is proven by a bundle or by a layer of cosign, and by whom.
//!
//! Nothing is accepted because something is absent: a proof may be missing only where the trusted root has no such log
//! (Sigstore *Client Spec*, 4 *Verification*). Whoever is found to have signed is given back; whether they may is for the
//! caller to decide.

use jiff::Timestamp;
use sigstore_trust_root::TrustedRoot;
use sigstore_types::bundle::{MessageDigest, MessageSignature, VerificationMaterialContent};
use sigstore_types::{
    Artifact, Bundle, DerPublicKey, DsseEnvelope, HashAlgorithm, Sha256Hash, SignatureBytes,
    SignatureContent, TimestampToken,
};
use sigstore_verify::{Policy, PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult};

use crate::error::{Rejection, TrustError, bounded};
use crate::key::VerificationKey;
use crate::legacy::{CosignLayer, SimpleSigning};
use crate::signer::Signatory;
use crate::statement::{STATEMENT_TYPE, Statement};

/// The largest bundle or envelope that is read, in bytes.
pub const BUNDLE_MAX: u64 = 20 * 1024 * 1024;
/// The most log entries, and the most timestamps, of one bundle.
const PROOFS_MAX: usize = 16;

/// What a signature that holds has proven.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified<T> {
    /// Who has signed.
    pub signatory: Signatory,
    /// The earliest time at which the signature is proven to have been there.
    pub signed_at: Option<Timestamp>,
    /// What was signed.
    pub content: T,
}

impl<T> Verified<T> {
    fn with<U>(self, content: U) -> Verified<U> {
        Verified { signatory: self.signatory, signed_at: self.signed_at, content }
    }
}

/// Verifies against a trusted root, or with a key.
pub struct Verifier {
    trusted: Trusted,
}

enum Trusted {
    /// Certificates of the authorities in a trusted root.
    Root(Box<Root>),
    /// The holder of one key, whose signatures are logged where there is a root with logs.
    Key { key: VerificationKey, root: Option<Box<Root>> },
}

/// A trusted root, and what it has none of.
struct Root {
    verifier: sigstore_verify::Verifier,
    root: TrustedRoot,
}

impl Root {
    fn new(root: TrustedRoot) -> Result<Box<Self>, TrustError> {
        let verifier = sigstore_verify::Verifier::new(&root)
            .map_err(|error| TrustError::unusable("the trusted root", error))?;
        Ok(Box::new(Self { verifier, root }))
    }

    fn has_logs(&self) -> bool {
        !self.root.tlogs.is_empty()
    }

    /// Whoever may have signed; every proof that this root can check is asked for.
    fn anybody(&self) -> VerificationPolicy {
        let mut policy = VerificationPolicy::any_identity();
        if !self.has_logs() {
            policy = policy.skip_tlog_unsafe();
        }
        if self.root.ctlogs.is_empty() { policy.skip_sct() } else { policy }
    }

    /// The time of a timestamp over `message` by an authority of this root, within its time.
    fn check_timestamp(&self, token: &TimestampToken, message: &[u8]) -> Result<Timestamp, Rejection> {
        let message = SignatureBytes::from_bytes(message);
        let authorities = self.root.tsa_authorities();
        let mut why = "the trusted root has no timestamp authority".to_owned();
        for authority in &authorities {
            match sigstore_verify::tsa::verify_timestamp_for_authority(token, &message, authority) {
                Ok(time) => return Ok(time),
                Err(error) => why = error.to_string(),
            }
        }
        Err(Rejection::Invalid(bounded(&format!("the timestamp: {why}"))))
    }

    /// Whether each entry's own log has signed its checkpoint, and was in use at all of these times. The verifier that this
    /// builds on takes a checkpoint of any log of the root, of one that is retired too.
    fn check_logs(&self, bundle: &Bundle, times: &[Timestamp]) -> Result<(), Rejection> {
        let invalid = |why: String| Rejection::Invalid(bounded(&why));
        for entry in &bundle.verification_material.tlog_entries {
            let log = self.root.tlogs.iter().find(|log| log.log_id.key_id == entry.log_id.key_id);
            let log =
                log.ok_or_else(|| invalid("an entry of a log that the root does not know".to_owned()))?;
            let is_outside = |time: &&Timestamp| {
                log.public_key.valid_for.as_ref().is_some_and(|window| !window.contains(**time))
            };
            if let Some(time) = times.iter().find(is_outside) {
                return Err(invalid(format!("the log {} was not in use at {time}", log.base_url)));
            }
            let Some(proof) = &entry.inclusion_proof else { continue };
            let key = sigstore_crypto::VerificationKey::from_spki(&log.public_key.raw_bytes)
                .map_err(|error| invalid(error.to_string()))?;
            let is_signed = proof.checkpoint.checkpoint().is_some_and(|checkpoint| {
                let mut signatures = checkpoint.signatures().iter();
                signatures.any(|by| key.verify(checkpoint.signed_data(), &by.signature).is_ok())
            });
            if !is_signed {
                return Err(invalid("the checkpoint is not by the log of its entry".to_owned()));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// Trusts the authorities of a `trusted_root.json`.
    ///
    /// # Errors
    /// When it is none, or has keys or certificates that cannot be used.
    pub fn with_root(json: &[u8]) -> Result<Self, TrustError> {
        Ok(Self { trusted: Trusted::Root(Root::new(parse_root(json)?)?) })
    }

    /// Trusts the holder of a key. With a trusted root that has logs, signatures have to be logged there.
    ///
    /// # Errors
    /// As [`Verifier::with_root`].
    pub fn with_key(key: VerificationKey, root: Option<&[u8]>) -> Result<Self, TrustError> {
        let root = root.map(|json| parse_root(json).and_then(Root::new)).transpose()?;
        Ok(Self { trusted: Trusted::Key { key, root } })
    }

    /// Verifies a bundle (v0.1 to v0.3) with a statement about the artifact of a SHA-256 digest, in hexadecimal.
    ///
    /// # Errors
    /// When the bundle does not hold, or is about something else.
    pub fn statement(&self, bundle: &[u8], sha256: &str) -> Result<Verified<Statement>, Rejection> {
        self.bundled_statement(&parse(bundle)?, sha256)
    }

    /// Verifies a bundle with a signature over bytes.
    ///
    /// # Errors
    /// When the bundle does not hold, or is over something else.
    pub fn message(&self, bundle: &[u8], message: &[u8]) -> Result<Verified<()>, Rejection> {
        let bundle = parse(bundle)?;
        self.check(&bundle, Artifact::Blob(message))
    }

    /// Verifies a bundle over an artifact that is known by its SHA-256 digest alone, in hexadecimal: a statement about it,
    /// or a signature over it.
    ///
    /// # Errors
    /// When the bundle does not hold, or is about something else.
    pub fn artifact(&self, bundle: &[u8], sha256: &str) -> Result<Verified<()>, Rejection> {
        self.check(&parse(bundle)?, Artifact::from_digest(digest(sha256)?))
    }

    /// Verifies a layer of a `.sig` manifest.
    ///
    /// # Errors
    /// When the signature does not hold, or what it signs is no payload of an image's signature.
    pub fn cosign_signature(&self, layer: &CosignLayer<'_>) -> Result<Verified<SimpleSigning>, Rejection> {
        within_bounds(layer.payload)?;
        let bundle = layer.signature()?;
        let verified = self.check(&bundle, Artifact::Blob(layer.payload))?;
        Ok(verified.with(SimpleSigning::parse(layer.payload)?))
    }

    /// Verifies a layer of a `.att` manifest: a statement about the artifact of a SHA-256 digest, in hexadecimal.
    ///
    /// # Errors
    /// When the signature does not hold, or the statement is about something else.
    pub fn cosign_attestation(
        &self,
        layer: &CosignLayer<'_>,
        sha256: &str,
    ) -> Result<Verified<Statement>, Rejection> {
        within_bounds(layer.payload)?;
        let bundle = layer.attestation()?;
        if let (Some(token), Some(root)) = (layer.timestamp()?, self.root()) {
            let time = root.check_timestamp(&token, layer.payload)?;
            check_certificate_time(&bundle, time)?;
        }
        self.bundled_statement(&bundle, sha256)
    }

    /// Whether a timestamp over a signature is one that this verifier's root trusts. Without a root none matters.
    pub(crate) fn timestamp(&self, token: &TimestampToken, signature: &[u8]) -> Result<(), Rejection> {
        self.root().map_or(Ok(()), |root| root.check_timestamp(token, signature).map(drop))
    }

    fn root(&self) -> Option<&Root> {
        match &self.trusted {
            Trusted::Root(root) => Some(root),
            Trusted::Key { root, .. } => root.as_deref(),
        }
    }

    pub(crate) fn bundled_statement(
        &self,
        bundle: &Bundle,
        sha256: &str,
    ) -> Result<Verified<Statement>, Rejection> {
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            return Err(Rejection::Malformed("the bundle holds no statement".to_owned()));
        };
        check_type(envelope)?;
        let verified = self.check(bundle, Artifact::from_digest(digest(sha256)?))?;
        let statement = Statement::parse(envelope.payload.as_bytes())
            .map_err(|error| Rejection::Malformed(bounded(&error.to_string())))?;
        if !statement.is_about(sha256) {
            return Err(Rejection::OtherArtifact(format!("no subject of the statement is sha256:{sha256}")));
        }
        Ok(verified.with(statement))
    }

    /// Why a bundle does not claim to be signed by anybody who is trusted here.
    fn stranger(&self, bundle: &Bundle) -> Option<&'static str> {
        match (&self.trusted, &bundle.verification_material.content) {
            (Trusted::Root(_), VerificationMaterialContent::PublicKey(_)) => {
                Some("it names a key, and certificates are trusted here")
            }
            (Trusted::Key { key, .. }, VerificationMaterialContent::PublicKey(named)) => {
                let is_other = !named.hint.is_empty() && named.hint != key.hint();
                is_other.then_some("it is by another key than the one that is trusted here")
            }
            (Trusted::Key { .. }, _) => Some("it has a certificate, and a key is trusted here"),
            (Trusted::Root(_), _) => None,
        }
    }

    fn is_key(&self) -> bool {
        matches!(self.trusted, Trusted::Key { .. })
    }

    /// Verifies a bundle, whatever it holds.
    pub(crate) fn check(&self, bundle: &Bundle, artifact: Artifact<'_>) -> Result<Verified<()>, Rejection> {
        if let Some(why) = self.stranger(bundle) {
            return Err(Rejection::SomeoneElses(why.to_owned()));
        }
        let checked = self.check_known(bundle, artifact);
        match checked {
            // It names no key, and is not made with the one that is held.
            Err(Rejection::Invalid(_)) if self.is_key() && names_nobody(bundle) => {
                let why = "it is by another key than the one that is trusted here";
                Err(Rejection::SomeoneElses(why.to_owned()))
            }
            checked => checked,
        }
    }

    fn check_known(&self, bundle: &Bundle, artifact: Artifact<'_>) -> Result<Verified<()>, Rejection> {
        match &self.trusted {
            Trusted::Root(root) => {
                check_proofs(bundle, root)?;
                let result = verify(root, artifact, bundle, &root.anybody())?;
                let proven = result.certificate_verified()
                    && (result.tlog_verified() || !root.has_logs())
                    && (result.sct_verified() || root.root.ctlogs.is_empty());
                match (result.identity(), result.issuer()) {
                    (Some(subject), Some(issuer)) if proven => Ok(Verified {
                        signatory: Signatory::Certificate {
                            issuer: issuer.to_owned(),
                            subject: subject.as_str().to_owned(),
                        },
                        signed_at: result.verified_timestamps().iter().min().copied(),
                        content: (),
                    }),
                    _ => {
                        Err(Rejection::Unproven("the certificate names nobody, or nobody vouches".to_owned()))
                    }
                }
            }
            Trusted::Key { key, root } => {
                let signed_at = match root {
                    Some(root) if root.has_logs() => {
                        check_proofs(bundle, root)?;
                        let policy = PublicKeyVerificationPolicy::new(key.der().clone());
                        let result = verify(root, artifact, bundle, &policy)?;
                        result.verified_timestamps().iter().min().copied()
                    }
                    // The key alone is trusted, so nothing that others say matters.
                    _ => {
                        check_by_key(bundle, key.der(), &artifact)?;
                        None
                    }
                };
                Ok(Verified { signatory: key.signatory(), signed_at, content: () })
            }
        }
    }
}

/// Whether a bundle says nothing of who has signed it.
fn names_nobody(bundle: &Bundle) -> bool {
    let material = &bundle.verification_material.content;
    matches!(material, VerificationMaterialContent::PublicKey(named) if named.hint.is_empty())
}

fn verify(
    root: &Root,
    artifact: Artifact<'_>,
    bundle: &Bundle,
    policy: &dyn Policy,
) -> Result<VerificationResult, Rejection> {
    let result = root.verifier.verify(artifact, bundle, policy)?;
    if root.has_logs() {
        root.check_logs(bundle, result.verified_timestamps())?;
    }
    Ok(result)
}

/// Whether the certificate of a bundle, where it has one, was good at this time.
fn check_certificate_time(bundle: &Bundle, time: Timestamp) -> Result<(), Rejection> {
    let Some(certificate) = bundle.signing_certificate() else { return Ok(()) };
    let malformed = |error: sigstore_crypto::Error| Rejection::Malformed(bounded(&error.to_string()));
    let info = sigstore_crypto::parse_certificate_info(certificate).map_err(malformed)?;
    if (info.not_before..=info.not_after).contains(&time) {
        Ok(())
    } else {
        Err(Rejection::Invalid(format!("the certificate was not good at {time}, which the timestamp tells")))
    }
}

/// Whether every proof that the root can check is there, in numbers that can be checked.
fn check_proofs(bundle: &Bundle, root: &Root) -> Result<(), Rejection> {
    let material = &bundle.verification_material;
    let entries = &material.tlog_entries;
    let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
    if entries.len() > PROOFS_MAX || timestamps.len() > PROOFS_MAX {
        return Err(Rejection::Malformed(format!("more than {PROOFS_MAX} log entries or timestamps")));
    }
    if root.has_logs() && entries.is_empty() {
        return Err(Rejection::Unproven("no entry of a transparency log".to_owned()));
    }
    if entries.is_empty() && timestamps.is_empty() {
        return Err(Rejection::Unproven("nobody says when it was signed".to_owned()));
    }
    if entries.iter().any(|entry| entry.inclusion_proof.is_none() && entry.inclusion_promise.is_none()) {
        return Err(Rejection::Unproven("a log entry with neither proof nor promise".to_owned()));
    }
    Ok(())
}

/// Verifies a signature with a key and nothing else.
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

/// Whether an envelope holds a statement.
fn check_type(envelope: &DsseEnvelope) -> Result<(), Rejection> {
    if envelope.payload_type == STATEMENT_TYPE {
        return Ok(());
    }
    let kind = bounded(&envelope.payload_type);
    Err(Rejection::Malformed(format!("the envelope holds `{kind}`, not a statement")))
}

/// Whether a signature that says which digest it is over says this one.
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
    Bundle::from_json(text).map_err(|error| malformed(error.to_string()))
}

pub(crate) fn digest(sha256: &str) -> Result<Sha256Hash, Rejection> {
    Sha256Hash::from_hex(sha256).map_err(|error| Rejection::Malformed(bounded(&error.to_string())))
}

pub(crate) fn parse_root(json: &[u8]) -> Result<TrustedRoot, TrustError> {
    let unusable = |why: String| TrustError::unusable("the trusted root", why);
    let text = std::str::from_utf8(json).map_err(|error| unusable(error.to_string()))?;
    TrustedRoot::from_json(text).map_err(|error| unusable(error.to_string()))
}
