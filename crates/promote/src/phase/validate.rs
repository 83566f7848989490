//! Validate: signatures of staging images are verified before anything is written (specification 02, *Validate*).

use std::collections::HashMap;

use crate::error::{Blocked, Error};
use crate::event::Phase;
use crate::phase::examine::Examined;
use crate::phase::plan::{ImageId, Plan};
use crate::phase::provenance::Proven;
use crate::policy::Policies;
use crate::run::Run;

/// A plan that may be carried out: the only thing that Promote takes.
#[derive(Debug)]
pub struct Cleared {
    pub(super) plan: Plan,
    pub(super) policies: Policies,
    pub(super) examined: HashMap<ImageId, Examined>,
}

impl Cleared {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn into_plan(self) -> Plan {
        self.plan
    }
}

/// Sees whether the signatures of the images to promote are by whom they should be; Provenance has read and verified them.
/// Images without any pass.
///
/// # Errors
/// When an image has signatures, and none counts.
pub async fn validate(run: &Run, proven: Proven) -> Result<Cleared, Error> {
    run.phase(Phase::Validate, async {
        let Proven { plan, policies, examined } = proven;
        let blocked = Blocked::of(&plan, &examined, Examined::invalid);
        if !blocked.is_empty() {
            return Err(Error::Blocked(Phase::Validate, blocked, Box::new(plan)));
        }
        Ok(Cleared { plan, policies, examined })
    })
    .await
}
