//! Copies attachments of images from staging to canonical repositories, byte for byte.

use std::borrow::Cow;

use manifest::Id;
use oci::{AttachedTag, Attachment, AttachmentKind, Digest, NewLayer, Referrer, Repository, Writer};
use sigstore::BUNDLE_MAX;
use trust::attach::AttachError;

use crate::phase::owed::Part;
use crate::phase::plan::Plan;

/// Copies attachments to a canonical repository.
pub(super) struct Carrier<'a> {
    pub(super) writer: &'a Writer,
    pub(super) plan: &'a Plan,
    pub(super) canonical: Id<Repository>,
}

impl Carrier<'_> {
    fn name(&self) -> &Repository {
        self.plan.edges().repository(self.canonical)
    }

    /// Returns the referrers of a part of an image in the canonical repository: those that the plan has found or, if it has not
    /// looked, the current ones.
    pub(super) async fn there<'b>(&self, part: &'b Part) -> Result<Cow<'b, [Referrer]>, oci::Error> {
        match &part.referrers {
            Some(referrers) => Ok(Cow::Borrowed(referrers)),
            None => self.referrers(part.descriptor.digest).await.map(Cow::Owned),
        }
    }

    /// Returns the referrers of a manifest in the canonical repository. If the manifest is new in this run, it has no referrers
    /// except those that the run attached itself.
    pub(super) async fn referrers(&self, digest: Digest) -> Result<Vec<Referrer>, oci::Error> {
        if !self.plan.may_have_referrers(self.canonical, &digest) {
            return Ok(Vec::new());
        }
        let fallback = self.plan.fallback(self.canonical, &digest);
        self.writer.reader().referrers(self.name(), digest, None, fallback).await
    }

    /// Copies a manifest that refers to an image, unless it is already there. Returns whether it was copied.
    pub(super) async fn bring(
        &self,
        source: &Repository,
        attachment: &Attachment,
        about: Digest,
        there: &[Referrer],
    ) -> Result<bool, AttachError> {
        let digest = attachment.manifest.digest();
        if there.iter().any(|referrer| referrer.digest == digest) {
            return Ok(false);
        }
        let fallback = self.plan.fallback(self.canonical, &about);
        self.writer.copy_attachment(source, self.name(), attachment, None, BUNDLE_MAX, fallback).await?;
        Ok(true)
    }

    /// Adds an attestation to the `.att` tag of an image, unless it is already there. Returns whether it was added.
    pub(super) async fn add(&self, layer: &NewLayer, about: Digest) -> Result<bool, AttachError> {
        let kind = AttachmentKind::Attestation;
        let tag = AttachedTag::new(about, kind).ok_or(AttachError::Algorithm(about))?.tag();
        let known = self.plan.attached(self.canonical, &about, kind);
        let layers = std::slice::from_ref(layer);
        Ok(self.writer.append(self.name(), &tag, layers, known).await?.written)
    }
}
