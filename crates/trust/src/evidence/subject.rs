//! An image whose evidence is fetched: reads the content of attachments, and classifies errors of the registry.

use std::sync::Arc;

use bytes::Bytes;
use oci::{AttachedBlob, Digest, Reader, Repository};
use sigstore::{Trust, TrustError, Verifier};

use super::budget::{BYTES_MAX, ImageBudget};
use super::found::{Absent, Claim, EvidenceError, Rejected, Unusable};

/// The clients and limits for fetching an image's evidence.
#[derive(Clone, Copy, Debug)]
pub struct EvidenceClient<'a> {
    /// Reads from registries.
    pub reader: &'a Reader,
    /// Provides the verifiers.
    pub trust: &'a Trust,
    /// The allowance of the image.
    pub share: &'a ImageBudget,
    /// What follows from a failed read.
    pub failures: Failures,
}

/// What follows from a list or an attachment that the registry fails to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    /// An error: nothing is known about the image.
    Fail,
    /// Everything else is read, and the evidence has the first error ([`Evidence::unproven`](super::Evidence::unproven)).
    LeaveOpen,
}

/// An image whose evidence is fetched.
pub(super) struct Subject<'a> {
    pub(super) client: EvidenceClient<'a>,
    pub(super) repository: &'a Repository,
    pub(super) digest: Digest,
    /// The digest in hexadecimal, as statements name it.
    pub(super) sha256: String,
}

impl Subject<'_> {
    /// Returns the verifier of an attestation. An attestation with a certificate is verified with the trusted root even if
    /// signatures are verified with a key.
    pub(super) async fn attestations(&self, by_certificate: bool) -> Result<Arc<Verifier>, TrustError> {
        match by_certificate {
            true => self.client.trust.verifier_of_root().await,
            false => self.client.trust.verifier().await,
        }
    }

    /// Returns the content of an attachment, or why it cannot be verified: see [`Subject::unreadable`].
    pub(super) async fn content(
        &self,
        blob: &AttachedBlob,
        limit: u64,
        claim: Claim,
        place: &str,
    ) -> Result<Result<Bytes, Unusable>, EvidenceError> {
        let AttachedBlob { digest, size, .. } = blob;
        // An attachment that is larger than its limit is never read, so it takes nothing from the allowance.
        if *size <= limit && !self.client.share.take(*size).await {
            let reason = format!("not read: more than {BYTES_MAX} bytes are attached to the image");
            return Ok(Err(Unusable::Rejected(Rejected { claim, reason, place: place.to_owned() }, None)));
        }
        match self.client.reader.small_blob(self.repository, *digest, *size, limit).await {
            Ok(content) => Ok(Ok(content)),
            Err(error) => self.unreadable(claim, place.to_owned(), error).map(Err),
        }
    }

    /// Classifies a failed read. A missing attachment is absent, and a malformed one is rejected. Any other failure is an
    /// error, because it leaves open what is attached.
    ///
    /// The result has the error if the answer does not prove what the registry stores.
    pub(super) fn unreadable(
        &self,
        claim: Claim,
        place: String,
        error: oci::Error,
    ) -> Result<Unusable, EvidenceError> {
        if is_gone(&error) {
            let absent = Absent { claim, place };
            return Ok(Unusable::Absent(absent, (!is_proven(&error)).then_some(error)));
        }
        if !is_about_content(&error) {
            return self.failed(claim, place, error);
        }
        let rejected = Rejected { claim, reason: error.to_string(), place };
        Ok(Unusable::Rejected(rejected, (!is_proven(&error)).then_some(error)))
    }

    /// Returns what follows from a failed read that leaves open what is attached.
    pub(super) fn failed(
        &self,
        claim: Claim,
        place: String,
        error: oci::Error,
    ) -> Result<Unusable, EvidenceError> {
        match self.client.failures {
            Failures::Fail => Err(error.into()),
            Failures::LeaveOpen => {
                let rejected = Rejected { claim, reason: error.to_string(), place };
                Ok(Unusable::Rejected(rejected, Some(error)))
            }
        }
    }
}

/// Whether the answer behind an error about content proves what the registry stores. The page of a proxy has another digest or
/// size than the content in its place, is not a manifest, or is a 404 without the specification's codes.
fn is_proven(error: &oci::Error) -> bool {
    use oci::ErrorKind as Kind;
    match error.kind() {
        Kind::Refused(refusal) => refusal.errors.iter().any(|error| error.code == "BLOB_UNKNOWN"),
        Kind::Unproven { .. } | Kind::NotAManifest(_) | Kind::WrongDigest { .. } | Kind::WrongSize { .. } => {
            false
        }
        _ => true,
    }
}

/// Whether a registry answers with 404. This does not always prove absence.
pub(super) fn is_gone(error: &oci::Error) -> bool {
    error.status() == Some(http::StatusCode::NOT_FOUND)
}

/// Whether an error means that the content is missing or malformed, and not that the registry fails to answer.
pub fn is_about_content(error: &oci::Error) -> bool {
    use oci::ErrorKind as Kind;
    is_gone(error)
        || matches!(
            error.kind(),
            Kind::Manifest(_)
                | Kind::NotAManifest(_)
                | Kind::Malformed(_)
                | Kind::Unreasonable(_)
                | Kind::WrongSize { .. }
                | Kind::WrongDigest { .. }
        )
}
