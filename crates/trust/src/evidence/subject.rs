//! An image whose evidence is fetched: how its content is read, and what errors of the registry mean.

use std::sync::Arc;

use bytes::Bytes;
use oci::{AttachedBlob, Digest, Reader, Repository};
use sigstore::{Trust, TrustError, Verifier};

use super::budget::{BYTES_MAX, ImageBudget};
use super::found::{Absent, Claim, EvidenceError, Rejected, Unusable};

/// What it takes to gather what is attached to an image.
#[derive(Clone, Copy, Debug)]
pub struct EvidenceClient<'a> {
    /// Reads registries.
    pub reader: &'a Reader,
    /// Verifies what is found.
    pub trust: &'a Trust,
    /// How much may be read.
    pub share: &'a ImageBudget,
}

/// An image whose evidence is gathered.
pub(super) struct Subject<'a> {
    pub(super) client: EvidenceClient<'a>,
    pub(super) repository: &'a Repository,
    pub(super) digest: Digest,
    /// The digest in hexadecimal, as statements name it.
    pub(super) sha256: String,
}

impl Subject<'_> {
    /// The verifier of attestations: a key that signatures are verified with takes nothing from those whose signers have
    /// certificates.
    pub(super) async fn attestations(&self, by_certificate: bool) -> Result<Arc<Verifier>, TrustError> {
        match by_certificate {
            true => self.client.trust.verifier_of_root().await,
            false => self.client.trust.verifier().await,
        }
    }

    /// The content of something attached, or why it is not there to be verified: see [`Subject::unreadable`].
    pub(super) async fn content(
        &self,
        blob: &AttachedBlob,
        limit: u64,
        claim: Claim,
        place: &str,
    ) -> Result<Result<Bytes, Unusable>, EvidenceError> {
        let AttachedBlob { digest, size, .. } = blob;
        // What is larger than its limit is not read at all.
        if *size <= limit && !self.client.share.take(*size).await {
            let reason = format!("not read: more than {BYTES_MAX} bytes are attached to the image");
            return Ok(Err(Unusable::Rejected(Rejected { claim, reason, place: place.to_owned() })));
        }
        match self.client.reader.small_blob(self.repository, *digest, *size, limit).await {
            Ok(content) => Ok(Ok(content)),
            Err(error) => self.unreadable(claim, place.to_owned(), error).map(Err),
        }
    }

    /// What is listed and not there is absent, what is there and cannot be read is rejected; what the registry does not give
    /// now may be anything.
    pub(super) fn unreadable(
        &self,
        claim: Claim,
        place: String,
        error: oci::Error,
    ) -> Result<Unusable, EvidenceError> {
        if is_gone(&error) {
            Ok(Unusable::Absent(Absent { claim, place }))
        } else if is_about_content(&error) {
            Ok(Unusable::Rejected(Rejected { claim, reason: error.to_string(), place }))
        } else {
            Err(error.into())
        }
    }
}

/// Whether a registry answers that it does not have what was asked for, whether or not that proves it.
pub(super) fn is_gone(error: &oci::Error) -> bool {
    error.status() == Some(http::StatusCode::NOT_FOUND)
}

/// Whether an error says that what is there is not what it should be, or not there at all, rather than that the registry does
/// not tell.
pub fn is_about_content(error: &oci::Error) -> bool {
    use oci::ErrorKind as Kind;
    is_gone(error)
        || matches!(
            error.kind(),
            Kind::Manifest(_)
                | Kind::Malformed(_)
                | Kind::Unreasonable(_)
                | Kind::WrongSize { .. }
                | Kind::WrongDigest { .. }
        )
}
