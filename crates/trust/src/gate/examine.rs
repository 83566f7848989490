//! The examination of one image.

use std::collections::BTreeMap;

use jiff::Timestamp;
use manifest::policy::Policy;
use oci::Digest;
use oci_types::text::shown;

use super::assessment::{Assessment, Signatures};
use super::parts::{Parts, image_of};
use super::staged::Staged;
use crate::config::Verification;
use crate::evidence::{Claim, Evidence, EvidenceError, EvidenceKinds, Rejected};
use crate::policy::judge;
use crate::scan::{Scans, scan_image};

/// The maximum length of an untrusted text in a reason, in characters.
const SHOWN_MAX: usize = 1_000;

/// Examines an image. Fetches and verifies the attachments of the image and, if a policy needs them, those of its parts.
/// Judges the image by each of its policies (`None` means no policy), evaluates its signatures, and scans it if there is a
/// vulnerability gate. This is the only function that creates an [`Assessment`] from evidence.
///
/// # Errors
/// If the repository that serves the image does not answer, or if the trusted root is not available.
pub async fn examine(
    staged: &Staged<'_>,
    digest: Digest,
    policies: &[Option<&Policy>],
    verification: &Verification,
) -> Result<Assessment, EvidenceError> {
    let evidence = staged.evidence(digest, EvidenceKinds::All).await?;
    let mut platforms = BTreeMap::new();
    let mut judgements = Vec::new();
    for policy in policies {
        let mut image = image_of(digest, &evidence);
        // If an index has no provenance of its own, its platforms must have it.
        if let Some(policy) = policy.filter(|policy| !image.has_provenance(policy)) {
            image.platforms = Parts::of(staged, policy).platforms(digest, &mut platforms, 1).await?;
        }
        judgements.push(judge(*policy, &image));
    }
    for absent in platforms.values().chain([&evidence]).flat_map(|evidence| &evidence.absent) {
        (staged.warn)(format!(
            "{absent} is listed as attached to an image, and the registry answers 404 for it; it is ignored"
        ));
    }
    let signatures = evaluate(&evidence, verification);
    let scans = match &verification.scans {
        Some(gate) => {
            Scans::of(scan_image(gate, staged, digest, Some(&evidence), &platforms, Timestamp::now()).await?)
        }
        None => Scans::NotAsked,
    };
    Ok(Assessment::new(evidence, platforms, judgements, signatures, scans))
}

/// Evaluates the signatures of an image.
fn evaluate(evidence: &Evidence, verification: &Verification) -> Signatures {
    if evidence.signatures.iter().any(|found| verification.accepts(&found.signatory)) {
        return Signatures::Accepted;
    }
    // Signatures by others are ignored. Only an invalid signature that claims to be by the signer of staging blocks the
    // image.
    let rejected = evidence.rejected.iter().filter(|rejected| rejected.claim == Claim::Signature);
    let why: Vec<String> =
        rejected.map(|Rejected { place, reason, .. }| format!("{place}: {reason}")).collect();
    if why.is_empty() { Signatures::None } else { Signatures::Refused(why) }
}

impl Assessment {
    /// Returns the signatures by others, each with the reason. These are signatures by another identity, and those by keys
    /// and authorities that are not trusted.
    pub fn signed_by_others(&self, verification: &Verification) -> Vec<String> {
        let verified = self.evidence.signatures.iter().map(|found| {
            let (signatory, staging) = (&found.signatory, &verification.staging);
            let why = format!("{}: it is by {signatory} instead of {staging}", found.location);
            shown(&why, SHOWN_MAX)
        });
        let unknown = self.evidence.others.iter().filter(|other| other.claim == Claim::Signature);
        verified.chain(unknown.map(|Rejected { place, reason, .. }| format!("{place}: {reason}"))).collect()
    }

    /// Returns the signatories whose signatures count.
    pub fn signed_by(&self, verification: &Verification) -> Vec<sigstore::Signatory> {
        verification.accepts_of(&self.evidence.signatures)
    }
}
