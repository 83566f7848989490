//! Provenance: what is attested of staging images is verified before anything is written, and judged by the policies of their
//! manifests (specification 02, *Provenance*).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use manifest::ImageId;
use oci::Reader;
use trust::TrustConfig;
use trust::gate::{Assessment, Passed};

use crate::error::Error;
use crate::event::Phase;
use crate::phase::blocked::blocked;
use crate::phase::examine::Examiner;
use crate::phase::plan::Plan;
use crate::run::Run;

/// A plan whose images have passed the provenance phase, with what was found of them.
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

/// Verifies and judges what is attested of the images to which anything is owed: each once, however many regions it goes to.
/// An image to promote whose registry does not answer is not promoted, and is a failure of the plan. What an image lacks that
/// was promoted before stays owed where the image does not pass; that stops no other. Images that have passed in an earlier round
/// are not looked at again.
///
/// # Errors
/// When an image to promote does not satisfy its policy, or something attached to it is forged or malformed; when trust cannot
/// be established; when the run is told to stop.
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
            // Not all have been looked at.
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
