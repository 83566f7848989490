//! Scan: blocks images with vulnerabilities, or without a finished scan, before anything is written; and the mode that only scans
//! (`docs/design/scans.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manifest::{Edges, Id, ImageId};
use oci::{Digest, DigestReference, Reader, Repository};
use sigstore::TrustError;
use trust::TrustConfig;
use trust::evidence::{EvidenceError, ListedTags};
use trust::gate::{Assessment, Source, Staged};
use trust::scan::{PartVerdict, ScanError, ScanGate, Scans, Vulnerabilities, scan_image};

use crate::error::Error;
use crate::event::{Event, Phase, ScannedImage};
use crate::phase::blocked::blocked;
use crate::phase::hosts::by_host;
use crate::phase::provenance::Proven;
use crate::phase::setup::{Job, setup};
use crate::run::Run;

/// A plan whose images have passed the Scan phase, or that has no vulnerability policy.
#[derive(Debug)]
pub struct Scanned(pub(super) Proven);

/// Checks what scanners know of the images, which Provenance has asked for.
///
/// # Errors
/// If an image to promote does not pass, or if a scanner cannot tell what it knows of one. A violation takes precedence.
pub async fn scan(run: &Run, proven: Proven, trust_config: &TrustConfig) -> Result<Scanned, Error> {
    if trust_config.verification.scans.is_none() {
        return Ok(Scanned(proven));
    }
    run.phase(Phase::Scan, async {
        let is_asked = |image: &ImageId| proven.to_promote.contains(image);
        let failed = |found: &Assessment| matches!(found.scans(), Scans::Failed(_));
        let wrong = |image: &ImageId, found: &Assessment| {
            found.scans().refusal().filter(|_| is_asked(image) && !failed(found))
        };
        let refused = blocked(&proven.plan, &proven.assessed, wrong);
        if !refused.is_empty() {
            return Err(Error::Blocked(Phase::Scan, refused, Box::new(proven.plan)));
        }
        let untold = |image: &ImageId, found: &Assessment| {
            found.scans().refusal().filter(|_| is_asked(image) && failed(found))
        };
        let untold = blocked(&proven.plan, &proven.assessed, untold);
        if !untold.is_empty() {
            return Err(Error::ScansUnavailable(untold, Box::new(proven.plan)));
        }
        Ok(Scanned(proven))
    })
    .await
}

/// The result of scanning alone: each digest that manifests name, once.
#[derive(Debug)]
pub struct Survey {
    /// The images that were scanned, in order.
    pub images: Vec<Arc<ScannedImage>>,
    /// The images that could not be looked at, with the reason.
    pub failed: Vec<(DigestReference, String)>,
}

impl Survey {
    /// Returns the number of images that do not pass.
    pub fn refused(&self) -> usize {
        self.images.iter().filter(|image| !image.passes()).count()
    }
}

/// The outcome of scanning one digest.
enum Outcome {
    Scanned(Arc<ScannedImage>),
    Failed(DigestReference, String),
    NoTrust(TrustError),
}

/// Scans all images that the manifests of a job name, and does nothing else. No registry in production is asked. Where several
/// staging repositories may serve an image, the first of them that has a finished scan counts.
///
/// # Errors
/// If two promotions contradict each other, if trust cannot be established, or if the run is stopped.
pub async fn survey(
    run: &Run,
    reader: &Reader,
    job: Job,
    gate: &ScanGate,
    trust_config: &TrustConfig,
) -> Result<Survey, Error> {
    let edges = setup(run, job).await?.edges;
    run.phase(Phase::Scan, async {
        let mut images: BTreeMap<Id<Digest>, BTreeSet<Id<Repository>>> = BTreeMap::new();
        for edge in edges.all() {
            images.entry(edge.digest).or_default().extend(edges.sources(edge));
        }
        run.emit(&Event::Work { units: "images", more: images.len() });
        let surveyor = Surveyor { run, reader, edges: &edges, gate, trust_config };
        let first = |(_, sources): (Id<Digest>, &BTreeSet<Id<Repository>>)| {
            #[expect(clippy::expect_used, reason = "each digest was entered with its sources")]
            sources.first().copied().expect("an edge has a source")
        };
        let look = async |(digest, sources): (Id<Digest>, &BTreeSet<Id<Repository>>)| {
            let outcome = surveyor.look_at(digest, sources).await;
            run.emit(&Event::Worked);
            outcome
        };
        let items = images.iter().map(|(digest, sources)| (*digest, sources));
        let outcomes = by_host(run, &edges, items, first, look).await;
        if run.is_stopping() {
            return Err(Error::Interrupted);
        }
        let mut survey = Survey { images: Vec::new(), failed: Vec::new() };
        for outcome in outcomes.into_iter().flatten() {
            match outcome {
                Outcome::Scanned(image) => survey.images.push(image),
                Outcome::Failed(image, why) => survey.failed.push((image, why)),
                Outcome::NoTrust(error) => return Err(Error::NoTrust(Box::new(error))),
            }
        }
        survey.images.sort_by_cached_key(|scanned| scanned.image.to_string());
        survey.failed.sort_by_cached_key(|(image, _)| image.to_string());
        Ok(survey)
    })
    .await
}

struct Surveyor<'a> {
    run: &'a Run,
    reader: &'a Reader,
    edges: &'a Edges,
    gate: &'a ScanGate,
    trust_config: &'a TrustConfig,
}

impl Surveyor<'_> {
    /// Scans an image in the repositories that may serve it, until a scan has finished. Returns `None` if there are none.
    async fn look_at(&self, digest: Id<Digest>, sources: &BTreeSet<Id<Repository>>) -> Option<Outcome> {
        let mut found: Option<Arc<ScannedImage>> = None;
        let mut failed: Option<(DigestReference, String)> = None;
        for source in sources {
            let repository = self.edges.repository(*source);
            let image = repository.at(*self.edges.digest_name(digest));
            match self.scan(repository, image.digest).await {
                Ok(Ok(vulnerabilities)) => {
                    let is_told = is_told(&vulnerabilities);
                    let scanned = Arc::new(ScannedImage { image, result: Ok(vulnerabilities.into()) });
                    if is_told {
                        found = Some(scanned);
                        break;
                    }
                    found.get_or_insert(scanned);
                }
                Ok(Err(error)) => drop(failed.get_or_insert((image, error.to_string()))),
                Err(EvidenceError::Registry(error)) => drop(failed.get_or_insert((image, error.to_string()))),
                Err(EvidenceError::Trust(error)) => return Some(Outcome::NoTrust(error)),
            }
        }
        match (found, failed) {
            // Another repository may have a finished scan, which is not known.
            (Some(scanned), Some((image, why))) if !scanned.passes() && !has_violations(&scanned) => {
                Some(self.failure(image, why))
            }
            (Some(scanned), _) => {
                self.run.emit(&Event::Scanned(Arc::clone(&scanned)));
                Some(Outcome::Scanned(scanned))
            }
            (None, failed) => failed.map(|(image, why)| self.failure(image, why)),
        }
    }

    fn failure(&self, image: DigestReference, why: String) -> Outcome {
        let scanned = ScannedImage { image: image.clone(), result: Err(why.clone()) };
        self.run.emit(&Event::Scanned(Arc::new(scanned)));
        Outcome::Failed(image, why)
    }

    async fn scan(
        &self,
        repository: &Repository,
        digest: Digest,
    ) -> Result<Result<Vulnerabilities, ScanError>, EvidenceError> {
        let verification = &self.trust_config.verification;
        let share = verification.budget.share();
        let staged = Staged {
            client: verification.client(self.reader, &share),
            source: Source { repository, listed: Box::new(|_| ListedTags::default()) },
            others: Vec::new(),
            graph: None,
            warn: &|text| self.run.emit(&Event::Warned(text)),
        };
        let now = jiff::Timestamp::now();
        scan_image(self.gate, &staged, digest, None, &BTreeMap::new(), now).await
    }
}

/// Whether a result would not change with what is known elsewhere: every part is scanned, or a part violates.
fn is_told(vulnerabilities: &Vulnerabilities) -> bool {
    let parts = &vulnerabilities.parts;
    parts.iter().all(PartVerdict::is_scanned) || parts.iter().any(|part| part.violations().next().is_some())
}

fn has_violations(scanned: &ScannedImage) -> bool {
    let parts = scanned.result.iter().flat_map(|vulnerabilities| &vulnerabilities.parts);
    parts.into_iter().any(|part| part.violations().next().is_some())
}
