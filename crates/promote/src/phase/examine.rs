//! The gate: examines images in staging. Each image is examined once per run, for Provenance, Validate, Promote, Sign and
//! Attest (specification 02, *One gate*).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use manifest::policy::{Policies, Policy};
use manifest::{Id, ImageId, SharedImages};
use oci::{DigestReference, Host, Reader, Repository};
use oci_types::text::shown;
use sigstore::TrustError;
use trust::TrustConfig;
use trust::evidence::EvidenceError;
use trust::gate::{Assessment, Signatures, Source, Staged, examine};
use trust::scan::Scans;

use crate::event::{Event, Examination, Run, ScannedImage};
use crate::phase::hosts::by_host;
use crate::phase::plan::Plan;

/// The maximum length of text from a registry in a warning, in characters.
const SHOWN_MAX: usize = 300;

/// Examines images in staging.
#[derive(Clone, Copy)]
pub(super) struct Examiner<'a> {
    pub(super) run: &'a Run,
    pub(super) reader: &'a Reader,
    pub(super) trust_config: &'a TrustConfig,
    pub(super) policies: &'a Policies,
    /// The images that several staging repositories may serve.
    pub(super) shared: &'a SharedImages,
}

/// The result of examining images.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) assessed: HashMap<ImageId, Assessment>,
    /// Images whose registry did not answer.
    pub(super) unread: Vec<(ImageId, Arc<oci::Error>)>,
}

impl<'a> Examiner<'a> {
    /// Examines each image once and reports the results.
    ///
    /// # Errors
    /// If something has to be verified and the trusted root is not available.
    pub(super) async fn look_at(
        &self,
        plan: &'a Plan,
        images: BTreeSet<ImageId>,
    ) -> Result<Looked, TrustError> {
        self.run.emit(&Event::Work { units: "images", more: images.len() });
        // The first image of each host determines whether the host lists referrers, so that the other images need not ask.
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
        let examine_one = async |image| {
            let examined = self.examine(plan, image).await;
            if let Ok(examined) = &examined {
                self.emit(plan, image, examined);
            }
            self.run.emit(&Event::Worked);
            (image, examined.map(|examined| examined.forget_the_rest(&self.trust_config.verification)))
        };
        by_host(self.run, plan.edges(), images, |(source, _)| source, examine_one).await
    }

    /// Examines one image.
    async fn examine(&self, plan: &'a Plan, image_id: ImageId) -> Result<Assessment, EvidenceError> {
        let (source, digest) = image_id;
        let others = self.shared.get(&image_id).into_iter().flatten().copied();
        // A repository that has lost the manifest may still have its attachments.
        let others: Vec<Id<Repository>> = others.filter(|other| *other != source).collect();
        let of = |id: Id<Repository>| Source {
            repository: plan.edges().repository(id),
            listed: Box::new(move |digest| plan.listed_tags(id, digest)),
        };
        let share = self.trust_config.verification.budget.share();
        let staged = Staged {
            client: self.trust_config.verification.client(self.reader, &share),
            source: of(source),
            others: others.iter().copied().map(of).collect(),
            graph: plan.graph(image_id),
            warn: &|text| self.run.emit(&Event::Warned(text)),
        };
        let policies = self.policies_of(plan, others.into_iter().chain([source]));
        examine(&staged, *plan.edges().digest_name(digest), &policies, &self.trust_config.verification).await
    }

    /// Returns the policies that an image has to satisfy: those of all staging repositories that may serve one of its edges.
    fn policies_of(
        &self,
        plan: &Plan,
        sources: impl Iterator<Item = Id<Repository>>,
    ) -> Vec<Option<&'a Policy>> {
        let mut policies: Vec<Option<&Policy>> = Vec::new();
        for source in sources {
            let policy = self.policies.of(plan.edges().repository(source));
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
        policies
    }

    fn emit(&self, plan: &Plan, (source, digest): ImageId, examined: &Assessment) {
        let image = plan.edges().repository(source).at(*plan.edges().digest_name(digest));
        let (signatures, judgement) = (examined.signatures(), examined.judgement());
        if !judgement.is_satisfied() && !judgement.blocks() {
            let judgement = judgement.to_string().replace('\n', "\n  ");
            self.run.emit(&Event::Warned(format!(
                "{image} does not satisfy its policy, which only warns: {judgement}"
            )));
        }
        self.emit_scans(&image, examined.scans());
        let by_others = examined.signed_by_others(&self.trust_config.verification);
        if let (Signatures::None, [first, ..]) = (signatures, &by_others[..]) {
            let count = by_others.len();
            self.run.emit(&Event::Warned(format!(
                "{image} counts as unsigned: signatures by someone else are ignored ({count}), the first at {first}"
            )));
        }
        let counted = examined.signed_by(&self.trust_config.verification);
        self.run.emit(&Event::Examined(Arc::new(Examination {
            image,
            judgement: judgement.clone(),
            signed_by: counted,
            refused: match signatures {
                Signatures::Refused(why) => why.clone(),
                _ => Vec::new(),
            },
        })));
    }

    /// Reports the result of the vulnerability gate for an image.
    fn emit_scans(&self, image: &DigestReference, scans: &Scans) {
        let result = match scans {
            Scans::NotAsked => return,
            Scans::Judged(vulnerabilities) => {
                let unscanned = vulnerabilities.parts.iter().filter(|part| !part.is_scanned());
                let why = unscanned.flat_map(|part| &part.unscanned).next();
                if let Some(why) = why.filter(|_| vulnerabilities.passes()) {
                    let why = shown(why, SHOWN_MAX);
                    self.run.emit(&Event::Warned(format!(
                        "{image} is not scanned, which the policy allows: {why}"
                    )));
                }
                Ok(Arc::clone(vulnerabilities))
            }
            Scans::Failed(error) => Err(error.to_string()),
        };
        self.run.emit(&Event::Scanned(Arc::new(ScannedImage { image: image.clone(), result })));
    }
}
