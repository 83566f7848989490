//! Verification against a trusted root.

use jiff::Timestamp;
use sigstore_types::{Artifact, Bundle, SignatureBytes, SignatureContent};
use sigstore_verify::{Policy, PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult};

use super::authority::OwnAuthority;
use super::material::{TrustedMaterial, parse_root};
use super::times::{self, ExtraTimestamp};
use crate::error::{Rejection, TrustError, bounded};
use crate::key::VerificationKey;
use crate::signatory::Signatory;

/// The maximum number of log entries of a bundle, and of timestamps.
const PROOFS_MAX: usize = 16;

/// A trusted root and its verifier.
pub(super) struct Root {
    pub(super) trusted: TrustedMaterial,
    /// The library's verifier, which also trusts [`Self::own`].
    verifier: sigstore_verify::Verifier,
    own: OwnAuthority,
}

/// A bundle, the expected artifact and the local time.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) artifact: &'a Artifact<'a>,
    pub(super) extra: Option<ExtraTimestamp<'a>>,
    pub(super) now: Timestamp,
}

impl Root {
    pub(super) fn new(json: &[u8]) -> Result<Box<Self>, TrustError> {
        let unusable = |error: &dyn std::fmt::Display| TrustError::unusable("the trusted root", error);
        let root = parse_root(json)?;
        // The root is checked before the addition, which must not make an invalid root valid.
        sigstore_verify::Verifier::new(&root).map_err(|error| unusable(&error))?;
        let trusted = TrustedMaterial::new(root)?;
        let own = OwnAuthority::new()?;
        let verifier = sigstore_verify::Verifier::new(&parse_root(&own.added_to(json)?)?)
            .map_err(|error| unusable(&error))?;
        Ok(Box::new(Self { trusted, verifier, own }))
    }

    /// Returns a policy that accepts any signatory and requires every proof that this root can check.
    fn anybody(&self) -> VerificationPolicy {
        let mut policy = VerificationPolicy::any_identity();
        if !self.trusted.has_logs() {
            policy = policy.skip_tlog_unsafe();
        }
        if self.trusted.root.ctlogs.is_empty() { policy.skip_sct() } else { policy }
    }

    /// Returns the certificate's holder and the earliest verified time within the certificate's validity. One such time
    /// suffices.
    pub(super) fn by_certificate(
        &self,
        input: Input<'_>,
    ) -> Result<(Signatory, Option<Timestamp>), Rejection> {
        check_proofs(input, &self.trusted)?;
        let certificate = input
            .bundle
            .signing_certificate()
            .ok_or_else(|| Rejection::Malformed("there is no certificate in it".to_owned()))?;
        let certificate = sigstore_crypto::parse_certificate_info(certificate)
            .map_err(|error| Rejection::Malformed(bounded(&format!("its certificate: {error}"))))?;
        let times = self.times(input)?;
        if times.is_empty() {
            return Err(Rejection::Invalid(
                "no verified timestamp: neither a promise of a log nor a timestamp of an authority that the root knows"
                    .to_owned(),
            ));
        }
        let is_good = |time: &&Timestamp| (certificate.not_before..=certificate.not_after).contains(*time);
        // If no time is within the validity, the library rejects the earliest one and returns the reason.
        let time = times.iter().filter(is_good).min().or_else(|| times.iter().min()).copied();
        let result = self.verify(input, time, &self.anybody())?;
        let proven = result.certificate_verified()
            && (result.tlog_verified() || !self.trusted.has_logs())
            && (result.sct_verified() || self.trusted.root.ctlogs.is_empty());
        match (result.identity(), result.issuer()) {
            (Some(subject), Some(issuer)) if proven => {
                let (issuer, subject) = (issuer.to_owned(), subject.as_str().to_owned());
                Ok((Signatory::Certificate { issuer, subject }, time))
            }
            _ => Err(Rejection::Unproven("the certificate has no identity or no issuer".to_owned())),
        }
    }

    /// Verifies a signature by a key that may have to be logged. Returns the earliest verified time, if any.
    pub(super) fn by_key(
        &self,
        input: Input<'_>,
        key: &VerificationKey,
    ) -> Result<Option<Timestamp>, Rejection> {
        check_proofs(input, &self.trusted)?;
        let time = self.times(input)?.into_iter().min();
        let policy = PublicKeyVerificationPolicy::new(key.der().clone());
        self.verify(input, time, &policy)?;
        Ok(time)
    }

    /// Returns the verified times, except those that are too far ahead of the local clock.
    fn times(&self, input: Input<'_>) -> Result<Vec<Timestamp>, Rejection> {
        let Input { bundle, extra, now, .. } = input;
        let times = times::proven(&self.trusted, bundle, signature(bundle)?.as_bytes(), extra, now)?;
        times::not_ahead(&times, now)
    }

    fn verify(
        &self,
        input: Input<'_>,
        time: Option<Timestamp>,
        policy: &dyn Policy,
    ) -> Result<VerificationResult, Rejection> {
        let rewritten = self.own.rewritten(input.bundle, signature(input.bundle)?.as_bytes(), time)?;
        let result = self.verifier.verify(input.artifact.clone(), &rewritten, policy)?;
        if self.trusted.has_logs() {
            self.check_logs(input.bundle, time)?;
        }
        Ok(result)
    }

    /// Checks that each entry's checkpoint is signed by the entry's own log, and that the log was in use at this time. The
    /// verification library accepts the checkpoint of any log in the root, even of a retired one.
    fn check_logs(&self, bundle: &Bundle, time: Option<Timestamp>) -> Result<(), Rejection> {
        let invalid = |why: String| Rejection::Invalid(bounded(&why));
        for entry in &bundle.verification_material.tlog_entries {
            let log = self.trusted.root.tlogs.iter().find(|log| log.log_id.key_id == entry.log_id.key_id);
            let log =
                log.ok_or_else(|| invalid("an entry of a log that the root does not know".to_owned()))?;
            let is_outside = |time: &Timestamp| {
                log.public_key.valid_for.as_ref().is_some_and(|window| !window.contains(*time))
            };
            if let Some(time) = time.filter(is_outside) {
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

/// Returns the signature in a bundle.
fn signature(bundle: &Bundle) -> Result<&SignatureBytes, Rejection> {
    match &bundle.content {
        SignatureContent::MessageSignature(message) => Ok(&message.signature),
        SignatureContent::DsseEnvelope(envelope) => Ok(&envelope.signature.sig),
        _ => Err(Rejection::Malformed("a signature of a kind that is not known".to_owned())),
    }
}

/// Checks that every proof that the root can check is present, and that there are not too many proofs.
fn check_proofs(input: Input<'_>, trusted: &TrustedMaterial) -> Result<(), Rejection> {
    let material = &input.bundle.verification_material;
    let entries = &material.tlog_entries;
    let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
    if entries.len() > PROOFS_MAX || timestamps.len() > PROOFS_MAX {
        return Err(Rejection::Malformed(format!("more than {PROOFS_MAX} log entries or timestamps")));
    }
    if trusted.has_logs() && entries.is_empty() {
        return Err(Rejection::Unproven("no entry of a transparency log".to_owned()));
    }
    if entries.is_empty() && timestamps.is_empty() && input.extra.is_none() {
        return Err(Rejection::Unproven("nothing proves when it was signed".to_owned()));
    }
    if entries.iter().any(|entry| entry.inclusion_proof.is_none() && entry.inclusion_promise.is_none()) {
        return Err(Rejection::Unproven("a log entry with neither proof nor promise".to_owned()));
    }
    Ok(())
}
