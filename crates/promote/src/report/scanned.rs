//! The part of reports about vulnerabilities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::scan::{Finding, FindingStatus, Fix, JudgedFinding, PartVerdict, Vulnerabilities};

use crate::event::ScannedImage;

/// The names of the statuses of findings.
const STATUSES: [&str; 5] = ["violates", "below-threshold", "unfixed", "ignored", "vex"];

/// The counts of scanned images and of their findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanTotals {
    /// Images that were scanned or should have been.
    pub images: usize,
    /// Images that do not pass.
    pub refused: usize,
    /// Images with a part without a finished scan.
    pub unscanned: usize,
    /// Images whose scan results could not be read from a source.
    pub failed: usize,
    /// Findings that violate the policy.
    pub violations: usize,
    /// Findings that rules ignore.
    pub ignored: usize,
    /// Findings that VEX statements exclude.
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

/// The vulnerabilities of one staging image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportedScan {
    /// The image in staging, by digest.
    pub image: String,
    /// Whether the image passes the vulnerability gate.
    pub passes: bool,
    /// The threshold, by name. Absent if the results of a source could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,
    /// Why the results of a source could not be read. Absent if all were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The image manifests of the image, by platform.
    pub parts: Vec<ReportedPart>,
}

/// One image manifest of a scanned image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportedPart {
    /// The digest of the manifest.
    pub digest: String,
    /// Its platform. Absent if no index states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Whether the part passes the vulnerability gate.
    pub passes: bool,
    /// The finished scans.
    pub scanned_by: Vec<String>,
    /// Why a scan has not finished or does not count.
    pub unscanned: Vec<String>,
    /// The vulnerabilities.
    pub findings: Vec<ReportedFinding>,
}

/// A vulnerability of a part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportedFinding {
    /// The vulnerability, such as `CVE-2026-0001`.
    pub id: String,
    /// Its other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its severity.
    pub severity: String,
    /// The affected package.
    pub package: String,
    /// The version of the package in the image.
    pub installed: String,
    /// The package URL (purl). Absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// The versions with a fix. Absent if there are none, or if the report does not state them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// Whether it violates the policy, and if not, why.
    #[schemars(extend("enum" = STATUSES))]
    pub status: String,
    /// The rule or the statement that decides the status. Absent unless the status is `ignored` or `vex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The source of the finding.
    pub source: String,
}

/// The counts of one entry of a report.
impl From<&ReportedScan> for ScanTotals {
    fn from(scan: &ReportedScan) -> Self {
        let findings = || scan.parts.iter().flat_map(|part| &part.findings);
        let count = |status: &str| findings().filter(|finding| finding.status == status).count();
        let is_scanned = |part: &ReportedPart| !part.scanned_by.is_empty();
        Self {
            images: 1,
            refused: usize::from(!scan.passes),
            unscanned: usize::from(!scan.parts.iter().all(is_scanned)),
            failed: usize::from(scan.error.is_some()),
            violations: count("violates"),
            ignored: count("ignored"),
            vex: count("vex"),
            unfixed: count("unfixed"),
            below_threshold: count("below-threshold"),
        }
    }
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
            status: status.to_owned(),
            why,
            source: source.to_string(),
        }
    }
}
