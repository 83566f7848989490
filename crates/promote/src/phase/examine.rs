//! The gate: looking at images of staging. Each image is looked at once a run, for Provenance, Validate, Promote, Sign and
//! Attest alike (specification 02, *One gate*).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use manifest::policy::{Policies, Policy};
use manifest::{ImageId, SharedImages};
use oci::{Host, Reader};
use oci_types::text::shown;
use sigstore::TrustError;

use crate::event::{Event, Examination};
use crate::evidence::{Claim, Evidence, EvidenceError, Rejected, Wanted};
use crate::notary::Notary;
use crate::phase::assessment::{Assessment, Signatures};
use crate::phase::hosts::by_host;
use crate::phase::parts::{Parts, Staged, image_of};
use crate::phase::plan::Plan;
use crate::policy::judge;
use crate::run::Run;

/// The most of a text from outside that a reason has, in characters.
const SHOWN_MAX: usize = 1_000;

/// Looks at images.
#[derive(Clone, Copy)]
pub(super) struct Examiner<'a> {
    pub(super) run: &'a Run,
    pub(super) reader: &'a Reader,
    pub(super) notary: &'a Notary,
    pub(super) policies: &'a Policies,
    /// The images that several staging repositories may serve.
    pub(super) shared: &'a SharedImages,
}

/// What came of looking at images.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) assessed: HashMap<ImageId, Assessment>,
    /// Images whose registry did not answer.
    pub(super) unread: Vec<(ImageId, Arc<oci::Error>)>,
}

impl<'a> Examiner<'a> {
    /// Looks at images, each once, and tells what was found.
    ///
    /// # Errors
    /// When something is to be verified and the trusted root is not available.
    pub(super) async fn look_at(
        &self,
        plan: &'a Plan,
        images: BTreeSet<ImageId>,
    ) -> Result<Looked, TrustError> {
        self.run.tell(&Event::Work { units: "images", more: images.len() });
        // The first image of a host finds out whether the host lists referrers, so that not all of them ask.
        let mut hosts: HashSet<&Host> = HashSet::new();
        let is_first = |(source, _): &ImageId| hosts.insert(&plan.edges().repository(*source).host);
        let (first, rest): (Vec<ImageId>, Vec<ImageId>) = images.into_iter().partition(is_first);
        let mut found = self.look_at_each(plan, first).await;
        found.extend(self.look_at_each(plan, rest).await);
        let mut looked = Looked::default();
        for (image, examined) in found {
            match examined {
                Ok(examined) => drop(looked.assessed.insert(image, examined)),
                Err(EvidenceError::Registry(error)) => looked.unread.push((image, Arc::new(error))),
                Err(EvidenceError::Trust(error)) => return Err(error),
            }
        }
        Ok(looked)
    }

    async fn look_at_each(
        &self,
        plan: &'a Plan,
        images: Vec<ImageId>,
    ) -> Vec<(ImageId, Result<Assessment, EvidenceError>)> {
        let look = async |image| {
            let examined = self.examine(plan, image).await;
            if let Ok(examined) = &examined {
                self.tell(plan, image, examined);
            }
            self.run.tell(&Event::Worked);
            (image, examined.map(|examined| examined.forget_the_rest(self.notary)))
        };
        by_host(self.run, plan.edges(), images, |(source, _)| source, look).await
    }

    /// Looks at one image.
    async fn examine(&self, plan: &'a Plan, image_id: ImageId) -> Result<Assessment, EvidenceError> {
        let (source, digest) = image_id;
        let digest = *plan.edges().digest_name(digest);
        let others = self.shared.get(&image_id).into_iter().flatten().copied();
        let share = self.notary.verification.room.share();
        let staged = Staged {
            run: self.run,
            plan,
            means: self.notary.verification.means(self.reader, &share),
            source,
            // One that has lost the manifest may still have what was attached to it.
            others: others.filter(|other| *other != source).collect(),
        };
        let evidence = staged.evidence(digest, Wanted::All).await?;
        let mut platforms = BTreeMap::new();
        let mut judgements = Vec::new();
        for policy in self.policies_of(&staged) {
            let mut image = image_of(digest, &evidence);
            // Where an index has no provenance of its own, its platforms have to have it.
            if let Some(policy) = policy.filter(|policy| !image.has_provenance(policy)) {
                let parts = Parts::of(&staged, policy, plan.graph(image_id));
                image.platforms = parts.platforms(digest, &mut platforms, 1).await?;
            }
            judgements.push(judge(policy, &image));
        }
        for absent in platforms.values().chain([&evidence]).flat_map(|evidence| &evidence.absent) {
            self.run.tell(&Event::Warned(format!(
                "{absent} is listed as attached to an image and is not there; it counts as not attached"
            )));
        }
        let signatures = self.weigh_signatures(&evidence);
        Ok(Assessment::new(evidence, platforms, judgements, signatures))
    }

    /// The policies that an image has to satisfy: those of all staging repositories that may serve one of its edges.
    fn policies_of(&self, staged: &Staged<'a>) -> Vec<Option<&'a Policy>> {
        let mut policies: Vec<Option<&Policy>> = Vec::new();
        for source in staged.sources() {
            let policy = self.policies.of(staged.plan.edges().repository(source));
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
        policies
    }

    fn weigh_signatures(&self, evidence: &Evidence) -> Signatures {
        let verification = &self.notary.verification;
        if evidence.signatures.iter().any(|found| verification.accepts(&found.signatory)) {
            return Signatures::Accepted;
        }
        // Signatures by others are ignored: only what claims to be by staging's signer and does not hold is in the way.
        let rejected = evidence.rejected.iter().filter(|rejected| rejected.claim == Claim::Signature);
        let why: Vec<String> =
            rejected.map(|Rejected { place, reason, .. }| format!("{place}: {reason}")).collect();
        if why.is_empty() { Signatures::None } else { Signatures::Refused(why) }
    }

    /// The signatures that are someone else's: those by another identity, and those by keys and authorities that are not trusted.
    fn signed_by_others(&self, evidence: &Evidence) -> Vec<String> {
        let verification = &self.notary.verification;
        let verified = evidence.signatures.iter().map(|found| {
            let (signatory, staging) = (&found.signatory, &verification.staging);
            let why = format!("{}: it is by {signatory}, and {staging} was expected", found.origin);
            shown(&why, SHOWN_MAX)
        });
        let unknown = evidence.others.iter().filter(|other| other.claim == Claim::Signature);
        verified.chain(unknown.map(|Rejected { place, reason, .. }| format!("{place}: {reason}"))).collect()
    }

    fn tell(&self, plan: &Plan, (source, digest): ImageId, examined: &Assessment) {
        let image = plan.edges().repository(source).at(*plan.edges().digest_name(digest));
        let (signatures, evidence) = (examined.signatures(), &examined.evidence);
        let judgement = examined.judgement();
        if !judgement.is_satisfied() && !judgement.blocks() {
            let judgement = judgement.to_string().replace('\n', "\n  ");
            self.run.tell(&Event::Warned(format!(
                "{image} does not satisfy its policy, which only warns: {judgement}"
            )));
        }
        let by_others = self.signed_by_others(evidence);
        if let (Signatures::None, [first, ..]) = (signatures, &by_others[..]) {
            let count = by_others.len();
            self.run.tell(&Event::Warned(format!(
                "{image} counts as unsigned: signatures by someone else are ignored ({count}), the first at {first}"
            )));
        }
        let counted = self.notary.verification.accepts_of(&evidence.signatures);
        self.run.tell(&Event::Examined(Arc::new(Examination {
            image,
            judgement: judgement.clone(),
            signed_by: counted,
            refused: match signatures {
                Signatures::Refused(why) => why.clone(),
                _ => Vec::new(),
            },
        })));
    }
}
