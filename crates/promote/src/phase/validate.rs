//! Validate: checks the signatures of staging images before anything is written (specification 02, *Validate*).

use std::collections::HashMap;
use std::sync::Arc;

use manifest::Id;
use manifest::ImageId;
use oci::{Digest, Repository};
use trust::gate::{Assessment, Passed, rank};
use trust::policy::Judgement;

use crate::error::Error;
use crate::event::{Event, Phase, Run};
use crate::phase::blocked::blocked;
use crate::phase::owed::OwedImage;
use crate::phase::plan::Plan;
use crate::phase::provenance::Proven;
use crate::phase::scan::Scanned;

/// A plan that may be carried out, with the proof of each image that has passed. Promote takes nothing else.
#[derive(Debug)]
pub struct Cleared {
    pub(super) plan: Plan,
    pub(super) gate: Gate,
}

/// The images that have passed Provenance and Validate, and those that have not.
#[derive(Debug, Default)]
pub(super) struct Gate {
    passed: HashMap<ImageId, Passed>,
    /// The images that have not passed, with the reason and, if they could be examined, the assessment.
    refused: HashMap<ImageId, (String, Option<Assessment>)>,
    /// For each manifest to which something is owed, the staging image with the worst judgement about it. This considers all
    /// images that the manifest is part of in its canonical repository, including itself (specification 02, *One gate*).
    worst: HashMap<(Id<Repository>, Digest), ImageId>,
}

impl Gate {
    /// Returns the proof that an image has passed.
    ///
    /// # Errors
    /// Returns the reason if it has not.
    pub(super) fn passed(&self, image: &ImageId) -> Result<&Passed, &str> {
        let refused = || self.refused.get(image).map_or("it was not checked", |(why, _)| why.as_str());
        self.passed.get(image).ok_or_else(refused)
    }

    /// Returns the judgement about a manifest in its canonical repository: the worst one of all images that it is part of.
    pub(super) fn judgement(&self, canonical: Id<Repository>, digest: &Digest) -> Option<&Judgement> {
        let image = self.judged_as(canonical, digest)?;
        Some(self.assessment(&image)?.judgement_of(digest))
    }

    /// Returns the staging image whose verdict about a manifest applies: see [`Gate::judgement`].
    pub(super) fn judged_as(&self, canonical: Id<Repository>, digest: &Digest) -> Option<ImageId> {
        self.worst.get(&(canonical, *digest)).copied()
    }

    /// Returns the assessment of a staging image, whether it has passed or not.
    pub(super) fn assessment(&self, image: &ImageId) -> Option<&Assessment> {
        let refused = || self.refused.get(image).and_then(|(_, assessment)| assessment.as_ref());
        self.passed.get(image).map(Passed::assessment).or_else(refused)
    }

    /// Determines the worst judgement about each manifest.
    fn compare(&mut self, plan: &Plan) {
        let mut worst: HashMap<(Id<Repository>, Digest), ImageId> = HashMap::new();
        // An image that has all our attachments has passed in an earlier run. Evidence that staging has lost since then does not
        // count against its parts.
        for image in plan.owed.images.iter().filter(|image| image.lacks_own()) {
            let own = *plan.edges().digest_name(image.subject.digest);
            let parts = image.parts.iter().map(|part| part.descriptor.digest);
            for digest in parts.chain([own]) {
                for source in &image.sources {
                    let Some(found) = self.assessment(source) else { continue };
                    let entry = worst.entry((image.subject.canonical, digest)).or_insert(*source);
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

    /// Marks summaries that no longer hold as owed, for images that pass.
    fn restate(&self, plan: &mut Plan) {
        for image in &mut plan.owed.images {
            let passed: Result<Vec<_>, _> = image.sources.iter().map(|source| self.passed(source)).collect();
            let Ok(passed) = passed else { continue };
            for part in &mut image.parts {
                let Some(stated) = &part.stated else { continue };
                let digest = &part.descriptor.digest;
                let own = passed.iter().map(|passed| passed.assessment().judgement_of(digest));
                let elsewhere = self.judgement(image.subject.canonical, digest);
                let worst = own.chain(elsewhere).max_by_key(|judgement| rank(judgement));
                part.summary |= worst.is_some_and(|worst| !stated.holds(Some(worst)));
            }
            image.summary |= image.parts.iter().any(|part| part.summary);
        }
    }

    /// Marks the images for which nothing is written: those that have not passed, and those with a part that is also an image of
    /// its own and has not passed.
    fn refuse(&self, plan: &mut Plan) {
        let mut refused: HashMap<(Id<Repository>, Digest), String> = HashMap::new();
        let edges = Arc::clone(&plan.edges);
        // An image that may only lack attestations has passed in an earlier run. It is not refused because staging has lost
        // evidence since then.
        let may_be_refused = |image: &&mut OwedImage| image.lacks_own() && image.barred.is_none();
        for image in plan.owed.images.iter_mut().filter(may_be_refused) {
            let why = image.sources.iter().find_map(|source| self.passed(source).err());
            image.refused = why.map(str::to_owned);
            if let Some(why) = &image.refused {
                let digest = *edges.digest_name(image.subject.digest);
                refused.insert((image.subject.canonical, digest), why.clone());
            }
        }
        for image in plan.owed.images.iter_mut().filter(may_be_refused) {
            if image.refused.is_some() {
                continue;
            }
            let canonical = image.subject.canonical;
            let own = *edges.digest_name(image.subject.digest);
            let parts = image.parts.iter().map(|part| part.descriptor.digest);
            image.refused = parts.chain([own]).find_map(|digest| {
                let blocks = || self.judgement(canonical, &digest).filter(|judgement| judgement.blocks());
                let why =
                    refused.get(&(canonical, digest)).cloned().or_else(|| Some(blocks()?.to_string()))?;
                Some(match digest == own {
                    true => format!("an index that lists it did not pass: {why}"),
                    false => format!("its part {digest} did not pass: {why}"),
                })
            });
        }
    }

    /// Returns the proofs, for use in a later round.
    pub(super) fn into_passed(self) -> HashMap<ImageId, Passed> {
        self.passed
    }
}

impl Cleared {
    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the number of promoted images that do not pass or could not be checked.
    pub(crate) fn refused(&self) -> usize {
        let owed = &self.plan.owed;
        owed.images.iter().filter(|image| image.refused.is_some()).count() + owed.unread.len()
    }

    pub(crate) fn into_plan(self) -> Plan {
        self.plan
    }
}

/// Checks the signatures of images, which Provenance has read and verified. An image without signatures passes, and so does an
/// image that only other signers have signed.
///
/// # Errors
/// If an image to promote has a signature that claims to be by the required signer and does not verify, and no signature by that
/// signer that does.
pub async fn validate(run: &Run, scanned: Scanned) -> Result<Cleared, Error> {
    run.phase(Phase::Validate, async {
        let Proven { mut plan, to_promote, assessed, passed, unread } = scanned.0;
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
        // An image whose summary has to be corrected now counts for the judgement about its parts.
        gate.compare(&plan);
        gate.refuse(&mut plan);
        for image in &plan.owed.images {
            if let Some(why) = &image.refused {
                let canonical = plan.edges().repository(image.subject.canonical);
                let image = canonical.at(*plan.edges().digest_name(image.subject.digest));
                run.emit(&Event::Warned(format!(
                    "{image} is neither signed nor recorded, because it did not pass: {why}"
                )));
            }
        }
        Ok(Cleared { plan, gate })
    })
    .await
}
