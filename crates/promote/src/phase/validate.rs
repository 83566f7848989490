//! Validate: signatures of staging images are verified before anything is written (specification 02, *Validate*).

use std::collections::HashMap;
use std::sync::Arc;

use manifest::Id;
use manifest::ImageId;
use oci::{Digest, Repository};

use crate::error::Error;
use crate::event::{Event, Phase};
use crate::phase::assessment::{Assessment, Passed, blocked};
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

    /// Takes in which images of a plan stay without what they lack: those that have not passed, and those of which a part is asked
    /// for by itself and has not.
    fn refuse(&self, plan: &mut Plan) {
        let mut refused: HashMap<(Id<Repository>, Digest), String> = HashMap::new();
        let edges = Arc::clone(&plan.edges);
        // An image that only might lack attestations has passed before; it is not refused for what staging has lost since.
        for image in plan.owed.images.iter_mut().filter(|image| image.lacks_own()) {
            let why = image.sources.iter().find_map(|source| self.passed(source).err());
            image.refused = why.map(str::to_owned);
            if let Some(why) = &image.refused {
                let digest = *edges.digest_name(image.subject.digest);
                refused.insert((image.subject.home, digest), why.clone());
            }
        }
        for image in plan.owed.images.iter_mut().filter(|image| image.lacks_own() && image.refused.is_none())
        {
            let home = image.subject.home;
            let mut parts = image.parts.iter().map(|part| part.descriptor.digest);
            image.refused = parts.find_map(|digest| {
                let why = refused.get(&(home, digest))?;
                Some(format!("its part {digest} has not: {why}"))
            });
        }
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
        let owed = &self.plan.owed;
        owed.images.iter().filter(|image| image.refused.is_some()).count() + owed.unread.len()
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
        let Proven { mut plan, to_promote, assessed, passed, unread } = proven;
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
        gate.refuse(&mut plan);
        for image in &plan.owed.images {
            if let Some(why) = &image.refused {
                let home = plan.edges().repository(image.subject.home);
                let image = home.at(*plan.edges().digest_name(image.subject.digest));
                run.tell(&Event::Warned(format!(
                    "{image} is neither signed nor recorded, since it has not passed: {why}"
                )));
            }
        }
        Ok(Cleared { plan, gate })
    })
    .await
}
