//! Provenance: what is attested of staging images is verified before anything is written, and judged by the policies of their
//! manifests (specification 02, *Provenance*).

use std::collections::HashMap;

use oci::Reader;

use crate::error::{Blocked, Error};
use crate::event::Phase;
use crate::notary::Notary;
use crate::phase::examine::{Examined, Examiner};
use crate::phase::plan::{ImageId, Plan};
use crate::policy::Policies;
use crate::run::Run;

/// A plan whose images have passed the provenance phase, with what was found of them.
#[derive(Debug)]
pub struct Proven {
    pub(super) plan: Plan,
    pub(super) policies: Policies,
    pub(super) examined: HashMap<ImageId, Examined>,
}

/// Verifies and judges what is attested of the images to promote: each once, however many regions it goes to. An image whose
/// registry does not answer is not promoted, and is a failure of the plan.
///
/// # Errors
/// When an image does not satisfy its policy, or something attached to it is forged or malformed; when nobody knows whom to
/// trust; when the run is told to stop.
pub async fn provenance(
    run: &Run,
    reader: &Reader,
    (mut plan, policies): (Plan, Policies),
    notary: &Notary,
) -> Result<Proven, Error> {
    run.phase(Phase::Provenance, async {
        let examiner = Examiner { run, reader, notary, policies: &policies };
        let images = plan.to_promote(|_| true);
        let looked = match examiner.look_at(&plan, images).await {
            Ok(looked) => looked,
            Err(error) => return Err(Error::NoTrust(Box::new(error), Box::new(plan))),
        };
        if run.is_stopping() {
            // Not all have been looked at.
            return Err(Error::Interrupted);
        }
        plan.cannot_read(run, looked.unread);
        let examined = looked.examined;
        let blocked = Blocked::of(&plan, &examined, Examined::unproven);
        if !blocked.is_empty() {
            return Err(Error::Blocked(Phase::Provenance, blocked, Box::new(plan)));
        }
        Ok(Proven { plan, policies, examined })
    })
    .await
}
