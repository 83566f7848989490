//! Validate: signatures of staging images are verified before anything is written (specification 02, *Validate*).

use std::collections::HashMap;

use crate::edge::ImageId;
use crate::error::Error;
use crate::event::{Event, Phase};
use crate::phase::examine::{Assessment, Passed, blocked};
use crate::phase::plan::Plan;
use crate::phase::provenance::Proven;
use crate::run::Run;

/// A plan that may be carried out, with the proof of each image that has passed: the only thing that Promote takes.
#[derive(Debug)]
pub struct Cleared {
    pub(super) plan: Plan,
    pub(super) gate: Gate,
}

/// Which images have passed Provenance and Validate.
#[derive(Debug, Default)]
pub(super) struct Gate {
    passed: HashMap<ImageId, Passed>,
    /// The images that have not, and why.
    refused: HashMap<ImageId, String>,
}

impl Gate {
    /// The proof that an image has passed.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) fn passed(&self, image: &ImageId) -> Result<&Passed, &str> {
        let refused = || self.refused.get(image).map_or("it was not looked at", String::as_str);
        self.passed.get(image).ok_or_else(refused)
    }

    /// The proofs, for a later round.
    pub(super) fn into_passed(self) -> HashMap<ImageId, Passed> {
        self.passed
    }
}

impl Cleared {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many promoted images do not pass, or could not be looked at.
    pub(crate) fn refused(&self) -> usize {
        self.gate.refused.len() + self.plan.owed.unread.len()
    }

    pub(crate) fn into_plan(self) -> Plan {
        self.plan
    }
}

/// Sees whether the signatures of images are by whom they should be; Provenance has read and verified them. Images without
/// any pass.
///
/// # Errors
/// When an image to promote has signatures, and none counts.
pub async fn validate(run: &Run, proven: Proven) -> Result<Cleared, Error> {
    run.phase(Phase::Validate, async {
        let Proven { plan, to_promote, assessed, passed, unread } = proven;
        let wrong =
            |image: &ImageId, found: &Assessment| found.invalid().filter(|_| to_promote.contains(image));
        let refused = blocked(&plan, &assessed, wrong);
        if !refused.is_empty() {
            return Err(Error::Blocked(Phase::Validate, refused, Box::new(plan)));
        }
        let mut gate = Gate { passed, refused: HashMap::new() };
        for (image, assessment) in assessed {
            match assessment.pass() {
                Ok(passed) => drop(gate.passed.insert(image, passed)),
                Err(why) => drop(gate.refused.insert(image, why)),
            }
        }
        gate.refused.extend(unread.into_iter().map(|(image, error)| (image, error.to_string())));
        for ((source, digest), why) in &gate.refused {
            let image = plan.edges().repository(*source).at(*plan.edges().digest_name(*digest));
            run.tell(&Event::Warned(format!(
                "{image} has not passed, so its promoted copies are neither signed nor recorded: {why}"
            )));
        }
        Ok(Cleared { plan, gate })
    })
    .await
}
