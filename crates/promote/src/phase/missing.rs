//! Reads what is attached to images in their canonical repositories. This is the last part of Plan; Sign and Attest write what it
//! finds missing.

use std::collections::{BTreeSet, HashSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use manifest::ImageId;
use oci::{AttachmentKind, Descriptor, Digest, Known, Reader, Referrer};
use trust::attach::{
    AttachError, By, Ours, ProductionImage, Signature, Stated, Tagged, has_bundle, latest_summary, tagged,
};
use trust::evidence::{SIGN_TYPE, is_bundle};
use trust::predicate::PROMOTION_TYPE;
use trust::{Problem, Signing, TrustConfig};

use crate::decide::Verdict;
use crate::error::Error;
use crate::event::{Event, Run};
use crate::phase::completed::CompletedCache;
use crate::phase::completion::Scope;
use crate::phase::hosts::by_host;
use crate::phase::owed::{Bundle, Owed, OwedImage, Part};
use crate::phase::plan::Plan;
use crate::subject::{Subject, edges_of, subjects, subjects_of};

/// The maximum number of manifests of one image to check concurrently.
const PARTS_AT_ONCE: usize = 8;
/// Why an image that no manifest names is not repaired.
const UNNAMED: &str = "no manifest names it";

/// Adds to the plan what its images lack in their canonical repositories. This is determined by reading what is attached to them
/// or, if the plan does not check attachments, from listings alone.
///
/// # Errors
/// If an image is in production, or will be, and signing is not possible: such a run must not start, and a dry run reports it. If
/// the run is stopped.
pub(crate) async fn find_missing(
    run: &Run,
    reader: &Reader,
    mut plan: Plan,
    trust_config: &TrustConfig,
) -> Result<Plan, Error> {
    let Some(signing) = &trust_config.signing else { return Ok(plan) };
    let search = Search { run, reader, plan: &plan, trust_config, signing };
    let unreadable = search.unreadable();
    if search.subjects().is_empty() && unreadable.is_empty() {
        return Ok(plan);
    }
    if plan.scope.checked().is_some() {
        // The settings determine which signatures count, so no identity is needed to check.
        let verifier = match trust_config.verification.trust.verifier().await {
            Ok(verifier) => verifier,
            Err(error) => return Err(Error::TrustUnavailable(Box::new(error), Box::new(plan))),
        };
        let ours = Ours::accepted(&trust_config.verification, &verifier, signing.format);
        plan.owed = search.at_images(&ours, String::new(), unreadable).await;
        return if run.is_stopping() { Err(Error::Interrupted) } else { Ok(plan) };
    }
    if !plan.checks_attached {
        plan.owed = search.by_listings();
    }
    match signing.ready().await {
        Ok(signers) if plan.checks_attached => {
            let search = Search { run, reader, plan: &plan, trust_config, signing };
            let cache_key = signers.cache_key(signing.format, &trust_config.production, &plan.policies);
            plan.owed = search.at_images(&signers.ours(), cache_key, unreadable).await;
        }
        Ok(_) => {}
        Err(error) => return Err(Error::CannotSign(Box::new(error), Box::new(plan))),
    }
    if run.is_stopping() { Err(Error::Interrupted) } else { Ok(plan) }
}

/// Determines what images lack.
struct Search<'a> {
    run: &'a Run,
    reader: &'a Reader,
    plan: &'a Plan,
    trust_config: &'a TrustConfig,
    signing: &'a Signing,
}

impl Search<'_> {
    /// Determines from listings alone what images lack. An image that is to be copied lacks everything, and one without a
    /// `.sig` tag lacks a signature. Nothing is known about the others.
    fn by_listings(&self) -> Owed {
        let mut owed = Owed::default();
        for subject in self.subjects() {
            let digest = self.plan.edges().digest_name(subject.digest);
            let is_tagged = self.is_tagged(&subject);
            let is_new = !self.plan.may_have_referrers(subject.canonical, digest);
            let has_no_tag =
                self.plan.attached(subject.canonical, digest, AttachmentKind::Signature) == Known::Absent;
            let is_unsigned = is_tagged && (is_new || (has_no_tag && self.signing.format.has_tag()));
            if !is_new && !is_unsigned {
                owed.not_looked_at += 1;
                continue;
            }
            owed.images.push(OwedImage {
                subject,
                sources: self.sources(&subject),
                parts: Vec::new(),
                signature: is_unsigned,
                record: is_new,
                summary: is_new && self.signing.summaries.is_some(),
                carried: is_new && self.has_policy(&subject),
                unrecordable: false,
                barred: None,
                refused: None,
            });
        }
        owed
    }

    /// Determines what images lack by reading what is attached to them. Skips the images that are complete according to the
    /// inventory cache, which stores them by `cache_key`.
    ///
    /// Requests for an image that was promoted earlier: one for the image and each index in it, one for the `.sig` tag of each
    /// manifest, and one for the referrers of each manifest. Tags and referrers that are absent according to listings are not
    /// requested.
    async fn at_images(
        &self,
        ours: &Ours<'_>,
        cache_key: String,
        unreadable: Vec<(Subject, Problem)>,
    ) -> Owed {
        let mut all = self.subjects();
        let finished =
            CompletedCache::recall(self.run, self.plan.cache(), cache_key, self.plan.edges(), &all);
        let changes = |subject: &Subject| self.plan.changes(subject.canonical, subject.digest);
        // An image that changes in this run was incomplete before, whatever the cache says.
        all.retain(|subject| changes(subject) || !finished.spares(self.plan.edges(), subject));
        self.run.emit(&Event::Work { units: "images", more: all.len() });
        let edges = self.plan.edges();
        let mut looked = by_host(
            self.run,
            edges,
            all,
            |subject| subject.canonical,
            async |subject| {
                let found = self.find_missing(subject, ours).await;
                self.run.emit(&Event::Worked);
                (subject, found)
            },
        )
        .await;
        looked.sort_by_key(|(subject, _)| *subject);
        let mut owed = Owed { finished: Some(finished), ..Owed::default() };
        for (subject, problem) in unreadable {
            self.cannot_look(&mut owed, subject, problem);
        }
        for (subject, found) in looked {
            match found {
                Ok(Some(image)) => owed.images.push(image),
                Ok(None) => owed.complete.push(subject),
                Err(error) => self.cannot_look(&mut owed, subject, (&error).into()),
            }
        }
        owed
    }

    /// Records that an image could not be checked.
    fn cannot_look(&self, owed: &mut Owed, subject: Subject, problem: Problem) {
        let edges = self.plan.edges();
        let name = edges.repository(subject.canonical).at(*edges.digest_name(subject.digest));
        self.run.emit(&Event::Unsigned(name, problem.clone()));
        owed.unread.push((subject, problem));
    }

    /// Returns the images that are only repaired and whose canonical repository cannot be read. Images that are promoted count as
    /// failures of the plan instead.
    fn unreadable(&self) -> Vec<(Subject, Problem)> {
        let decided = self.plan.all_decisions();
        let repaired = decided.filter(|(edge, _)| !self.plan.edges().promotes(edge));
        let failed = repaired.filter_map(|(edge, verdict)| {
            let error = self.plan.failure(edge, verdict)?;
            Some((Subject { canonical: edge.destination, digest: edge.digest }, Problem::from(&**error)))
        });
        let mut failed: Vec<_> = failed.collect();
        failed.sort_by_key(|(subject, _)| *subject);
        failed.dedup_by_key(|(subject, _)| *subject);
        failed
    }

    /// Returns the images that are in their canonical repositories, or will be once the plan is carried out.
    fn subjects(&self) -> Vec<Subject> {
        let (edges, production) = (self.plan.edges(), &self.trust_config.production);
        let mut subjects = match self.plan.scope {
            Scope::Named | Scope::Checked(_) => subjects(edges, production),
            Scope::Promoted => {
                let brought =
                    self.plan.decisions().filter(|(edge, verdict)| self.plan.is_brought(edge, verdict));
                let brought: HashSet<_> = brought.map(|(edge, _)| (edge.destination, edge.digest)).collect();
                subjects_of(edges, production, |edge| brought.contains(&(edge.destination, edge.digest)))
            }
        };
        subjects.retain(|subject| self.will_be_there(subject));
        subjects
    }

    /// Returns whether an image will be in its canonical repository with all tags that it can have there. A tag that can no
    /// longer be written, because staging has lost the image, does not count.
    fn will_be_there(&self, subject: &Subject) -> bool {
        let mut edges = self.plan.possible(subject).peekable();
        edges.peek().is_some()
            && edges.all(|(edge, verdict)| match verdict {
                Verdict::Done | Verdict::DoneWithoutSource => true,
                Verdict::Copy | Verdict::Tag => self.plan.image(edge).is_some(),
                _ => false,
            })
    }

    fn is_tagged(&self, subject: &Subject) -> bool {
        if let Some(checked) = self.plan.scope.checked() {
            let repository = self.plan.edges().repository(subject.canonical).clone();
            return checked.tagged.contains(&(repository, *self.plan.edges().digest_name(subject.digest)));
        }
        edges_of(self.plan.edges(), subject).any(|edge| edge.tag.is_some())
    }

    /// Returns whether a policy applies to an image, so that attestations may be carried.
    fn has_policy(&self, subject: &Subject) -> bool {
        let mut edges = edges_of(self.plan.edges(), subject).flat_map(|edge| self.plan.edges().sources(edge));
        edges.any(|source| self.plan.policies.of(self.plan.edges().repository(source)).is_some())
    }

    fn sources(&self, subject: &Subject) -> Vec<ImageId> {
        let sources = edges_of(self.plan.edges(), subject).map(|edge| (edge.source, edge.digest));
        sources.collect::<BTreeSet<ImageId>>().into_iter().collect()
    }

    /// Returns why an image must not be repaired.
    fn barred(&self, subject: &Subject) -> Option<&'static str> {
        let checked = self.plan.scope.checked()?;
        (!checked.signs_unnamed && self.is_unnamed(subject)).then_some(UNNAMED)
    }

    /// Returns whether no manifest names an image of `kpromo sigcheck`, so that its source is unknown.
    fn is_unnamed(&self, subject: &Subject) -> bool {
        let is_own_source = |edge: &manifest::Edge| edge.source == edge.destination;
        self.plan.scope.checked().is_some() && edges_of(self.plan.edges(), subject).all(is_own_source)
    }

    /// Determines what one image lacks. Returns `None` if it lacks nothing.
    async fn find_missing(
        &self,
        subject: Subject,
        ours: &Ours<'_>,
    ) -> Result<Option<OwedImage>, AttachError> {
        let edges = self.plan.edges();
        let canonical = edges.repository(subject.canonical);
        let reference = self.trust_config.production.reference(canonical);
        let place =
            ProductionImage { canonical, reference: &reference, digest: *edges.digest_name(subject.digest) };
        let referrers = self.referrers(&subject, place.digest).await?;
        let lacks_record = self.lacks(&place, &referrers, PROMOTION_TYPE, ours.bundles).await?;
        let is_tagged = self.is_tagged(&subject);
        let (carried, sources) = (self.has_policy(&subject), self.sources(&subject));
        let unrecordable = lacks_record && self.is_unnamed(&subject);
        let mut image = OwedImage {
            subject,
            sources,
            parts: Vec::new(),
            signature: false,
            record: lacks_record && !unrecordable,
            summary: false,
            carried,
            unrecordable,
            barred: self.barred(&subject),
            refused: None,
        };
        if !is_tagged && !lacks_record && ours.summaries.is_none() {
            return Ok(self.is_owed(&image).then_some(image));
        }
        let wanted = Checks { signatures: is_tagged, has_policy: carried };
        let outline = self.plan.outline(self.run, self.reader, &subject).await?;
        image.parts = stream::iter(outline)
            .map(async |descriptor: Descriptor| {
                let part = ProductionImage { digest: descriptor.digest, ..place };
                let known = (part.digest == place.digest).then(|| referrers.clone());
                self.look_at_part(&subject, &part, descriptor, known, wanted, ours).await
            })
            .buffered(PARTS_AT_ONCE)
            .try_collect()
            .await?;
        image.signature = image.parts.iter().any(Part::lacks_signature);
        image.summary = image.parts.iter().any(|part| part.summary);
        Ok(self.is_owed(&image).then_some(image))
    }

    /// Returns whether anything has to be done for an image. `kpromo sigcheck` does not search for missing attestations.
    fn is_owed(&self, image: &OwedImage) -> bool {
        let carries = image.carried && self.plan.scope.checked().is_none();
        image.lacks_own() || image.unrecordable || carries
    }

    /// Determines what one manifest of an image lacks. `known` has the referrers if it is the manifest of the image itself.
    async fn look_at_part(
        &self,
        subject: &Subject,
        place: &ProductionImage<'_>,
        descriptor: Descriptor,
        known: Option<Vec<Referrer>>,
        wanted: Checks,
        ours: &Ours<'_>,
    ) -> Result<Part, AttachError> {
        let format = self.signing.format;
        let is_image = known.is_some();
        let referrers = match known {
            Some(referrers) => Some(referrers),
            None if ours.summaries.is_some() || (wanted.signatures && format.has_bundle(true)) => {
                Some(self.referrers(subject, place.digest).await?)
            }
            None => None,
        };
        let listed = referrers.as_deref().unwrap_or_default();
        let stated = match ours.summaries {
            Some(by) => latest_summary(self.reader, place, listed, by).await?,
            None => None,
        };
        // Under a policy, the gate determines whether the summary still holds.
        let holds = |stated: &Stated| wanted.has_policy || stated.holds(None);
        let summary = ours.summaries.is_some() && !stated.as_ref().is_some_and(holds);
        let (mut layer, mut bundle) = (None, Bundle::There);
        if wanted.signatures {
            layer = self.lacks_layer(subject, place, ours).await?;
            // The image itself receives a promotion record, which is a bundle.
            let beside_others = is_image || summary || listed.iter().any(is_bundle);
            if format.has_bundle(true) && self.lacks(place, listed, SIGN_TYPE, ours.bundles).await? {
                let is_due = format.has_bundle(beside_others);
                bundle = if is_due { Bundle::Lacking } else { Bundle::LackingBesideOthers };
            }
        }
        Ok(Part { descriptor, layer, bundle, referrers, summary, stated })
    }

    /// Returns the referrers of a manifest in the canonical repository. A manifest that is not there yet has none.
    async fn referrers(&self, subject: &Subject, digest: Digest) -> Result<Vec<Referrer>, oci::Error> {
        if !self.plan.may_have_referrers(subject.canonical, &digest) {
            return Ok(Vec::new());
        }
        let canonical = self.plan.edges().repository(subject.canonical);
        let fallback = self.plan.fallback(subject.canonical, &digest);
        match self.reader.referrers(canonical, digest, None, fallback).await {
            // A list under a fallback tag that cannot be parsed lists nothing. It is replaced when something is attached.
            Err(error) if is_damaged(&error) => {
                let image = canonical.at(digest);
                self.run
                    .emit(&Event::Warned(format!("the list of referrers of {image} is damaged: {error}")));
                Ok(Vec::new())
            }
            listed => listed,
        }
    }

    /// Returns whether an image lacks a bundle with this predicate type that `by` has signed for its name.
    async fn lacks(
        &self,
        place: &ProductionImage<'_>,
        referrers: &[Referrer],
        predicate_type: &str,
        by: By<'_>,
    ) -> Result<bool, AttachError> {
        Ok(!has_bundle(self.reader, place, referrers, predicate_type, by).await?)
    }

    /// Returns what is known about the `.sig` tag of a manifest if the tag lacks our signature and should have it.
    async fn lacks_layer(
        &self,
        subject: &Subject,
        place: &ProductionImage<'_>,
        ours: &Ours<'_>,
    ) -> Result<Option<Known>, AttachError> {
        let known = self.plan.attached(subject.canonical, &place.digest, AttachmentKind::Signature);
        let Some(by) = ours.layers else { return Ok(None) };
        if known == Known::Absent {
            return Ok(Some(known));
        }
        let signature = Signature::new(place, &self.signing.promoter.version)?;
        Ok(match tagged(self.reader, place, &signature, by, ours.reads_content).await? {
            Tagged::Ours => None,
            Tagged::Others => Some(known),
            Tagged::Nothing => Some(Known::Absent),
        })
    }
}

fn is_damaged(error: &oci::Error) -> bool {
    matches!(error.kind(), oci::ErrorKind::Manifest(oci::InvalidManifest::Malformed { .. }))
}

/// What to check on the manifests of an image.
#[derive(Clone, Copy)]
struct Checks {
    signatures: bool,
    /// Whether a policy applies to the image.
    has_policy: bool,
}
