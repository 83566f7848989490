//! Provenance: verifies the attestations of staging images before anything is written, and judges them by the policies of their
//! manifests (specification 02, *Provenance*).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use manifest::ImageId;
use oci::Reader;
use trust::TrustConfig;
use trust::gate::{Assessment, Passed};

use crate::error::Error;
use crate::event::{Phase, Run};
use crate::phase::blocked::blocked;
use crate::phase::examine::Examiner;
use crate::phase::plan::Plan;

/// A plan whose images have passed the Provenance phase, with their assessments.
#[derive(Debug)]
pub struct Proven {
    pub(super) plan: Plan,
    /// The images that are to be copied or tagged.
    pub(super) to_promote: BTreeSet<ImageId>,
    pub(super) assessed: HashMap<ImageId, Assessment>,
    /// The images that have passed in an earlier round.
    pub(super) passed: HashMap<ImageId, Passed>,
    /// The images whose registry did not answer.
    pub(super) unread: HashMap<ImageId, Arc<oci::Error>>,
}

/// Verifies and judges the attestations of the images to which anything is owed. Each image is examined once, however many
/// regions it is promoted to. Images that have passed in an earlier round are not examined again.
///
/// An image to promote whose registry does not answer is not promoted and counts as a failure of the plan. An image that was
/// promoted earlier and does not pass keeps lacking what it lacks; this does not affect other images.
///
/// # Errors
/// If an image to promote does not satisfy its policy, or something attached to it is forged or malformed; if trust cannot be
/// established; if the run is stopped.
pub async fn provenance(
    run: &Run,
    reader: &Reader,
    mut plan: Plan,
    passed: HashMap<ImageId, Passed>,
    trust_config: &TrustConfig,
) -> Result<Proven, Error> {
    run.phase(Phase::Provenance, async {
        let mut images = plan.to_examine();
        images.retain(|image| !passed.contains_key(image));
        let shared = plan.edges().shared();
        let policies = plan.policies.clone();
        let examiner = Examiner { run, reader, trust_config, policies: &policies, shared: &shared };
        let looked = match examiner.look_at(&plan, images).await {
            Ok(looked) => looked,
            Err(error) => return Err(Error::TrustUnavailable(Box::new(error), Box::new(plan))),
        };
        if run.is_stopping() {
            // Not all images have been examined.
            return Err(Error::Interrupted);
        }
        let to_promote = plan.to_promote();
        let assessed = looked.assessed;
        let (failed, unread): (Vec<_>, Vec<_>) =
            looked.unread.into_iter().partition(|(image, _)| to_promote.contains(image));
        plan.cannot_read(run, failed);
        let wrong =
            |image: &ImageId, found: &Assessment| found.unproven().filter(|_| to_promote.contains(image));
        let refused = blocked(&plan, &assessed, wrong);
        if !refused.is_empty() {
            return Err(Error::Blocked(Phase::Provenance, refused, Box::new(plan)));
        }
        Ok(Proven { plan, to_promote, assessed, passed, unread: unread.into_iter().collect() })
    })
    .await
}
