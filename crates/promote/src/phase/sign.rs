//! Sign: adds the signatures that promoted images and their parts lack according to the plan (specification 02, *Sign*).
//!
//! What is owed is determined from the registries, not from what this run has copied. A run therefore also signs what an
//! earlier run left unsigned, and writes nothing if everything is signed.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use manifest::Id;
use manifest::ImageId;
use oci::{AttachedTag, AttachmentKind, Digest, Known, NewLayer, Repository, Writer};
use trust::attach::{AttachError, ProductionImage, Signature, Signers, attached_bundle};
use trust::evidence::{EvidenceKinds, FoundSignature, Location, SIGN_TYPE, fetch};
use trust::gate::Passed;
use trust::{Signing, TrustConfig};

use crate::event::{Event, Phase, Run};
use crate::phase::carry::Carrier;
use crate::phase::completed::Status;
use crate::phase::owed::{OwedImage, Part};
use crate::phase::plan::Plan;
use crate::phase::promote::{Confirmed, Promoted};
use crate::subject::Subject;

/// The maximum number of staging signatures carried to one manifest. Our own signature follows them and has to stay among those
/// that readers examine.
const CARRIED_MAX: usize = 20;

/// The result of the Sign phase.
#[derive(Debug)]
pub struct Signed {
    pub(super) promoted: Promoted,
    /// The images that no longer lack a signature.
    pub(super) images: Vec<SignedImage>,
    /// The images that were not signed or have not passed.
    pub(super) incomplete: Vec<Subject>,
    /// The number of manifests that lack a signature that they should have, and of images that could not be read or have not
    /// passed.
    pub(super) failed: usize,
    pub(super) not_begun: usize,
}

/// An image that has passed and no longer lacks a signature. Only Sign creates this type, and Attest records no other images.
///
/// ```compile_fail,E0451
/// fn record_what_is_not_signed() -> promote::phase::SignedImage {
///     promote::phase::SignedImage { number: 0, was_signed: false }
/// }
/// ```
#[derive(Debug)]
pub struct SignedImage {
    /// The index of the image in `Owed::images`.
    number: usize,
    /// Whether this run has signed a manifest of the image.
    was_signed: bool,
}

impl SignedImage {
    /// Returns what the image lacks besides signatures.
    pub(super) fn owed<'a>(&self, promoted: &'a Promoted) -> &'a OwedImage {
        &promoted.plan.owed.images[self.number]
    }

    /// Returns the status of the image after Sign.
    pub(super) fn completion(&self) -> Status {
        if self.was_signed { Status::Completed } else { Status::WasComplete }
    }
}

/// Signs the promoted images.
pub(crate) async fn sign(
    run: &Run,
    confirmed: &Confirmed,
    promoted: Promoted,
    trust_config: &TrustConfig,
    signers: Option<&Signers<'_>>,
) -> Signed {
    let (Some(signing), Some(signers)) = (&trust_config.signing, signers) else {
        run.emit(&Event::Skipped { phase: Phase::Sign, why: skipped(trust_config, Phase::Sign) });
        let (images, incomplete) = (Vec::new(), Vec::new());
        return Signed { promoted, images, incomplete, failed: 0, not_begun: 0 };
    };
    run.phase(Phase::Sign, async {
        let (plan, writer) = (&promoted.plan, confirmed.writer());
        let tagged = Mutex::default();
        let work =
            SignWork { run, writer, promoted: &promoted, plan, trust_config, signing, signers, tagged };
        let Outcome { images, incomplete, failed, not_begun } = work.carry_out().await;
        Signed { images, incomplete, failed, not_begun, promoted }
    })
    .await
}

/// Returns the reason why a run skips Sign or Attest.
pub(super) fn skipped(trust_config: &TrustConfig, phase: Phase) -> &'static str {
    match (&trust_config.signing, phase) {
        (Some(_), Phase::Attest) => "no image lacks a promotion record",
        (Some(_), _) => "no image lacks a signature",
        (None, Phase::Attest) => "signing is off (--sign=false), and so are promotion records",
        (None, _) => "signing is off (--sign=false)",
    }
}

/// The result of signing.
#[derive(Default)]
struct Outcome {
    images: Vec<SignedImage>,
    incomplete: Vec<Subject>,
    failed: usize,
    not_begun: usize,
}

/// The state of the Sign phase.
struct SignWork<'a> {
    run: &'a Run,
    writer: &'a Writer,
    promoted: &'a Promoted,
    plan: &'a Plan,
    trust_config: &'a TrustConfig,
    signing: &'a Signing,
    signers: &'a Signers<'a>,
    tagged: Mutex<HashSet<Key>>,
}

/// A manifest in its canonical repository.
type Key = (Id<Repository>, Digest);

/// A manifest to sign.
struct Unit<'a> {
    canonical: Id<Repository>,
    part: Cow<'a, Part>,
    /// The staging images that the manifest is, or is part of, each with the proof that it and its parts have passed.
    passed: Vec<(ImageId, &'a Passed)>,
    /// Whether another bundle is attached to the manifest in this run.
    gets_bundles: bool,
}

impl<'a> Unit<'a> {
    /// Merges the same manifest as part of another image. What either of them lacks is owed.
    fn merge(&mut self, other: Self) {
        self.part.to_mut().merge(&other.part);
        self.passed.extend(other.passed);
        self.gets_bundles |= other.gets_bundles;
    }

    fn lacks_anything(&self) -> bool {
        self.part.layer.is_some() || self.part.lacks_bundle(self.gets_bundles)
    }
}

impl SignWork<'_> {
    async fn carry_out(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let attested = self.attested();
        let mut units: BTreeMap<Key, Unit<'_>> = BTreeMap::new();
        let mut admitted = Vec::new();
        for (number, image) in self.plan.owed.images.iter().enumerate() {
            if !self.promoted.holds(&image.subject) {
                continue;
            }
            if image.barred.is_some() {
                outcome.incomplete.push(image.subject);
                continue;
            }
            match self.passed(image) {
                Ok(passed) => {
                    // A manifest that several images share is signed once.
                    for (key, unit) in self.units(image, &passed, &attested) {
                        match units.entry(key) {
                            Entry::Occupied(mut entry) => entry.get_mut().merge(unit),
                            Entry::Vacant(entry) => drop(entry.insert(unit)),
                        }
                    }
                    admitted.push(number);
                }
                Err(why) => self.refuse(image, why, &mut outcome),
            }
        }
        units.retain(|_, unit| unit.lacks_anything());
        self.run.emit(&Event::Work { units: "signatures", more: units.len() });
        let signed = self.sign_all(&units).await;
        for (key, result) in &signed {
            if let Err(error) = result {
                self.unsigned(*key, error);
                outcome.failed += 1;
            }
        }
        // The errors were reported when the check of these images failed.
        outcome.failed += self.plan.owed.unread.len();
        outcome.incomplete.extend(self.plan.owed.unread.iter().map(|(subject, _)| *subject));
        outcome.not_begun = units.len() - signed.len();
        for number in admitted {
            let image = &self.plan.owed.images[number];
            let parts = || image.parts.iter().map(|part| (image.subject.canonical, part.descriptor.digest));
            let is_signed = |key: Key| !units.contains_key(&key) || matches!(signed.get(&key), Some(Ok(())));
            if parts().all(is_signed) {
                let was_signed = parts().any(|key| units.contains_key(&key));
                outcome.images.push(SignedImage { number, was_signed });
            } else {
                outcome.incomplete.push(image.subject);
            }
        }
        outcome
    }

    /// Returns the images that get a record or a summary in this run. Both are bundles.
    fn attested(&self) -> HashSet<Key> {
        let images = self.plan.owed.images.iter().filter(|image| image.record || image.summary);
        let key = |image: &OwedImage| {
            (image.subject.canonical, *self.plan.edges().digest_name(image.subject.digest))
        };
        images.map(key).collect()
    }

    /// Returns the proofs that an image has passed, one for each staging image that its tags come from.
    fn passed<'b>(&'b self, image: &'b OwedImage) -> Result<Vec<(ImageId, &'b Passed)>, &'b str> {
        if let Some(why) = &image.refused {
            return Err(why);
        }
        image.sources.iter().map(|source| Ok((*source, self.promoted.gate.passed(source)?))).collect()
    }

    /// Returns the manifests of an image.
    fn units<'b>(
        &self,
        image: &'b OwedImage,
        passed: &[(ImageId, &'b Passed)],
        attested: &HashSet<Key>,
    ) -> impl Iterator<Item = (Key, Unit<'b>)> {
        let canonical = image.subject.canonical;
        image.parts.iter().map(move |part| {
            let digest = part.descriptor.digest;
            let carried = passed.iter().any(|(_, passed)| gets_bundles(passed, &digest));
            let gets_bundles = carried || attested.contains(&(canonical, digest));
            let passed = passed.to_vec();
            let part = Cow::Borrowed(part);
            ((canonical, digest), Unit { canonical, part, passed, gets_bundles })
        })
    }

    /// Reports that an image has not passed.
    fn refuse(&self, image: &OwedImage, why: &str, outcome: &mut Outcome) {
        let edges = self.plan.edges();
        let Subject { canonical, digest } = image.subject;
        let name = edges.repository(canonical).at(*edges.digest_name(digest));
        let problem = (&AttachError::NotPassed(why.to_owned())).into();
        if image.signature {
            outcome.failed += 1;
            self.run.emit(&Event::Unsigned(name, problem));
        } else {
            self.run.emit(&Event::Unrecorded(name, problem));
        }
        outcome.incomplete.push(image.subject);
    }

    /// Signs manifests. Those that fail with a temporary error are tried once more after all others. Manifests that were not
    /// started because the run was stopped are left out of the result.
    async fn sign_all(&self, units: &BTreeMap<Key, Unit<'_>>) -> BTreeMap<Key, Result<(), AttachError>> {
        let mut signed = self.sign_each(units.iter()).await;
        let may_pass =
            |result: &Result<(), AttachError>| result.as_ref().is_err_and(AttachError::is_temporary);
        let again: Vec<Key> =
            signed.iter().filter(|(_, result)| may_pass(result)).map(|(key, _)| *key).collect();
        if !again.is_empty() && !self.run.is_stopping() {
            tracing::info!(manifests = again.len(), "retrying signatures that failed");
            self.signers.try_again();
            signed.extend(self.sign_each(again.iter().filter_map(|key| units.get_key_value(key))).await);
        }
        let failed = signed.values().filter(|result| result.is_err());
        failed.for_each(|_| self.run.emit(&Event::Worked));
        signed
    }

    async fn sign_each<'b>(
        &self,
        units: impl Iterator<Item = (&'b Key, &'b Unit<'b>)>,
    ) -> BTreeMap<Key, Result<(), AttachError>> {
        stream::iter(units)
            .take_while(|_| std::future::ready(!self.run.is_stopping()))
            .map(async |(key, unit)| {
                let result = self.sign(unit).await;
                if result.is_ok() {
                    let (canonical, digest) = *key;
                    self.run.emit(&Event::Signed(self.plan.edges().repository(canonical).at(digest)));
                    self.run.emit(&Event::Worked);
                }
                (*key, result)
            })
            .buffer_unordered(self.signing.at_once)
            .collect()
            .await
    }

    fn unsigned(&self, (canonical, digest): Key, error: &AttachError) {
        let name = self.plan.edges().repository(canonical).at(digest);
        self.run.emit(&Event::Unsigned(name, error.into()));
    }

    /// Writes the signatures that a manifest lacks.
    async fn sign(&self, unit: &Unit<'_>) -> Result<(), AttachError> {
        let Unit { canonical, ref part, gets_bundles, .. } = *unit;
        let name = self.plan.edges().repository(canonical);
        let reference = self.trust_config.production.reference(name);
        let digest = part.descriptor.digest;
        let place = ProductionImage { canonical: name, reference: &reference, digest };
        let signature = Signature::new(&place, &self.signing.promoter.version)?;
        // Staging's signatures are written first and ours last: once ours is there, none is missing.
        let staging = self.of_staging(unit).await?;
        let carries_bundles = self.carry_bundles(unit, &staging).await?;
        let mut layers: Vec<NewLayer> = staging.iter().filter_map(layer).collect();
        let is_tagged = self.tagged().contains(&(canonical, digest));
        let known = match (part.layer, self.signers.layers) {
            // The first attempt has written the tag. Another signature would only add a needless entry to the log.
            _ if is_tagged => Known::Unknown,
            (Some(known), Some(signer)) => {
                layers.push(signature.layer(signer).await?);
                known
            }
            // The tag already has our signature, and therefore those of staging.
            (None, Some(_)) => {
                layers.clear();
                Known::Unknown
            }
            (_, None) => self.plan.attached(canonical, &digest, AttachmentKind::Signature),
        };
        if !layers.is_empty() && !is_tagged {
            let tag = AttachedTag::new(digest, AttachmentKind::Signature)
                .ok_or(AttachError::Algorithm(digest))?
                .tag();
            // All layers are written at once, so that a tag that should have our signature never has only those of staging.
            self.writer.append(name, &tag, &layers, known).await?;
            self.tagged().insert((canonical, digest));
        }
        if part.lacks_bundle(carries_bundles || gets_bundles) {
            let bundle = signature.bundle(self.signers.bundles).await?;
            let referrer = attached_bundle(&part.descriptor, bundle, SIGN_TYPE, Timestamp::now());
            self.writer.attach(name, &referrer, self.plan.fallback(canonical, &digest)).await?;
        }
        Ok(())
    }

    /// Returns the manifests whose `.sig` tag this run has written. A second attempt does not write it again.
    fn tagged(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.tagged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the accepted signatures that a manifest has in staging.
    async fn of_staging(&self, unit: &Unit<'_>) -> Result<Vec<FoundSignature>, AttachError> {
        let digest = unit.part.descriptor.digest;
        let mut found = Vec::new();
        let mut asked = HashSet::new();
        for ((source, image), passed) in &unit.passed {
            // An image whose staging repository is unknown has nothing to carry.
            if !asked.insert(*source) || *source == unit.canonical {
                continue;
            }
            let is_image = *self.plan.edges().digest_name(*image) == digest;
            let as_image = self.plan.edges().find_digest(&digest).map(|digest| (*source, digest));
            let known = match as_image.map(|image| self.promoted.gate.passed(&image)) {
                Some(Ok(passed)) => Some(passed),
                _ => is_image.then_some(*passed),
            };
            match known {
                Some(passed) => {
                    found.extend(passed.assessment().accepted(&self.trust_config.verification).cloned());
                }
                None => found.extend(self.of_part(*source, digest).await?),
            }
        }
        found.truncate(CARRIED_MAX);
        Ok(found)
    }

    /// Returns the accepted signatures of a part of an image, read from the `.sig` tag unless the listing rules the tag out.
    async fn of_part(
        &self,
        source: Id<Repository>,
        digest: Digest,
    ) -> Result<Vec<FoundSignature>, AttachError> {
        let listed_tags = self.plan.listed_tags(source, &digest);
        if listed_tags.signatures == Known::Absent {
            return Ok(Vec::new());
        }
        let verification = &self.trust_config.verification;
        let share = verification.budget.share();
        let means = verification.client(self.writer.reader(), &share);
        let repository = self.plan.edges().repository(source);
        let evidence = fetch(means, repository, digest, listed_tags, EvidenceKinds::SignatureTag).await?;
        let mut signatures = evidence.signatures;
        signatures.retain(|found| verification.accepts(&found.signatory));
        Ok(signatures)
    }

    /// Copies the bundles that hold staging's signatures of a manifest to the canonical repository. Returns whether there are
    /// any.
    async fn carry_bundles(&self, unit: &Unit<'_>, staging: &[FoundSignature]) -> Result<bool, AttachError> {
        let bundle = |found: &'_ FoundSignature| match &found.location {
            Location::Referrer { repository, attachment } => Some((repository.clone(), attachment.clone())),
            Location::Layer { .. } => None,
        };
        let bundles: Vec<_> = staging.iter().filter_map(bundle).collect();
        if bundles.is_empty() {
            return Ok(false);
        }
        let digest = unit.part.descriptor.digest;
        let carrier = Carrier { writer: self.writer, plan: self.plan, canonical: unit.canonical };
        let there = carrier.there(&unit.part).await?;
        for (repository, attachment) in &bundles {
            carrier.bring(repository, attachment, digest, &there).await?;
        }
        Ok(true)
    }
}

/// Returns whether an attestation is carried to a manifest as a bundle.
fn gets_bundles(passed: &Passed, digest: &Digest) -> bool {
    let counted = passed.assessment().counted();
    counted
        .iter()
        .any(|(about, found)| about == digest && matches!(found.location, Location::Referrer { .. }))
}

/// Returns the layer of a signature that staging has in a `.sig` tag.
fn layer(found: &FoundSignature) -> Option<NewLayer> {
    match &found.location {
        Location::Layer { layer, .. } => Some(layer.clone()),
        Location::Referrer { .. } => None,
    }
}
