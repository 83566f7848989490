//! Sign: promoted images and their parts are signed, where they are not signed already (specification 02, *Sign*).
//!
//! What a run owes is read off the registries, not off what the run has copied: so it also signs what an earlier one has
//! left unsigned, and writes nothing where all is signed.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use oci::{AttachedTag, AttachmentKind, Descriptor, Digest, Known, NewLayer, Repository, Writer};
use sigstore::Signer;

use crate::event::{Event, Phase};
use crate::evidence::{FoundSignature, Origin, SIGN_TYPE, Wanted, gather};
use crate::intern::Id;
use crate::notary::{Notary, Signing};
use crate::phase::carry::Carrier;
use crate::phase::examine::Examiner;
use crate::phase::finished::{Completion, Finished};
use crate::phase::plan::Plan;
use crate::phase::promote::Promoted;
use crate::policy::Mode;
use crate::run::Run;
use crate::signing::{Place, Signature, Signers, Tagged, Trouble, attached_bundle, bundle_of, tagged};
use crate::subject::{Subject, edges_of, subjects};

/// How many images are looked through at once; what hosts bear is the gate's matter.
const WAITING: usize = 64;

/// The most signatures of staging that are carried to one manifest: ours, which comes after them, has to stay among those that
/// readers look at.
const CARRIED_MAX: usize = 20;

/// What Sign has made of what was promoted.
#[derive(Debug)]
pub struct Signed {
    pub(super) promoted: Promoted,
    /// The images that are at home now, with their manifests where these were looked through.
    pub(super) held: Vec<Held>,
    /// How many manifests lack a signature that they should have.
    pub(super) failed: usize,
    pub(super) not_begun: usize,
    /// What was known of images without looking at them.
    pub(super) finished: Option<Finished>,
}

/// An image that is at home.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) subject: Subject,
    /// Its manifests, the image itself first; none where nobody has had to look.
    pub(super) parts: Vec<Descriptor>,
    /// Whether all its signatures are there: then it can be recorded.
    pub(super) completion: Completion,
}

/// Signs what is promoted.
pub(crate) async fn sign(
    run: &Run,
    writer: &Writer,
    promoted: Promoted,
    notary: &Notary,
    signers: Option<&Signers<'_>>,
) -> Signed {
    let (Some(signing), Some(signers)) = (&notary.signing, signers) else {
        run.tell(&Event::Skipped { phase: Phase::Sign, why: "nobody signs (--sign=false)" });
        return Signed { promoted, held: Vec::new(), failed: 0, not_begun: 0, finished: None };
    };
    run.phase(Phase::Sign, async {
        let plan = promoted.plan();
        let work = SignWork { run, writer, promoted: &promoted, plan, notary, signing, signers };
        let there = subjects(plan.edges(), &notary.production).into_iter();
        let mut there: Vec<Subject> = there.filter(|subject| promoted.holds(subject)).collect();
        let terms = signers.terms(signing.format, &notary.production);
        let finished = Finished::recall(run, plan.cache(), terms, plan.edges(), &there);
        // What was brought now was not there when it was seen to be finished.
        there.retain(|subject| promoted.has_brought(subject) || !finished.spares(plan.edges(), subject));
        let (held, failed, not_begun) = work.carry_out(there).await;
        Signed { held, failed, not_begun, finished: Some(finished), promoted }
    })
    .await
}

/// Sign at work.
struct SignWork<'a> {
    run: &'a Run,
    writer: &'a Writer,
    promoted: &'a Promoted,
    plan: &'a Plan,
    notary: &'a Notary,
    signing: &'a Signing,
    signers: &'a Signers<'a>,
}

/// A manifest at home.
type Key = (Id<Repository>, Digest);

impl SignWork<'_> {
    /// Gives the images that were looked through, how many manifests lack a signature, and how many were not begun.
    async fn carry_out(&self, subjects: Vec<Subject>) -> (Vec<Held>, usize, usize) {
        let wanted = subjects.len();
        let mut held = self.look_through(subjects).await;
        let units = self.units(&held);
        let all = units.len();
        self.run.tell(&Event::Work { units: "signatures", more: all });
        let signed: BTreeMap<Key, Completion> = stream::iter(units)
            .take_while(|_| std::future::ready(!self.run.is_stopping()))
            .map(async |((home, _), (source, part))| {
                let completion = self.sign(home, source, part).await;
                self.run.tell(&Event::Worked);
                ((home, part.digest), completion)
            })
            .buffer_unordered(self.signing.at_once)
            .collect()
            .await;
        let lacking = |completion: &Completion| *completion == Completion::Incomplete;
        let unread = held.iter().filter(|held| lacking(&held.completion)).count();
        let failed = signed.values().filter(|completion| lacking(completion)).count() + unread;
        let not_begun = (wanted - held.len()) + (all - signed.len());
        for Held { subject, parts, completion } in &mut held {
            let of_part = |part: &Descriptor| signed.get(&(subject.home, part.digest)).copied();
            let parts = parts.iter().map(|part| of_part(part).unwrap_or(Completion::Incomplete));
            *completion = parts.fold(*completion, Completion::and);
        }
        (held, failed, not_begun)
    }

    /// The manifests to sign, each with where it was promoted from: what several images have in common once.
    fn units<'b>(&self, held: &'b [Held]) -> BTreeMap<Key, (Id<Repository>, &'b Descriptor)> {
        let mut units = BTreeMap::new();
        for Held { subject, parts, .. } in held {
            let Some(first) = edges_of(self.plan.edges(), subject).next() else { continue };
            units.extend(parts.iter().map(|part| ((subject.home, part.digest), (first.source, part))));
        }
        units
    }

    /// Finds the manifests of images that are had by a tag. Others are not signed.
    async fn look_through(&self, subjects: Vec<Subject>) -> Vec<Held> {
        let edges = self.plan.edges();
        self.run.tell(&Event::Work { units: "images", more: subjects.len() });
        stream::iter(subjects)
            .take_while(|_| std::future::ready(!self.run.is_stopping()))
            .map(async |subject| {
                let is_tagged = edges_of(edges, &subject).any(|edge| edge.tag.is_some());
                let parts = match is_tagged {
                    true => self.promoted.outline(self.run, self.writer.reader(), &subject).await,
                    false => Ok(Vec::new()),
                };
                self.run.tell(&Event::Worked);
                let parts = match parts {
                    Ok(parts) => self.unless_withheld(&subject, parts).await,
                    Err(error) => Err(error.into()),
                };
                match parts {
                    Ok(parts) => Held { subject, completion: Completion::WasComplete, parts },
                    Err(error) => {
                        self.unsigned(subject.home, *edges.digest_name(subject.digest), &error);
                        Held { subject, completion: Completion::Incomplete, parts: Vec::new() }
                    }
                }
            })
            .buffered(WAITING)
            .collect()
            .await
    }

    /// The manifests to sign of an image, unless its policy requires what it lacks. What this run has promoted has passed, and
    /// what has our signature has passed before; but what somebody else has put there is not signed for being there.
    async fn unless_withheld(
        &self,
        subject: &Subject,
        parts: Vec<Descriptor>,
    ) -> Result<Vec<Descriptor>, Trouble> {
        let edges = self.plan.edges();
        let Some(first) = edges_of(edges, subject).next() else { return Ok(parts) };
        let policies = &self.promoted.policies;
        let policy = policies.of(edges.repository(first.source));
        let digest = *edges.digest_name(subject.digest);
        let is_free = policy.is_none_or(|policy| policy.mode() != Mode::Require) || parts.is_empty();
        if is_free || self.promoted.examined(first.source, &digest).is_some() {
            return Ok(parts);
        }
        let home = edges.repository(subject.home);
        let reference = self.notary.production.reference(home);
        let place = Place { home, reference: &reference, digest };
        let signature = Signature::new(&place, &self.signing.promoter.version)?;
        let lacks_layer = self.lacks_layer(subject.home, &place, &signature).await?.0.is_some();
        if !lacks_layer && !self.lacks_bundle(subject.home, &place).await? {
            return Ok(parts);
        }
        let reader = self.writer.reader();
        let examiner = Examiner { run: self.run, reader, notary: self.notary, policies };
        let examined = examiner.examine(self.plan, (first.source, subject.digest)).await?;
        match examined.unproven().or_else(|| examined.invalid()) {
            None => Ok(parts),
            Some(why) => Err(Trouble::Withheld(why)),
        }
    }

    /// Has one manifest signed.
    async fn sign(&self, home: Id<Repository>, source: Id<Repository>, part: &Descriptor) -> Completion {
        match self.complete(home, source, part).await {
            Ok(false) => Completion::WasComplete,
            Ok(true) => {
                self.run.tell(&Event::Signed(self.plan.edges().repository(home).at(part.digest)));
                Completion::Completed
            }
            Err(trouble) => {
                self.unsigned(home, part.digest, &trouble);
                Completion::Incomplete
            }
        }
    }

    fn unsigned(&self, home: Id<Repository>, digest: Digest, trouble: &Trouble) {
        let name = self.plan.edges().repository(home).at(digest);
        self.run.tell(&Event::Unsigned(name, trouble.into()));
    }

    /// Writes the signatures that a manifest lacks; whether there were any.
    async fn complete(
        &self,
        home: Id<Repository>,
        source: Id<Repository>,
        part: &Descriptor,
    ) -> Result<bool, Trouble> {
        let name = self.plan.edges().repository(home);
        let reference = self.notary.production.reference(name);
        let place = Place { home: name, reference: &reference, digest: part.digest };
        let signature = Signature::new(&place, &self.signing.promoter.version)?;
        let (layers, known) = self.lacks_layer(home, &place, &signature).await?;
        let lacks_bundle = self.lacks_bundle(home, &place).await?;
        if layers.is_none() && !lacks_bundle {
            return Ok(false);
        }
        // What staging has signed comes first, and ours last: with ours there, nothing is lacking any more.
        let staging = self.of_staging(source, part.digest).await?;
        self.carry_bundles(home, &place, &staging).await?;
        let mut written: Vec<NewLayer> = staging.iter().filter_map(layer).collect();
        if let Some(signer) = layers {
            written.push(signature.layer(signer).await?);
        }
        if !written.is_empty() {
            let tag = AttachedTag::new(part.digest, AttachmentKind::Signature)
                .ok_or(Trouble::Algorithm(part.digest))?
                .tag();
            // Written at once, so that the tag never holds staging's signatures alone where it is to hold ours.
            self.writer.append(name, &tag, &written, known).await?;
        }
        if lacks_bundle {
            let bundle = signature.bundle(self.signers.bundles).await?;
            let referrer = attached_bundle(part, bundle, SIGN_TYPE, Timestamp::now());
            self.writer.attach(name, &referrer, self.plan.fallback(home, &part.digest)).await?;
        }
        Ok(true)
    }

    /// Who is to sign a layer of a manifest's `.sig` tag, where that lacks ours and should have it; and what is known of the tag.
    async fn lacks_layer(
        &self,
        home: Id<Repository>,
        place: &Place<'_>,
        signature: &Signature,
    ) -> Result<(Option<&Signer>, Known), Trouble> {
        let known = self.plan.attached(home, &place.digest, AttachmentKind::Signature);
        let Some(signer) = self.signers.layers else { return Ok((None, known)) };
        if known == Known::Absent {
            return Ok((Some(signer), known));
        }
        match tagged(self.writer.reader(), place, signature, &self.signers.owner, signer).await? {
            Tagged::Ours => Ok((None, known)),
            Tagged::Others => Ok((Some(signer), known)),
            Tagged::Nothing => Ok((Some(signer), Known::Absent)),
        }
    }

    /// Whether a manifest lacks our signature as a bundle, and should have it.
    async fn lacks_bundle(&self, home: Id<Repository>, place: &Place<'_>) -> Result<bool, Trouble> {
        if !self.signing.format.has_bundle() {
            return Ok(false);
        }
        let there = self.carrier(home).referrers(place.digest).await?;
        let by = (&self.signers.owner, self.signers.bundles);
        Ok(bundle_of(self.writer.reader(), place, &there, SIGN_TYPE, by).await?.is_none())
    }

    /// The signatures that staging has given a manifest, of those whose word counts.
    async fn of_staging(
        &self,
        source: Id<Repository>,
        digest: Digest,
    ) -> Result<Vec<FoundSignature>, Trouble> {
        if let Some(examined) = self.promoted.examined(source, &digest) {
            return Ok(examined.accepted(self.notary).take(CARRIED_MAX).cloned().collect());
        }
        // What an earlier run has promoted is looked at now. Of parts of images the listing alone tells.
        let hints = self.plan.hints(source, &digest);
        let is_image = self.plan.edges().find_digest(&digest).is_some();
        if !is_image && hints.signatures == Known::Absent {
            return Ok(Vec::new());
        }
        let wanted = if is_image { Wanted::Signatures } else { Wanted::SignatureTag };
        let verification = &self.notary.verification;
        let share = verification.room.share();
        let means = verification.means(self.writer.reader(), &share);
        let repository = self.plan.edges().repository(source);
        let evidence = gather(means, repository, digest, hints, wanted).await?;
        let signatures = evidence.signatures.into_iter();
        let accepted = signatures.filter(|found| verification.accepts(&found.signatory));
        Ok(accepted.take(CARRIED_MAX).collect())
    }

    /// Brings home the bundles by which staging has signed a manifest.
    async fn carry_bundles(
        &self,
        home: Id<Repository>,
        place: &Place<'_>,
        staging: &[FoundSignature],
    ) -> Result<(), Trouble> {
        let bundle = |found: &'_ FoundSignature| match &found.origin {
            Origin::Referrer { repository, attachment } => Some((repository.clone(), attachment.clone())),
            Origin::Layer { .. } => None,
        };
        let bundles: Vec<_> = staging.iter().filter_map(bundle).collect();
        if bundles.is_empty() {
            return Ok(());
        }
        let carrier = self.carrier(home);
        let there = carrier.referrers(place.digest).await?;
        for (repository, attachment) in &bundles {
            carrier.bring(repository, attachment, place.digest, &there).await?;
        }
        Ok(())
    }

    fn carrier(&self, home: Id<Repository>) -> Carrier<'_> {
        Carrier { writer: self.writer, plan: self.plan, home }
    }
}

/// What staging has in a `.sig` tag.
fn layer(found: &FoundSignature) -> Option<NewLayer> {
    match &found.origin {
        Origin::Layer { layer, .. } => Some(layer.clone()),
        Origin::Referrer { .. } => None,
    }
}
