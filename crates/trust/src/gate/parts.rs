//! The gate: the entries of an index that has no provenance of its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::future::BoxFuture;
use manifest::policy::Policy;
use oci::{Digest, IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX};

use super::staged::Staged;
use crate::evidence::{Claim, Evidence, EvidenceError, EvidenceKinds, Rejected};
use crate::policy::{Image, Platform, RejectedAttestation, VerifiedAttestation};

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
    fn take_one(&self) -> bool {
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
            let manifests = self.staged.manifests();
            let Some(children) = manifests.entries(digest).await? else { return Ok(None) };
            let mut platforms = Vec::new();
            for child in &children {
                // If there are too many entries, one without evidence represents the rest. It does not pass.
                let is_over_limit = !self.take_one();
                let mut platform = Platform {
                    name: child.platform.clone(),
                    is_exempt: !is_over_limit && manifests.is_exempt(&children, child).await?,
                    image: image_of(child.digest, &Evidence::default()),
                };
                if !platform.is_exempt && depth < IMAGE_DEPTH_MAX && !is_over_limit {
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
                if is_over_limit {
                    break;
                }
            }
            Ok(Some(platforms))
        })
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
