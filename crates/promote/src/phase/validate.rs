//! Validate: signatures of staging images are verified before anything is written (specification 02, *Validate*).

use std::collections::HashMap;
use std::sync::Arc;

use manifest::Id;
use manifest::ImageId;
use oci::{Digest, Repository};
use trust::gate::{Assessment, Passed, rank};
use trust::policy::Judgement;

use crate::error::Error;
use crate::event::{Event, Phase};
use crate::phase::blocked::blocked;
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
    /// The images that have not, and why; with what was found of those that could be looked at.
    refused: HashMap<ImageId, (String, Option<Assessment>)>,
    /// Of each manifest to which something is owed, the image with the worst verdict about it, of all that it is a part of at its
    /// home, itself included (specification 02, *One gate*).
    worst: HashMap<(Id<Repository>, Digest), ImageId>,
}

impl Gate {
    /// The proof that an image has passed.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) fn passed(&self, image: &ImageId) -> Result<&Passed, &str> {
        let refused = || self.refused.get(image).map_or("it was not looked at", |(why, _)| why.as_str());
        self.passed.get(image).ok_or_else(refused)
    }

    /// What became of a manifest at its home: the worst verdict of all images that it is a part of.
    pub(super) fn judgement(&self, home: Id<Repository>, digest: &Digest) -> Option<&Judgement> {
        let image = self.worst.get(&(home, *digest))?;
        Some(self.assessment(image)?.judgement_of(digest))
    }

    fn assessment(&self, image: &ImageId) -> Option<&Assessment> {
        let refused = || self.refused.get(image).and_then(|(_, assessment)| assessment.as_ref());
        self.passed.get(image).map(Passed::assessment).or_else(refused)
    }

    /// Finds the worst verdict about each manifest.
    fn compare(&mut self, plan: &Plan) {
        let mut worst: HashMap<(Id<Repository>, Digest), ImageId> = HashMap::new();
        // An image that lacks nothing of ours has passed before; it takes nothing away for what staging has lost since.
        for image in plan.owed.images.iter().filter(|image| image.lacks_own()) {
            let own = *plan.edges().digest_name(image.subject.digest);
            let parts = image.parts.iter().map(|part| part.descriptor.digest);
            for digest in parts.chain([own]) {
                for source in &image.sources {
                    let Some(found) = self.assessment(source) else { continue };
                    let entry = worst.entry((image.subject.home, digest)).or_insert(*source);
                    let is_worse = self.assessment(entry).is_some_and(|known| {
                        rank(found.judgement_of(&digest)) > rank(known.judgement_of(&digest))
                    });
                    if is_worse {
                        *entry = *source;
                    }
                }
            }
        }
        self.worst = worst;
    }

    /// Finds the summaries that are not true any more, of images under a policy that pass: these are owed anew.
    fn restate(&self, plan: &mut Plan) {
        for image in &mut plan.owed.images {
            let passed: Result<Vec<_>, _> = image.sources.iter().map(|source| self.passed(source)).collect();
            let Ok(passed) = passed else { continue };
            for part in &mut image.parts {
                let Some(stated) = &part.stated else { continue };
                let digest = &part.descriptor.digest;
                let own = passed.iter().map(|passed| passed.assessment().judgement_of(digest));
                let elsewhere = self.judgement(image.subject.home, digest);
                let worst = own.chain(elsewhere).max_by_key(|judgement| rank(judgement));
                part.summary |= worst.is_some_and(|worst| !stated.holds(Some(worst)));
            }
            image.summary |= image.parts.iter().any(|part| part.summary);
        }
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
            let own = *edges.digest_name(image.subject.digest);
            let parts = image.parts.iter().map(|part| part.descriptor.digest);
            image.refused = parts.chain([own]).find_map(|digest| {
                let blocks = || self.judgement(home, &digest).filter(|judgement| judgement.blocks());
                let why = refused.get(&(home, digest)).cloned().or_else(|| Some(blocks()?.to_string()))?;
                Some(match digest == own {
                    true => format!("an index that lists it has not: {why}"),
                    false => format!("its part {digest} has not: {why}"),
                })
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
        let mut gate = Gate { passed, ..Gate::default() };
        for (image, assessment) in assessed {
            match assessment.pass() {
                Ok(passed) => drop(gate.passed.insert(image, passed)),
                Err(refused) => drop(gate.refused.insert(image, (refused.why, Some(refused.assessment)))),
            }
        }
        gate.refused.extend(unread.into_iter().map(|(image, error)| (image, (error.to_string(), None))));
        gate.compare(&plan);
        gate.restate(&mut plan);
        // An image with a summary to correct has a say in the verdict about its parts.
        gate.compare(&plan);
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
