//! The result of scanning an image: each finding with its status, and whether the image passes.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use oci::{Digest, counted};

use super::error::ScanError;
use super::finding::{Finding, Fix};
use super::severity::Threshold;
use super::text::{shown, shown_reason};
use super::vex::VexStatus;

/// The maximum number of findings of one manifest in a message. The rest is counted; the report has all.
const TOLD_MAX: usize = 20;

/// The result of the vulnerability gate for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scans {
    /// There is no vulnerability policy.
    NotAsked,
    /// The image was judged.
    Judged(Arc<Vulnerabilities>),
    /// A scanner failed, and no finding of others counts.
    Failed(ScanError),
}

impl Scans {
    /// Converts the result of [`ScanGate::judge`](super::ScanGate::judge).
    pub(crate) fn of(judged: Result<Vulnerabilities, ScanError>) -> Self {
        judged.map_or_else(Self::Failed, |vulnerabilities| Self::Judged(vulnerabilities.into()))
    }

    /// Returns why the image does not pass, or `None` if it passes.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::NotAsked => None,
            Self::Judged(vulnerabilities) => vulnerabilities.refusal(),
            Self::Failed(error) => Some(error.to_string()),
        }
    }
}

/// The vulnerabilities of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vulnerabilities {
    /// The severity from which findings count.
    pub threshold: Threshold,
    /// Whether manifests without a finished scan pass.
    pub allows_unscanned: bool,
    /// The image manifests of the image. Never empty: an index that lists none has an entry for itself, which is not scanned.
    pub parts: Vec<PartVerdict>,
}

/// The vulnerabilities of one image manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartVerdict {
    /// The digest of the manifest.
    pub digest: Digest,
    /// `os/architecture[/variant]`, if the index states it.
    pub platform: Option<String>,
    /// The finished scans, each by its source.
    pub scanned_by: Vec<String>,
    /// For each source without a finished scan, the reason.
    pub unscanned: Vec<String>,
    /// The findings, including those of scans that have not finished.
    pub findings: Vec<JudgedFinding>,
}

/// A finding with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedFinding {
    /// The finding.
    pub finding: Finding,
    /// The scan that has found it.
    pub source: Arc<str>,
    /// The status.
    pub status: FindingStatus,
}

/// Whether a finding counts against the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindingStatus {
    /// It counts: the image does not pass.
    Violates,
    /// Its severity is below the threshold.
    BelowThreshold,
    /// No version of the package fixes it, and the policy does not count such findings.
    Unfixed,
    /// A rule of the policy ignores it.
    Ignored {
        /// The reason of the rule.
        reason: String,
        /// The end of the rule.
        expires: Timestamp,
    },
    /// A VEX statement removes it.
    Vex {
        /// The stated status.
        status: VexStatus,
        /// Where the statement is.
        place: Arc<str>,
        /// The explanation. May be empty.
        why: String,
    },
}

impl Vulnerabilities {
    /// Whether the image passes: every manifest does.
    pub fn passes(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| self.part_passes(part))
    }

    /// Whether one manifest passes.
    pub fn part_passes(&self, part: &PartVerdict) -> bool {
        (part.is_scanned() || self.allows_unscanned) && part.violations().next().is_none()
    }

    /// Adds the verdict about the same image in another repository. A manifest counts as scanned only if it is scanned in
    /// both, and a finding counts if it counts in one of them.
    pub fn add(&mut self, other: Self) {
        for part in other.parts {
            let Some(own) = self.parts.iter_mut().find(|own| own.digest == part.digest) else {
                self.parts.push(part);
                continue;
            };
            let new = |own: &[String], other: Vec<String>| -> Vec<String> {
                other.into_iter().filter(|text| !own.contains(text)).collect()
            };
            if own.is_scanned() && part.is_scanned() {
                own.scanned_by.extend(new(&own.scanned_by, part.scanned_by));
            } else {
                own.scanned_by.clear();
            }
            own.unscanned.extend(new(&own.unscanned, part.unscanned));
            let findings: Vec<JudgedFinding> =
                part.findings.into_iter().filter(|judged| !own.findings.contains(judged)).collect();
            own.findings.extend(findings);
            own.findings.sort_by_key(|judged| judged.status != FindingStatus::Violates);
        }
    }

    /// Returns why the image does not pass, or `None` if it passes. The text has several lines.
    pub fn refusal(&self) -> Option<String> {
        if self.passes() {
            return None;
        }
        let failed = self.parts.iter().filter(|part| !self.part_passes(part));
        let lines: Vec<String> = failed.flat_map(|part| self.lines(part)).collect();
        Some(lines.join("\n"))
    }

    fn lines(&self, part: &PartVerdict) -> Vec<String> {
        let platform = part.platform.as_deref().map(|name| format!(" ({})", shown(name))).unwrap_or_default();
        let violations: Vec<&JudgedFinding> = part.violations().collect();
        let unscanned = !part.is_scanned() && !self.allows_unscanned;
        let count = violations.len();
        let what = match (unscanned, count) {
            (true, 0) => "it is not scanned, which does not mean that it is clean".to_owned(),
            (true, _) => format!(
                "it is not scanned, and {} {} the threshold {}",
                counted(count, "known vulnerability"),
                if count == 1 { "reaches" } else { "reach" },
                self.threshold
            ),
            (false, 1) => format!("1 vulnerability reaches the threshold {}", self.threshold),
            (false, _) => {
                format!("{} reach the threshold {}", counted(count, "vulnerability"), self.threshold)
            }
        };
        // The image is named before this text; so is its only manifest.
        let mut lines = vec![match (self.parts.len(), &part.platform) {
            (1, None) => what,
            (1, Some(name)) => format!("{}: {what}", shown(name)),
            _ => format!("{}{platform}: {what}", part.digest),
        }];
        if unscanned {
            lines.extend(part.unscanned.iter().map(|why| format!("  {}", shown_reason(why))));
        }
        lines.extend(violations.iter().take(TOLD_MAX).map(|judged| format!("  {judged}")));
        if count > TOLD_MAX {
            lines.push(format!("  and {} more", count - TOLD_MAX));
        }
        lines
    }
}

impl PartVerdict {
    /// Whether at least one scan has finished.
    pub fn is_scanned(&self) -> bool {
        !self.scanned_by.is_empty()
    }

    /// Returns the findings that count.
    pub fn violations(&self) -> impl Iterator<Item = &JudgedFinding> {
        self.findings.iter().filter(|judged| judged.status == FindingStatus::Violates)
    }
}

/// Writes the finding in one line, with the details that a person needs to act.
impl fmt::Display for JudgedFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { id, severity, package, installed, fix, .. } = &self.finding;
        write!(f, "{} ({severity}) in {} {}", shown(id), shown(package), shown(installed))?;
        match fix {
            Fix::Available(versions) => write!(f, ", fixed in {}", shown(versions))?,
            Fix::None => f.write_str(", no fix")?,
            Fix::Unstated => f.write_str(", the report does not state a fix")?,
        }
        write!(f, ", by {}", shown(&self.source))
    }
}

impl fmt::Display for FindingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violates => f.write_str("violates"),
            Self::BelowThreshold => f.write_str("below threshold"),
            Self::Unfixed => f.write_str("no fix"),
            Self::Ignored { reason, expires } => {
                write!(f, "ignored until {}: {}", expires, shown(reason))
            }
            Self::Vex { status, place, why } => {
                write!(f, "VEX {status} by {}", shown(place))?;
                if why.is_empty() { Ok(()) } else { write!(f, ": {}", shown(why)) }
            }
        }
    }
}
