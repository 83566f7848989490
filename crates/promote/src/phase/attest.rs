//! Attest: attaches promotion records to promoted images (specification 02, *Attest*).
//!
//! The record is written last. An image that has a record has everything else that it should have, so an interrupted run leaves
//! nothing that a later run would mistake for complete.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use manifest::Id;
use manifest::ImageId;
use oci::{Descriptor, Digest, Repository, Writer};
use sigstore::{Signer, Statement};
use trust::attach::{AttachError, Input, ProductionImage, Record, Signers, Summary, attached_bundle, sha256};
use trust::evidence::Location;
use trust::gate::{Assessment, Passed};
use trust::{Signing, TrustConfig};

use crate::error::Error;
use crate::event::{Event, Phase, Run};
use crate::phase::carry::Carrier;
use crate::phase::completed::Status;
use crate::phase::destinations::Destinations;
use crate::phase::owed::{OwedImage, Part};
use crate::phase::plan::Plan;
use crate::phase::promote::{Confirmed, Promoted};
use crate::phase::sign::{Signed, SignedImage, skipped};
use crate::subject::{Subject, edges_of};

/// The result of a confirmed run.
#[derive(Debug)]
pub struct Attested {
    pub(super) promoted: Promoted,
    unsigned: usize,
    unrecorded: usize,
    not_begun: usize,
}

impl Attested {
    /// Returns the result of the Promote phase.
    pub fn promoted(&self) -> &Promoted {
        &self.promoted
    }

    /// Returns the number of manifests that lack a signature that they should have.
    pub fn unsigned(&self) -> usize {
        self.unsigned
    }

    /// Returns the number of images that lack a promotion record or something that precedes it.
    pub fn unrecorded(&self) -> usize {
        self.unrecorded
    }

    /// Returns the number of manifests and images that were not signed or recorded because the run was stopped.
    pub fn not_begun(&self) -> usize {
        self.not_begun
    }

    /// Combines the results of both rounds.
    pub(crate) fn with_second_round(self, second: Self) -> Self {
        Self {
            unsigned: self.unsigned + second.unsigned,
            unrecorded: self.unrecorded + second.unrecorded,
            not_begun: self.not_begun + second.not_begun,
            promoted: self.promoted.with_second_round(second.promoted),
        }
    }

    /// Returns the result of a run whose second round, with this number of images, was given up.
    pub(crate) fn without_second_round(mut self, run: &Run, error: Error, images: usize) -> Self {
        if matches!(error, Error::Interrupted) {
            self.promoted.leave(images);
        } else {
            self.promoted = self.promoted.given_up(run, error, images);
        }
        self
    }

    /// Takes the proofs of the images that have passed, for use in the second round.
    pub(crate) fn take_passed(&mut self) -> HashMap<ImageId, Passed> {
        std::mem::take(&mut self.promoted.gate).into_passed()
    }
}

/// Attaches a promotion record to each image that is promoted and signed.
pub(crate) async fn attest(
    run: &Run,
    confirmed: &Confirmed,
    signed: Signed,
    trust_config: &TrustConfig,
    signers: Option<&Signers<'_>>,
) -> Attested {
    let Signed { promoted, images, incomplete, failed: unsigned, not_begun } = signed;
    let (Some(signing), Some(signers)) = (&trust_config.signing, signers) else {
        run.emit(&Event::Skipped { phase: Phase::Attest, why: skipped(trust_config, Phase::Attest) });
        return Attested { promoted, unsigned, unrecorded: 0, not_begun };
    };
    run.phase(Phase::Attest, async {
        let plan = &promoted.plan;
        let own = images.iter().map(|image| image.owed(&promoted).subject);
        let own = own.map(|subject| (subject.canonical, *plan.edges().digest_name(subject.digest)));
        let summarized = Mutex::new(own.collect());
        let (writer, time, written) = (confirmed.writer(), whole_second(), Mutex::default());
        let owed = images.iter().map(|image| image.owed(&promoted)).filter(|owed| owed.record);
        let subjects = owed.map(|owed| owed.subject);
        let destinations = Destinations::new(&promoted, &trust_config.production, subjects);
        let work = AttestWork {
            run,
            writer,
            promoted: &promoted,
            plan,
            trust_config,
            signing,
            signers,
            destinations,
            summarized,
            written,
            time,
        };
        let (mut seen, not_recorded) = work.carry_out(&images).await;
        seen.extend(incomplete.into_iter().map(|subject| (subject, Status::Incomplete)));
        let unrecorded = seen.iter().filter(|(_, seen)| *seen == Status::Incomplete).count();
        seen.extend(plan.owed.complete.iter().map(|subject| (*subject, Status::WasComplete)));
        if let (Some(finished), Some(cache)) = (&plan.owed.finished, plan.cache()) {
            finished.clone().keep(run, cache, plan.edges(), &seen);
        }
        Attested { unsigned, unrecorded, not_begun: not_begun + not_recorded, promoted }
    })
    .await
}

/// Returns the current time in whole seconds, which is the resolution of records.
fn whole_second() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The state of the Attest phase.
struct AttestWork<'a> {
    run: &'a Run,
    writer: &'a Writer,
    promoted: &'a Promoted,
    plan: &'a Plan,
    trust_config: &'a TrustConfig,
    signing: &'a Signing,
    signers: &'a Signers<'a>,
    destinations: Destinations<'a>,
    /// The images, which get their own summary, and the parts whose summary has been started. Each manifest gets only one
    /// summary.
    summarized: Mutex<HashSet<(Id<Repository>, Digest)>>,
    /// The manifests whose summary was written in this run.
    written: Mutex<HashSet<(Id<Repository>, Digest)>>,
    time: Timestamp,
}

impl AttestWork<'_> {
    /// Returns the status of each image that was started, and the number of images that were not.
    async fn carry_out(&self, images: &[SignedImage]) -> (Vec<(Subject, Status)>, usize) {
        self.run.emit(&Event::Work { units: "records", more: images.len() });
        let mut attested = self.attest_each(images.iter()).await;
        let not_begun = images.len() - attested.len();
        let may_pass =
            |result: &Result<bool, AttachError>| result.as_ref().is_err_and(AttachError::is_temporary);
        let (again, mut ended): (Vec<_>, Vec<_>) =
            attested.drain(..).partition(|(_, result)| may_pass(result) && !self.run.is_stopping());
        if !again.is_empty() {
            tracing::info!(images = again.len(), "retrying records that failed");
            self.signers.try_again();
            let mut failed: Vec<_> = again;
            let second = self.attest_each(failed.iter().map(|(image, _)| *image)).await;
            // An image that was not tried again because the run is stopping keeps its first error.
            let was_tried = |image: &SignedImage| second.iter().any(|(tried, _)| std::ptr::eq(*tried, image));
            failed.retain(|(image, _)| !was_tried(image));
            ended.extend(failed.into_iter().chain(second));
        }
        for (image, result) in ended.iter().filter(|(_, result)| result.is_err()) {
            self.emit(image, result);
        }
        let seen = ended.iter().map(|(image, result)| {
            let completion = match result {
                Ok(false) => image.completion(),
                Ok(true) => Status::Completed,
                Err(_) => Status::Incomplete,
            };
            (image.owed(self.promoted).subject, completion)
        });
        (seen.collect(), not_begun)
    }

    async fn attest_each<'b>(
        &self,
        images: impl Iterator<Item = &'b SignedImage>,
    ) -> Vec<(&'b SignedImage, Result<bool, AttachError>)> {
        stream::iter(images)
            .take_while(|_| std::future::ready(!self.run.is_stopping()))
            .map(async |image| {
                let result = self.complete(image).await;
                if result.is_ok() {
                    self.emit(image, &result);
                }
                (image, result)
            })
            .buffer_unordered(self.signing.at_once)
            .collect()
            .await
    }

    /// Reports the result for an image.
    fn emit(&self, image: &SignedImage, result: &Result<bool, AttachError>) {
        let subject = image.owed(self.promoted).subject;
        let edges = self.plan.edges();
        let name = edges.repository(subject.canonical).at(*edges.digest_name(subject.digest));
        self.run.emit(&Event::Worked);
        match result {
            Ok(false) => {}
            Ok(true) => self.run.emit(&Event::Recorded(name)),
            Err(error) => self.run.emit(&Event::Unrecorded(name, error.into())),
        }
    }

    /// Writes what an image lacks. Returns whether it lacked anything.
    async fn complete(&self, image: &SignedImage) -> Result<bool, AttachError> {
        let owed = image.owed(self.promoted);
        if !owed.record && !owed.summary && !owed.carried {
            return Ok(false);
        }
        let Some(first) = self.promoted.held(&owed.subject).next() else { return Ok(false) };
        let canonical = self.plan.edges().repository(owed.subject.canonical);
        let reference = self.trust_config.production.reference(canonical);
        let digest = *self.plan.edges().digest_name(owed.subject.digest);
        let place = ProductionImage { canonical, reference: &reference, digest };
        let manifest = self.signing.promoter.manifest_name(self.plan.edges().file(first));
        let mut written = owed.record || owed.summary;
        for source in &owed.sources {
            let passed = self.promoted.gate.passed(source);
            let passed = passed.map_err(|why| AttachError::NotPassed(why.to_owned()))?;
            written |= self.carry(owed, passed.assessment()).await?;
        }
        if owed.summary {
            self.summarize(owed, &place).await?;
        }
        if let (true, Some(root)) = (owed.record, owed.parts.first()) {
            self.record(&owed.subject, &place, &root.descriptor, manifest).await?;
        }
        Ok(written)
    }

    /// Copies the attestations that policies have accepted to the canonical repository. Returns whether any was missing there.
    async fn carry(&self, owed: &OwedImage, assessment: &Assessment) -> Result<bool, AttachError> {
        let mut written = false;
        let carrier = Carrier { writer: self.writer, plan: self.plan, canonical: owed.subject.canonical };
        for (about, found) in assessment.counted() {
            written |= match &found.location {
                Location::Layer { layer, .. } => carrier.add(layer, about).await?,
                Location::Referrer { repository, attachment } => {
                    let part = owed.parts.iter().find(|part| part.descriptor.digest == about);
                    let there = match part {
                        Some(part) => carrier.there(part).await?,
                        None => carrier.referrers(about).await?.into(),
                    };
                    carrier.bring(repository, attachment, about, &there).await?
                }
            };
        }
        Ok(written)
    }

    /// Attaches a verification summary to an image and each of its parts, the image last.
    async fn summarize(&self, owed: &OwedImage, place: &ProductionImage<'_>) -> Result<(), AttachError> {
        let Some((_, signer)) = self.signers.summarizer() else { return Ok(()) };
        let canonical = owed.subject.canonical;
        for part in owed.parts.iter().rev().filter(|part| part.summary) {
            let key = (canonical, part.descriptor.digest);
            let is_image = part.descriptor.digest == place.digest;
            // A part that is also an image gets the summary of that image. A summary from the first attempt is not written
            // again.
            let is_taken =
                if is_image { self.written().contains(&key) } else { !self.summarized().insert(key) };
            if is_taken {
                continue;
            }
            let place = ProductionImage { digest: part.descriptor.digest, ..*place };
            let statement = self.summary(owed, part, &place, is_image)?;
            match self.attach(canonical, &place, &part.descriptor, &statement, signer).await {
                Ok(()) => drop(self.written().insert(key)),
                Err(error) => {
                    if !is_image {
                        self.summarized().remove(&key);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Creates the verification summary of a manifest, with the worst judgement about it, the attestations that it was made by,
    /// and the policy.
    fn summary(
        &self,
        owed: &OwedImage,
        part: &Part,
        place: &ProductionImage<'_>,
        is_image: bool,
    ) -> Result<Statement, AttachError> {
        let gate = &self.promoted.gate;
        let canonical = owed.subject.canonical;
        let elsewhere =
            gate.judged_as(canonical, &place.digest).filter(|image| !owed.sources.contains(image));
        let judged = elsewhere.as_ref().map_or(&owed.sources[..], std::slice::from_ref);
        let found = judged.iter().filter_map(|image| gate.assessment(image)).flat_map(Assessment::counted);
        // A summary of an image names the evidence of its platforms too.
        let is_whole = is_image && elsewhere.is_none();
        let about_it = found.filter(|(about, _)| is_whole || *about == part.descriptor.digest);
        let inputs = about_it
            .map(|(_, found)| Input { place: found.location.to_string(), digest: found.location.digest() })
            .collect();
        let summary = Summary {
            place: *place,
            judgement: gate.judgement(canonical, &place.digest),
            inputs,
            policy: self.policy_file(owed, elsewhere),
            time: self.time,
            promoter: &self.signing.promoter,
        };
        summary.statement()
    }

    /// Returns the file that declares the policy of an image, as it is named in its repository. If there is no policy, returns
    /// the file that requests the image. The policy is that of the staging image `elsewhere`, if the verdict comes from there.
    fn policy_file(&self, owed: &OwedImage, elsewhere: Option<ImageId>) -> String {
        let edges = self.plan.edges();
        let own = || edges_of(edges, &owed.subject).flat_map(|edge| edges.sources(edge)).collect();
        let sources: Vec<Id<Repository>> = elsewhere.map_or_else(own, |(source, _)| vec![source]);
        let policies = &self.plan.policies;
        let declared = sources.into_iter().find_map(|source| policies.file_of(edges.repository(source)));
        let first = self.promoted.held(&owed.subject).next();
        let file = declared.or_else(|| first.map(|edge| edges.file(edge))).unwrap_or_default();
        self.signing.promoter.manifest_name(file)
    }

    fn written(&self) -> MutexGuard<'_, HashSet<(Id<Repository>, Digest)>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn summarized(&self) -> MutexGuard<'_, HashSet<(Id<Repository>, Digest)>> {
        self.summarized.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs a statement and attaches it.
    async fn attach(
        &self,
        canonical: Id<Repository>,
        place: &ProductionImage<'_>,
        about: &Descriptor,
        statement: &Statement,
        signer: &Signer,
    ) -> Result<(), AttachError> {
        let bundle = signer.statement(statement, &sha256(place.digest)?).await?.bundle();
        let referrer = attached_bundle(about, bundle, &statement.predicate_type, self.time);
        let fallback = self.plan.fallback(canonical, &place.digest);
        self.writer.attach(place.canonical, &referrer, fallback).await?;
        Ok(())
    }

    async fn record(
        &self,
        subject: &Subject,
        place: &ProductionImage<'_>,
        root: &Descriptor,
        manifest: String,
    ) -> Result<(), AttachError> {
        let edges = self.plan.edges();
        let Some(first) = self.promoted.held(subject).next() else { return Ok(()) };
        let tags = self.promoted.held(subject).filter_map(|edge| edges.tag(edge));
        let mut tags: Vec<String> = tags.map(ToString::to_string).collect();
        tags.sort_unstable();
        let record = Record {
            place: *place,
            source: edges.source(first).to_string(),
            tags,
            destinations: self.destinations.of(subject, place.reference),
            manifest,
            time: self.time,
            promoter: &self.signing.promoter,
        };
        self.attach(subject.canonical, place, root, &record.statement()?, self.signers.bundles).await
    }
}
