//! The gate: the entries of an index that has no provenance of its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::future::BoxFuture;
use manifest::policy::Policy;
use oci::{Descriptor, Digest, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX, RawManifest, Selector};

use super::staged::Staged;
use crate::evidence::{Claim, Evidence, EvidenceError, EvidenceKinds, Rejected, is_about_content};
use crate::policy::{Image, Platform, RejectedAttestation, VerifiedAttestation, claims_exemption, is_exempt};

/// The entries of an index, examined for one policy.
pub(super) struct Parts<'a> {
    staged: &'a Staged<'a>,
    policy: &'a Policy,
    /// The number of platforms that may still be examined.
    left: AtomicUsize,
}

impl<'a> Parts<'a> {
    pub(super) fn of(staged: &'a Staged<'a>, policy: &'a Policy) -> Self {
        Self { staged, policy, left: AtomicUsize::new(IMAGE_MANIFESTS_MAX) }
    }

    /// Takes one platform of the remaining limit. Returns `false` if the limit is reached.
    fn may_look_at_another(&self) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Returns the platforms of an index with their attestations, or `None` if the manifest is not an
    /// index or cannot be read.
    pub(super) fn platforms<'b>(
        &'b self,
        digest: Digest,
        found: &'b mut BTreeMap<Digest, Evidence>,
        depth: usize,
    ) -> BoxFuture<'b, Result<Option<Vec<Platform>>, EvidenceError>> {
        Box::pin(async move {
            let Some(children) = self.children(digest).await? else { return Ok(None) };
            let mut platforms = Vec::new();
            for child in &children {
                // If there are too many entries, one without evidence represents the rest. It does not pass.
                let is_too_much = !self.may_look_at_another();
                let mut platform = Platform {
                    name: child.platform.clone(),
                    is_exempt: !is_too_much && self.is_exempt(&children, child).await?,
                    image: image_of(child.digest, &Evidence::default()),
                };
                if !platform.is_exempt && depth < IMAGE_DEPTH_MAX && !is_too_much {
                    // An index may list a digest twice.
                    if let Entry::Vacant(entry) = found.entry(child.digest) {
                        entry.insert(self.staged.evidence(child.digest, EvidenceKinds::Attestations).await?);
                    }
                    platform.image = image_of(child.digest, &found[&child.digest]);
                    if child.media_type.is_index() && !platform.image.has_provenance(self.policy) {
                        platform.image.platforms = self.platforms(child.digest, found, depth + 1).await?;
                    }
                }
                platforms.push(platform);
                if is_too_much {
                    break;
                }
            }
            Ok(Some(platforms))
        })
    }

    /// Whether an entry of an index is exempt. The manifest is read only if the entry claims to be exempt.
    async fn is_exempt(&self, siblings: &[Descriptor], child: &Descriptor) -> Result<bool, oci::Error> {
        if !claims_exemption(siblings, child) {
            return Ok(false);
        }
        match self.manifest(child.digest).await {
            Ok(manifest) => Ok(is_exempt(siblings, child, &manifest)),
            // A missing or invalid manifest is not exempt.
            Err(error) if is_about_content(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the entries of an index, or `None` if the manifest is not an
    /// index or cannot be read.
    async fn children(&self, digest: Digest) -> Result<Option<Vec<Descriptor>>, oci::Error> {
        let manifest = match self.manifest(digest).await {
            Ok(manifest) => manifest,
            // Staging has lost the manifest, or it is broken. It has no platforms that could satisfy a policy.
            Err(error) if is_about_content(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // An unreadable index has no platforms. Another phase reports that it cannot be copied.
        let parsed = manifest.media_type().is_index().then(|| manifest.parse().ok()).flatten();
        Ok(parsed.map(|parsed| parsed.children))
    }

    /// Returns a manifest of the image. Fetches the manifest if the plan has not read it.
    async fn manifest(&self, digest: Digest) -> Result<RawManifest, oci::Error> {
        let read =
            self.staged.graph.and_then(|graph| graph.nodes().iter().find(|node| node.digest == digest));
        match read {
            Some(node) => Ok(node.manifest.clone()),
            None => {
                let repository = self.staged.source.repository;
                self.staged.client.reader.manifest(repository, Selector::Digest(digest)).await
            }
        }
    }
}

/// Converts the evidence of an image to the form that policies judge.
pub(super) fn image_of(digest: Digest, evidence: &Evidence) -> Image {
    let verified = evidence.attestations.iter().map(|found| VerifiedAttestation {
        signatory: found.signatory.clone(),
        statement: found.statement.clone(),
        id: found.location.id(),
        place: found.location.to_string(),
    });
    let attestation = |rejected: &Rejected| match &rejected.claim {
        Claim::Signature => None,
        Claim::Attestation(predicate_type) => Some(RejectedAttestation {
            predicate_type: predicate_type.clone(),
            reason: rejected.reason.clone(),
            place: rejected.place.clone(),
        }),
    };
    Image {
        digest,
        verified: verified.collect(),
        rejected: evidence.rejected.iter().filter_map(attestation).collect(),
        others: evidence.others.iter().filter_map(attestation).collect(),
        platforms: None,
    }
}
