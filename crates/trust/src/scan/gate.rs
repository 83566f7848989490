//! The vulnerability gate: asks all scanners about every image manifest of an image, and evaluates their findings.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use oci::{Digest, Host, Repository};

use super::error::ScanError;
use super::evaluate::evaluate;
use super::part::Part;
use super::policy::ScanPolicy;
use super::scanner::{PartScan, ScanImage, Scanner};
use super::verdict::{PartVerdict, Vulnerabilities};
use crate::evidence::Evidence;

/// The maximum number of image manifests of one image that are scanned concurrently.
const AT_ONCE: usize = 8;

/// The vulnerability gate.
#[derive(Clone, Debug)]
pub struct ScanGate {
    policy: ScanPolicy,
    sources: Vec<ScanSource>,
}

/// A scanner, and the images that it is asked about.
#[derive(Clone, Debug)]
pub struct ScanSource {
    /// The registries of these images.
    pub hosts: ScannedHosts,
    /// The scanner.
    pub scanner: Arc<dyn Scanner>,
}

/// The registries whose images a scanner is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScannedHosts {
    /// All.
    All,
    /// Google's: `gcr.io`, `*.gcr.io` and `*.pkg.dev`.
    Google,
    /// All but Google's.
    NotGoogle,
}

impl ScannedHosts {
    fn has(self, host: &Host) -> bool {
        let name = host.name();
        let is_google = name == "gcr.io" || name.ends_with(".gcr.io") || name.ends_with(".pkg.dev");
        match self {
            Self::All => true,
            Self::Google => is_google,
            Self::NotGoogle => !is_google,
        }
    }
}

impl ScanGate {
    /// Creates the gate.
    pub fn new(policy: ScanPolicy, sources: Vec<ScanSource>) -> Self {
        Self { policy, sources }
    }

    /// Returns the policy.
    pub fn policy(&self) -> &ScanPolicy {
        &self.policy
    }

    /// Whether a scanner of this registry's images needs their evidence.
    pub fn needs_evidence(&self, host: &Host) -> bool {
        self.scanners(host).any(|scanner| scanner.needs_evidence())
    }

    fn scanners(&self, host: &Host) -> impl Iterator<Item = &Arc<dyn Scanner>> {
        let asked = self.sources.iter().filter(|source| source.hosts.has(host));
        asked.map(|source| &source.scanner)
    }

    /// Judges an image by its image manifests. All scanners are asked. If a scanner fails but findings of others count, the
    /// image is judged without the failed scanner, because its findings could not make the image pass. `evidence` is that of
    /// the manifests and of the indexes, if a scanner needs it.
    ///
    /// # Errors
    /// If a scanner fails, and no finding counts.
    pub async fn judge(
        &self,
        repository: &Repository,
        parts: &[Part],
        evidence: &BTreeMap<Digest, &Evidence>,
        now: Timestamp,
    ) -> Result<Vulnerabilities, ScanError> {
        let image = ScanImage { repository, evidence, now };
        let verdicts = stream::iter(parts).map(|part| self.judge_part(image, part)).buffered(AT_ONCE);
        let verdicts: Vec<(PartVerdict, Option<ScanError>)> = verdicts.collect().await;
        let (parts, errors): (Vec<PartVerdict>, Vec<Option<ScanError>>) = verdicts.into_iter().unzip();
        let is_refused = parts.iter().any(|part| part.violations().next().is_some());
        match errors.into_iter().flatten().next() {
            Some(error) if !is_refused => Err(error),
            _ => Ok(self.vulnerabilities(parts)),
        }
    }

    /// Judges a manifest by the scanners that succeed, and returns the first error of the others.
    async fn judge_part(&self, image: ScanImage<'_>, part: &Part) -> (PartVerdict, Option<ScanError>) {
        let (mut all, mut failed) = (PartScan::default(), None);
        for scanner in self.scanners(&image.repository.host) {
            let PartScan { finished, unscanned, findings, vex } = match scanner.scan(image, part).await {
                Ok(scan) => scan,
                Err(error) => {
                    all.unscanned.push(error.problem.clone());
                    failed.get_or_insert(error);
                    continue;
                }
            };
            all.finished.extend(finished);
            all.unscanned.extend(unscanned);
            all.findings.extend(findings);
            all.vex.extend(vex);
        }
        let verdict = PartVerdict {
            digest: part.digest,
            platform: part.platform.clone(),
            scanned_by: all.finished,
            unscanned: all.unscanned,
            findings: evaluate(&self.policy, image.now, part, all.findings, &all.vex),
        };
        (verdict, failed)
    }

    /// Returns the verdict about a manifest that cannot be scanned, because it cannot be read or has no image to scan.
    pub fn unscannable(&self, digest: Digest, why: String) -> Vulnerabilities {
        let (platform, scanned_by, findings) = (None, Vec::new(), Vec::new());
        self.vulnerabilities(vec![PartVerdict {
            digest,
            platform,
            scanned_by,
            unscanned: vec![why],
            findings,
        }])
    }

    fn vulnerabilities(&self, parts: Vec<PartVerdict>) -> Vulnerabilities {
        let ScanPolicy { threshold, allows_unscanned, .. } = self.policy;
        Vulnerabilities { threshold, allows_unscanned, parts }
    }
}
