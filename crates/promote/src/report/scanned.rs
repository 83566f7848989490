//! The part of reports about vulnerabilities.

use serde::Serialize;
use trust::scan::{Finding, FindingStatus, Fix, JudgedFinding, PartVerdict, Vulnerabilities};

use crate::event::ScannedImage;

/// The numbers of scanned images and of their vulnerabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanTotals {
    /// Images that were scanned or should have been.
    pub images: usize,
    /// Images that do not pass.
    pub refused: usize,
    /// Images with a part without a finished scan.
    pub unscanned: usize,
    /// Images of which a scanner or a registry could not tell what it knows.
    pub failed: usize,
    /// Findings that count.
    pub violations: usize,
    /// Findings that rules ignore.
    pub ignored: usize,
    /// Findings that VEX statements take out.
    pub vex: usize,
    /// Findings at or above the threshold without a fix, which do not count.
    pub unfixed: usize,
    /// Findings below the threshold.
    pub below_threshold: usize,
}

impl ScanTotals {
    pub(super) fn add(&mut self, scanned: &ScannedImage) {
        self.images += 1;
        self.refused += usize::from(!scanned.passes());
        let Ok(vulnerabilities) = &scanned.result else {
            self.failed += 1;
            return;
        };
        let parts = &vulnerabilities.parts;
        self.unscanned += usize::from(parts.iter().any(|part| !part.is_scanned()));
        for judged in parts.iter().flat_map(|part| &part.findings) {
            let count = match judged.status {
                FindingStatus::Violates => &mut self.violations,
                FindingStatus::Ignored { .. } => &mut self.ignored,
                FindingStatus::Vex { .. } => &mut self.vex,
                FindingStatus::Unfixed => &mut self.unfixed,
                FindingStatus::BelowThreshold => &mut self.below_threshold,
            };
            *count += 1;
        }
    }
}

/// A scanned image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReportedScan {
    image: String,
    passes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    parts: Vec<ReportedPart>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportedPart {
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    passes: bool,
    scanned_by: Vec<String>,
    unscanned: Vec<String>,
    findings: Vec<ReportedFinding>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportedFinding {
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    severity: String,
    package: String,
    installed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    /// The versions with a fix. Absent if there are none, or if the report does not state them.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    source: String,
}

impl From<&ScannedImage> for ReportedScan {
    fn from(scanned: &ScannedImage) -> Self {
        let (image, passes) = (scanned.image.to_string(), scanned.passes());
        match &scanned.result {
            Err(error) => {
                Self { image, passes, threshold: None, error: Some(error.clone()), parts: Vec::new() }
            }
            Ok(vulnerabilities) => Self {
                image,
                passes,
                threshold: Some(vulnerabilities.threshold.to_string()),
                error: None,
                parts: vulnerabilities.parts.iter().map(|part| reported(vulnerabilities, part)).collect(),
            },
        }
    }
}

fn reported(vulnerabilities: &Vulnerabilities, part: &PartVerdict) -> ReportedPart {
    ReportedPart {
        digest: part.digest.to_string(),
        platform: part.platform.clone(),
        passes: vulnerabilities.part_passes(part),
        scanned_by: part.scanned_by.clone(),
        unscanned: part.unscanned.clone(),
        findings: part.findings.iter().map(ReportedFinding::from).collect(),
    }
}

impl From<&JudgedFinding> for ReportedFinding {
    fn from(judged: &JudgedFinding) -> Self {
        let JudgedFinding { finding, source, status } = judged;
        let Finding { id, aliases, severity, package, installed, purl, fix } = finding;
        let (status, why) = match status {
            FindingStatus::Violates => ("violates", None),
            FindingStatus::BelowThreshold => ("below-threshold", None),
            FindingStatus::Unfixed => ("unfixed", None),
            FindingStatus::Ignored { .. } => ("ignored", Some(status.to_string())),
            FindingStatus::Vex { .. } => ("vex", Some(status.to_string())),
        };
        Self {
            id: id.clone(),
            aliases: aliases.clone(),
            severity: severity.to_string(),
            package: package.clone(),
            installed: installed.clone(),
            purl: purl.as_ref().map(ToString::to_string),
            fixed: if let Fix::Available(versions) = fix { Some(versions.clone()) } else { None },
            status,
            why,
            source: source.to_string(),
        }
    }
}
