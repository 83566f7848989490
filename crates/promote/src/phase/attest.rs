//! Attest: promotion records are attached to what is promoted (specification 02, *Attest*).
//!
//! The record is written last: an image that has one has everything else that it should have, and a run that is cut short
//! leaves nothing that a later one would take for complete.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use oci::{Descriptor, Digest, Referrer, Repository, Writer};
use sigstore::{Owner, Signer, Statement};

use crate::audit::{PROMOTION_TYPE, SUMMARY_TYPE};
use crate::event::{Event, Phase};
use crate::evidence::{EvidenceError, Origin, is_about_content};
use crate::intern::Id;
use crate::notary::{Notary, Signing};
use crate::phase::carry::Carrier;
use crate::phase::examine::{Examined, Examiner};
use crate::phase::finished::Completion;
use crate::phase::plan::Plan;
use crate::phase::promote::Promoted;
use crate::phase::sign::{Held, Signed};
use crate::run::Run;
use crate::signing::{Input, Place, Record, Signers, Summary, Trouble, attached_bundle, bundle_of, sha256};
use crate::subject::Subject;

/// The end of a run that was confirmed.
#[derive(Debug)]
pub struct Attested {
    promoted: Promoted,
    unsigned: usize,
    unrecorded: usize,
    not_begun: usize,
}

impl Attested {
    /// What was promoted, and what was not.
    pub fn promoted(&self) -> &Promoted {
        &self.promoted
    }

    /// How many manifests lack a signature that they should have.
    pub fn unsigned(&self) -> usize {
        self.unsigned
    }

    /// How many images lack a promotion record, or what goes before it.
    pub fn unrecorded(&self) -> usize {
        self.unrecorded
    }

    /// How many manifests and images were not signed or recorded because the run was told to stop.
    pub fn not_begun(&self) -> usize {
        self.not_begun
    }
}

/// Attaches a record to what is promoted.
pub(crate) async fn attest(
    run: &Run,
    writer: &Writer,
    signed: Signed,
    notary: &Notary,
    signers: Option<&Signers<'_>>,
) -> Attested {
    let Signed { promoted, held, failed: unsigned, not_begun: not_signed, finished } = signed;
    let (Some(signing), Some(signers)) = (&notary.signing, signers) else {
        let why = "nobody signs (--sign=false), and records are signed";
        run.tell(&Event::Skipped { phase: Phase::Attest, why });
        return Attested { promoted, unsigned, unrecorded: 0, not_begun: not_signed };
    };
    run.phase(Phase::Attest, async {
        let plan = promoted.plan();
        let time = whole_second();
        let own = held.iter().map(|held| (held.subject.home, *plan.edges().digest_name(held.subject.digest)));
        let summarized = Mutex::new(own.collect());
        let work =
            AttestWork { run, writer, promoted: &promoted, plan, notary, signing, signers, summarized, time };
        let (seen, not_recorded) = work.carry_out(&held).await;
        let unrecorded = seen.iter().filter(|(_, seen)| *seen == Completion::Incomplete).count();
        if let (Some(finished), Some(cache)) = (finished, plan.cache()) {
            finished.keep(run, cache, plan.edges(), &seen);
        }
        Attested { unsigned, unrecorded, not_begun: not_signed + not_recorded, promoted }
    })
    .await
}

/// Now. Records tell seconds.
fn whole_second() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Attest at work.
struct AttestWork<'a> {
    run: &'a Run,
    writer: &'a Writer,
    promoted: &'a Promoted,
    plan: &'a Plan,
    notary: &'a Notary,
    signing: &'a Signing,
    signers: &'a Signers<'a>,
    /// Images, which get a summary of their own, and parts of images that somebody has begun to give one.
    summarized: Mutex<HashSet<(Id<Repository>, Digest)>>,
    time: Timestamp,
}

impl AttestWork<'_> {
    /// Gives what became of the images that were begun, and how many were not.
    async fn carry_out(&self, held: &[Held]) -> (Vec<(Subject, Completion)>, usize) {
        self.run.tell(&Event::Work { units: "records", more: held.len() });
        let seen: Vec<(Subject, Completion)> = stream::iter(held)
            .take_while(|_| std::future::ready(!self.run.is_stopping()))
            .map(async |held| {
                let completion = self.attest(held).await;
                self.run.tell(&Event::Worked);
                (held.subject, completion)
            })
            .buffer_unordered(self.signing.at_once)
            .collect()
            .await;
        let not_begun = held.len() - seen.len();
        (seen, not_begun)
    }

    /// Has one image recorded. What lacks a signature is not: it was said why, and the record is to be the last.
    async fn attest(&self, held: &Held) -> Completion {
        if held.completion == Completion::Incomplete {
            return Completion::Incomplete;
        }
        let edges = self.plan.edges();
        let name = edges.repository(held.subject.home).at(*edges.digest_name(held.subject.digest));
        match self.complete(held).await {
            Ok(false) => held.completion,
            Ok(true) => {
                self.run.tell(&Event::Recorded(name));
                Completion::Completed
            }
            Err(trouble) => {
                self.run.tell(&Event::Unrecorded(name, (&trouble).into()));
                Completion::Incomplete
            }
        }
    }

    /// Writes what an image lacks; whether it lacked anything.
    async fn complete(&self, held: &Held) -> Result<bool, Trouble> {
        let Some(first) = self.promoted.held(&held.subject).next() else { return Ok(false) };
        let home = self.plan.edges().repository(held.subject.home);
        let reference = self.notary.production.reference(home);
        let digest = *self.plan.edges().digest_name(held.subject.digest);
        let place = Place { home, reference: &reference, digest };
        let carrier = Carrier { writer: self.writer, plan: self.plan, home: held.subject.home };
        let there = carrier.referrers(digest).await?;
        let has_record = self.has(&place, &there, PROMOTION_TYPE, self.recorder()).await?;
        let lacks_summary = match self.summarizer() {
            None => false,
            Some(by) => !self.has(&place, &there, SUMMARY_TYPE, by).await?,
        };
        if has_record && !lacks_summary {
            return Ok(false);
        }
        let manifest = self.signing.promoter.manifest_name(self.plan.edges().file(first));
        let outline = self.outline(held).await?;
        let Some(root) = outline.first() else { return Ok(false) };
        let examined = self.examined(first.source, held.subject.digest).await?;
        let mut written = self.carry(&carrier, examined.as_deref(), &place, &there).await?;
        // Of an image that was promoted by its policy nobody says that it failed because staging has lost what proved it.
        let is_sound = examined.as_deref().is_none_or(|examined| !examined.judgement.blocks());
        if lacks_summary && is_sound {
            written = true;
            self.summarize(&carrier, examined.as_deref(), &place, &outline, &manifest).await?;
        }
        if !has_record {
            written = true;
            self.record(&held.subject, &place, root, manifest).await?;
        }
        Ok(written)
    }

    /// Whether an image has a bundle of a type by somebody, about its name.
    async fn has(
        &self,
        place: &Place<'_>,
        there: &[Referrer],
        predicate_type: &str,
        by: (&Owner, &Signer),
    ) -> Result<bool, Trouble> {
        Ok(bundle_of(self.writer.reader(), place, there, predicate_type, by).await?.is_some())
    }

    fn recorder(&self) -> (&Owner, &Signer) {
        (&self.signers.owner, self.signers.bundles)
    }

    fn summarizer(&self) -> Option<(&Owner, &Signer)> {
        self.signers.summaries.as_ref().map(|(owner, signer)| (owner, *signer))
    }

    /// What was found of an image of a source with a policy: by Provenance or, where an earlier run has promoted it, now.
    async fn examined(
        &self,
        source: Id<Repository>,
        digest: Id<Digest>,
    ) -> Result<Option<Cow<'_, Examined>>, Trouble> {
        let policies = &self.promoted.policies;
        if policies.of(self.plan.edges().repository(source)).is_none() {
            return Ok(None);
        }
        if let Some(examined) = self.promoted.examined.get(&(source, digest)) {
            return Ok(Some(Cow::Borrowed(examined)));
        }
        let reader = self.writer.reader();
        let examiner = Examiner { run: self.run, reader, notary: self.notary, policies };
        match examiner.examine(self.plan, (source, digest)).await {
            Ok(examined) => Ok(Some(Cow::Owned(examined))),
            // An earlier run has signed it, and so it had passed; what staging has lost since cannot be carried any more.
            Err(EvidenceError::Registry(error)) if is_about_content(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings home what a policy has accepted; whether there was anything that lacked.
    async fn carry(
        &self,
        carrier: &Carrier<'_>,
        examined: Option<&Examined>,
        place: &Place<'_>,
        there: &[Referrer],
    ) -> Result<bool, Trouble> {
        let mut written = false;
        for (about, found) in examined.into_iter().flat_map(Examined::counted) {
            match &found.origin {
                Origin::Layer { layer, .. } => written |= carrier.add(layer, about).await?,
                Origin::Referrer { repository, attachment } if about == place.digest => {
                    written |= carrier.bring(repository, attachment, about, there).await?;
                }
                Origin::Referrer { repository, attachment } => {
                    let there = carrier.referrers(about).await?;
                    written |= carrier.bring(repository, attachment, about, &there).await?;
                }
            }
        }
        Ok(written)
    }

    /// Says of an image and each of its parts what was found, the image last.
    async fn summarize(
        &self,
        carrier: &Carrier<'_>,
        examined: Option<&Examined>,
        place: &Place<'_>,
        outline: &[Descriptor],
        manifest: &str,
    ) -> Result<(), Trouble> {
        let Some((owner, signer)) = self.summarizer() else { return Ok(()) };
        let counted = examined.map(Examined::counted).unwrap_or_default();
        for part in outline.iter().rev() {
            let is_image = part.digest == place.digest;
            let place = Place { digest: part.digest, ..*place };
            if !is_image {
                let taken = !self.summarized().insert((carrier.home, part.digest));
                if taken {
                    continue;
                }
                let there = carrier.referrers(part.digest).await?;
                if self.has(&place, &there, SUMMARY_TYPE, (owner, signer)).await? {
                    continue;
                }
            }
            let about_it = counted.iter().filter(|(about, _)| is_image || *about == part.digest);
            let summary = Summary {
                place,
                judgement: examined.and_then(|examined| examined.judgement_of(&part.digest)),
                inputs: about_it
                    .map(|(_, found)| Input {
                        place: found.origin.to_string(),
                        digest: found.origin.digest(),
                    })
                    .collect(),
                manifest: manifest.to_owned(),
                time: self.time,
                promoter: &self.signing.promoter,
            };
            self.attach(carrier.home, &place, part, &summary.statement()?, signer).await?;
        }
        Ok(())
    }

    fn summarized(&self) -> MutexGuard<'_, HashSet<(Id<Repository>, Digest)>> {
        self.summarized.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs a statement and attaches it.
    async fn attach(
        &self,
        home: Id<Repository>,
        place: &Place<'_>,
        about: &Descriptor,
        statement: &Statement,
        signer: &Signer,
    ) -> Result<(), Trouble> {
        let bundle = signer.statement(statement, &sha256(place.digest)?).await?.bundle();
        let referrer = attached_bundle(about, bundle, &statement.predicate_type, self.time);
        let fallback = self.plan.fallback(home, &place.digest);
        self.writer.attach(place.home, &referrer, fallback).await?;
        Ok(())
    }

    /// The manifests of an image, its own first.
    async fn outline<'b>(&self, held: &'b Held) -> Result<Cow<'b, [Descriptor]>, oci::Error> {
        if !held.parts.is_empty() {
            return Ok(Cow::Borrowed(&held.parts));
        }
        self.promoted.outline(self.run, self.writer.reader(), &held.subject).await.map(Cow::Owned)
    }

    async fn record(
        &self,
        subject: &Subject,
        place: &Place<'_>,
        root: &Descriptor,
        manifest: String,
    ) -> Result<(), Trouble> {
        let edges = self.plan.edges();
        let Some(first) = self.promoted.held(subject).next() else { return Ok(()) };
        let tags = self.promoted.held(subject).filter_map(|edge| edges.tag(edge));
        let mut tags: Vec<String> = tags.map(ToString::to_string).collect();
        tags.sort_unstable();
        let record = Record {
            place: *place,
            source: edges.source(first).to_string(),
            tags,
            manifest,
            time: self.time,
            promoter: &self.signing.promoter,
        };
        self.attach(subject.home, place, root, &record.statement()?, self.signers.bundles).await
    }
}
