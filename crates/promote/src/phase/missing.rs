//! Looks at what is attached to images in their canonical repositories. This is the last part of Plan; Sign and Attest write
//! what it finds missing.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use manifest::ImageId;
use oci::{AttachmentKind, Descriptor, Digest, Known, Reader, Referrer};
use sigstore::{Owner, Signer};
use trust::attach::{
    AttachError, ProductionImage, Signature, Signers, Stated, Tagged, has_bundle, latest_summary, tagged,
};
use trust::evidence::{SIGN_TYPE, is_bundle};
use trust::predicate::PROMOTION_TYPE;
use trust::{Signing, TrustConfig};

use crate::decide::Verdict;
use crate::error::Error;
use crate::event::Event;
use crate::phase::completed::CompletedCache;
use crate::phase::hosts::by_host;
use crate::phase::owed::{Bundle, Owed, OwedImage, Part};
use crate::phase::plan::Plan;
use crate::run::Run;
use crate::subject::{Subject, edges_of, subjects};

/// The maximum number of manifests of one image to look at concurrently.
const PARTS_AT_ONCE: usize = 8;

/// Adds to the plan what its images lack in their canonical repositories. This is determined by looking at what is attached to
/// them or, if the plan does not look, from listings alone.
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
    if plan.decisions().next().is_none() {
        return Ok(plan);
    }
    let search = Search { run, reader, plan: &plan, trust_config, signing };
    if search.subjects().is_empty() {
        return Ok(plan);
    }
    if !plan.checks_attached {
        plan.owed = search.by_listings();
    }
    match signing.ready().await {
        Ok(signers) if plan.checks_attached => {
            let search = Search { run, reader, plan: &plan, trust_config, signing };
            plan.owed = search.at_images(&signers).await;
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
                refused: None,
            });
        }
        owed
    }

    /// Determines what images lack by looking at what is attached to them. Skips the images that are complete according to the
    /// inventory cache.
    ///
    /// Requests for an image that was promoted earlier: one for the image and each index in it, one for the `.sig` tag of each
    /// manifest, and one for the referrers of each manifest. Tags and referrers that are absent according to listings are not
    /// requested.
    async fn at_images(&self, signers: &Signers<'_>) -> Owed {
        let mut all = self.subjects();
        let cache_key =
            signers.cache_key(self.signing.format, &self.trust_config.production, &self.plan.policies);
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
                let found = self.find_missing(subject, signers).await;
                self.run.emit(&Event::Worked);
                (subject, found)
            },
        )
        .await;
        looked.sort_by_key(|(subject, _)| *subject);
        let mut owed = Owed { finished: Some(finished), ..Owed::default() };
        for (subject, found) in looked {
            match found {
                Ok(Some(image)) => owed.images.push(image),
                Ok(None) => owed.complete.push(subject),
                Err(error) => {
                    let name = edges.repository(subject.canonical).at(*edges.digest_name(subject.digest));
                    self.run.emit(&Event::Unsigned(name, (&error).into()));
                    owed.unread.push(subject);
                }
            }
        }
        owed
    }

    /// Returns the images that are in their canonical repositories, or will be once the plan is carried out.
    fn subjects(&self) -> Vec<Subject> {
        let mut subjects = subjects(self.plan.edges(), &self.trust_config.production);
        subjects.retain(|subject| self.will_be_there(subject));
        subjects
    }

    /// Returns whether an image will be in its canonical repository with all tags that it can have there. A tag that can no
    /// longer be written, because staging has lost the image, does not count.
    fn will_be_there(&self, subject: &Subject) -> bool {
        let edges =
            self.plan.decisions_at(subject.canonical).filter(|(edge, _)| edge.digest == subject.digest);
        let mut edges = edges.filter(|(_, verdict)| **verdict != Verdict::Lost).peekable();
        edges.peek().is_some()
            && edges.all(|(edge, verdict)| match verdict {
                Verdict::Done | Verdict::DoneWithoutSource => true,
                Verdict::Copy | Verdict::Tag => self.plan.image(edge).is_some(),
                _ => false,
            })
    }

    fn is_tagged(&self, subject: &Subject) -> bool {
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

    /// Determines what one image lacks. Returns `None` if it lacks nothing.
    async fn find_missing(
        &self,
        subject: Subject,
        signers: &Signers<'_>,
    ) -> Result<Option<OwedImage>, AttachError> {
        let edges = self.plan.edges();
        let canonical = edges.repository(subject.canonical);
        let reference = self.trust_config.production.reference(canonical);
        let place =
            ProductionImage { canonical, reference: &reference, digest: *edges.digest_name(subject.digest) };
        let referrers = self.referrers(&subject, place.digest).await?;
        let record = self.lacks(&place, &referrers, PROMOTION_TYPE, signers.own()).await?;
        let is_tagged = self.is_tagged(&subject);
        let (carried, sources) = (self.has_policy(&subject), self.sources(&subject));
        if !is_tagged && !record && signers.summarizer().is_none() {
            let (parts, signature, summary) = (Vec::new(), false, false);
            let image =
                OwedImage { subject, sources, parts, signature, record, summary, carried, refused: None };
            return Ok(carried.then_some(image));
        }
        let wanted = Checks { signatures: is_tagged, has_policy: carried };
        let outline = self.plan.outline(self.run, self.reader, &subject).await?;
        let parts: Vec<Part> = stream::iter(outline)
            .map(async |descriptor: Descriptor| {
                let part = ProductionImage { digest: descriptor.digest, ..place };
                let known = (part.digest == place.digest).then(|| referrers.clone());
                self.look_at_part(&subject, &part, descriptor, known, wanted, signers).await
            })
            .buffered(PARTS_AT_ONCE)
            .try_collect()
            .await?;
        let signature = parts.iter().any(Part::lacks_signature);
        let summary = parts.iter().any(|part| part.summary);
        let image = OwedImage { subject, sources, parts, signature, record, summary, carried, refused: None };
        Ok((signature || record || summary || carried).then_some(image))
    }

    /// Determines what one manifest of an image lacks. `known` has the referrers if the manifest is that of the image itself.
    async fn look_at_part(
        &self,
        subject: &Subject,
        place: &ProductionImage<'_>,
        descriptor: Descriptor,
        known: Option<Vec<Referrer>>,
        wanted: Checks,
        signers: &Signers<'_>,
    ) -> Result<Part, AttachError> {
        let format = self.signing.format;
        let is_image = known.is_some();
        let referrers = match known {
            Some(referrers) => Some(referrers),
            None if signers.summarizer().is_some() || (wanted.signatures && format.has_bundle(true)) => {
                Some(self.referrers(subject, place.digest).await?)
            }
            None => None,
        };
        let listed = referrers.as_deref().unwrap_or_default();
        let stated = match signers.summarizer() {
            Some(by) => latest_summary(self.reader, place, listed, by).await?,
            None => None,
        };
        // Under a policy, the gate determines whether the summary still holds.
        let holds = |stated: &Stated| wanted.has_policy || stated.holds(None);
        let summary = signers.summarizer().is_some() && !stated.as_ref().is_some_and(holds);
        let (mut layer, mut bundle) = (None, Bundle::There);
        if wanted.signatures {
            layer = self.lacks_layer(subject, place, signers).await?;
            // The image itself receives a promotion record, which is a bundle.
            let beside_others = is_image || summary || listed.iter().any(is_bundle);
            if format.has_bundle(true) && self.lacks(place, listed, SIGN_TYPE, signers.own()).await? {
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
        self.reader.referrers(canonical, digest, None, self.plan.fallback(subject.canonical, &digest)).await
    }

    /// Returns whether an image has no bundle of this predicate type, signed by `by`, about its name.
    async fn lacks(
        &self,
        place: &ProductionImage<'_>,
        referrers: &[Referrer],
        predicate_type: &str,
        by: (&Owner, &Signer),
    ) -> Result<bool, AttachError> {
        Ok(!has_bundle(self.reader, place, referrers, predicate_type, by).await?)
    }

    /// Returns what is known of the `.sig` tag of a manifest if the tag lacks our signature and should have it.
    async fn lacks_layer(
        &self,
        subject: &Subject,
        place: &ProductionImage<'_>,
        signers: &Signers<'_>,
    ) -> Result<Option<Known>, AttachError> {
        let known = self.plan.attached(subject.canonical, &place.digest, AttachmentKind::Signature);
        let Some(signer) = signers.layers else { return Ok(None) };
        if known == Known::Absent {
            return Ok(Some(known));
        }
        let signature = Signature::new(place, &self.signing.promoter.version)?;
        Ok(match tagged(self.reader, place, &signature, &signers.owner, signer).await? {
            Tagged::Ours => None,
            Tagged::Others => Some(known),
            Tagged::Nothing => Some(Known::Absent),
        })
    }
}

/// What to check on the manifests of an image.
#[derive(Clone, Copy)]
struct Checks {
    signatures: bool,
    /// Whether a policy applies to the image.
    has_policy: bool,
}
