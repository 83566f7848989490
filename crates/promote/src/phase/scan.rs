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
use trust::scan::{ScanError, ScanGate, Scans, Vulnerabilities, scan_image};

use crate::error::Error;
use crate::event::{Event, Phase, Run, ScannedImage};
use crate::phase::blocked::blocked;
use crate::phase::hosts::by_host;
use crate::phase::provenance::Proven;
use crate::phase::setup::{Job, setup};

/// A plan whose images have passed the Scan phase, or that has no vulnerability policy.
#[derive(Debug)]
pub struct Scanned(pub(super) Proven);

/// Checks the results of scanners, which Provenance has requested.
///
/// # Errors
/// If an image to promote does not pass, or if a scanner cannot return its result for one. A violation takes precedence.
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
    /// The images that could not be scanned, with the reason.
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

/// Scans all images that the manifests of a job name, and does nothing else. Sends no request to production. An image passes if
/// it would pass the gate of a promotion from every staging repository that may serve it.
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
        let mut images: BTreeMap<Id<Digest>, Sources> = BTreeMap::new();
        for edge in edges.all() {
            let sources = images.entry(edge.digest).or_default();
            for source in edges.sources(edge) {
                let others = edges.sources(edge).filter(|other| *other != source);
                sources.entry(source).or_default().extend(others);
            }
        }
        run.emit(&Event::Work { units: "images", more: images.len() });
        let surveyor = Surveyor { run, reader, edges: &edges, gate, trust_config };
        let first = |(_, sources): (Id<Digest>, &Sources)| {
            #[expect(clippy::expect_used, reason = "each digest is inserted with a source")]
            sources.keys().next().copied().expect("an edge has a source")
        };
        let look = async |(digest, sources): (Id<Digest>, &Sources)| {
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

/// The staging repositories that may serve an image. The value is the set of other repositories that may serve the same edges:
/// attachments there count too.
type Sources = BTreeMap<Id<Repository>, BTreeSet<Id<Repository>>>;

struct Surveyor<'a> {
    run: &'a Run,
    reader: &'a Reader,
    edges: &'a Edges,
    gate: &'a ScanGate,
    trust_config: &'a TrustConfig,
}

impl Surveyor<'_> {
    /// Scans an image in all repositories that may serve it, because scanners identify images by repository. Returns `None` if
    /// there are none.
    async fn look_at(&self, digest: Id<Digest>, sources: &Sources) -> Option<Outcome> {
        let mut found: Option<(DigestReference, Vulnerabilities)> = None;
        let mut failed: Option<(DigestReference, String)> = None;
        for (source, others) in sources {
            let repository = self.edges.repository(*source);
            let image = repository.at(*self.edges.digest_name(digest));
            let why = match self.scan(repository, others, image.digest).await {
                Ok(Ok(vulnerabilities)) => {
                    found = Some(match found {
                        None => (image, vulnerabilities),
                        Some(first) => together(first, (image, vulnerabilities)),
                    });
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(EvidenceError::Registry(error)) => error.to_string(),
                Err(EvidenceError::Trust(error)) => return Some(Outcome::NoTrust(error)),
            };
            failed.get_or_insert((image, why));
        }
        match (found, failed) {
            // The repository that failed may have violations, too, so the result is incomplete.
            (Some((_, vulnerabilities)), Some((image, why))) if !has_violations(&vulnerabilities) => {
                Some(self.failure(image, why))
            }
            (Some((image, vulnerabilities)), _) => {
                let scanned = Arc::new(ScannedImage { image, result: Ok(vulnerabilities.into()) });
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
        others: &BTreeSet<Id<Repository>>,
        digest: Digest,
    ) -> Result<Result<Vulnerabilities, ScanError>, EvidenceError> {
        let verification = &self.trust_config.verification;
        let share = verification.budget.share();
        let staged = Staged {
            client: verification.client(self.reader, &share),
            source: unlisted(repository),
            others: others.iter().map(|other| unlisted(self.edges.repository(*other))).collect(),
            graph: None,
            warn: &|text| self.run.emit(&Event::Warned(text)),
        };
        let now = jiff::Timestamp::now();
        scan_image(self.gate, &staged, digest, None, &BTreeMap::new(), now).await
    }
}

/// Returns a source whose listing was not read.
fn unlisted(repository: &Repository) -> Source<'_> {
    Source { repository, listed: Box::new(|_| ListedTags::default()) }
}

/// Merges the results for an image in two repositories. The name is the one under which there are violations, or else the first.
fn together(
    first: (DigestReference, Vulnerabilities),
    second: (DigestReference, Vulnerabilities),
) -> (DigestReference, Vulnerabilities) {
    let is_second = has_violations(&second.1) && !has_violations(&first.1);
    let ((image, mut all), (_, other)) = if is_second { (second, first) } else { (first, second) };
    all.add(other);
    (image, all)
}

fn has_violations(vulnerabilities: &Vulnerabilities) -> bool {
    vulnerabilities.parts.iter().any(|part| part.violations().next().is_some())
}
