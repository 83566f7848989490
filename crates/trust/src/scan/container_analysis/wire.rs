//! Occurrences in JSON, as version v1 of the API has them. Version v1beta1, which Grafeas servers speak, has some members at other
//! places.

use serde::Deserialize;

use crate::scan::finding::{Finding, Fix};
use crate::scan::severity::Severity;

/// A page of occurrences.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) occurrences: Option<Vec<Occurrence>>,
    pub(super) next_page_token: Option<String>,
}

/// An occurrence: a vulnerability in an image, or the state of its scan.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Occurrence {
    resource_uri: Option<String>,
    /// In v1beta1.
    resource: Option<Resource>,
    note_name: Option<String>,
    vulnerability: Option<Vulnerability>,
    discovery: Option<Discovery>,
    /// In v1beta1.
    discovered: Option<Discovered>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    uri: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Discovered {
    discovered: Option<Discovery>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    analysis_status: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vulnerability {
    severity: Option<String>,
    effective_severity: Option<String>,
    package_issue: Option<Vec<PackageIssue>>,
    short_description: Option<String>,
    fix_available: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PackageIssue {
    affected_package: Option<String>,
    affected_version: Option<Version>,
    fixed_version: Option<Version>,
    fix_available: Option<bool>,
    effective_severity: Option<String>,
    /// In v1beta1.
    affected_location: Option<Place>,
    /// In v1beta1.
    fixed_location: Option<Place>,
}

#[derive(Debug, Deserialize)]
struct Place {
    package: Option<String>,
    version: Option<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    epoch: Option<i64>,
    name: Option<String>,
    revision: Option<String>,
    kind: Option<String>,
    full_name: Option<String>,
}

/// Returns why a scan has not finished, by the states of all analyses, or `None` if it has. All have to have succeeded: one that goes
/// on, or has failed, may be that of vulnerabilities.
pub(super) fn unfinished(states: &[String]) -> Option<String> {
    let is_finished = |state: &String| state == "FINISHED_SUCCESS" || state == "COMPLETE";
    if states.is_empty() {
        return Some("nothing tells that it was scanned (no discovery occurrence)".to_owned());
    }
    let state = states.iter().find(|state| !is_finished(state))?;
    Some(match state.as_str() {
        "PENDING" => "the scan has not begun yet".to_owned(),
        "SCANNING" => "the scan goes on".to_owned(),
        "FINISHED_FAILED" => "the scan has failed".to_owned(),
        "FINISHED_UNSUPPORTED" => "the scanner does not support it".to_owned(),
        other => format!("the state of the scan is {}", oci_types::text::shown(other, 60)),
    })
}

impl Occurrence {
    /// Returns the image that the occurrence is about.
    pub(super) fn resource(&self) -> Option<&str> {
        let beta = self.resource.as_ref().and_then(|resource| resource.uri.as_deref());
        self.resource_uri.as_deref().filter(|uri| !uri.is_empty()).or(beta)
    }

    /// Returns the state of an analysis, if the occurrence tells one.
    pub(super) fn analysis_status(&self) -> Option<&str> {
        let beta = || self.discovered.as_ref().and_then(|discovered| discovered.discovered.as_ref());
        let status = self.discovery.as_ref().or_else(beta)?.analysis_status.as_deref()?;
        // A discovery of something else, such as a bill of materials, has no state of an analysis.
        (status != "ANALYSIS_STATUS_UNSPECIFIED").then_some(status)
    }

    /// Returns the vulnerability as one finding for each package.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let Some(vulnerability) = &self.vulnerability else { return Vec::new() };
        let note = self.note_name.as_deref().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
        let description = vulnerability.short_description.as_deref().filter(|text| is_identifier(text));
        let id = if note.is_empty() { description.unwrap_or("unnamed vulnerability") } else { note };
        let aliases: Vec<String> =
            description.into_iter().filter(|alias| *alias != id).map(str::to_owned).collect();
        let issues = vulnerability.package_issue.as_deref().unwrap_or_default();
        let finding = |issue: &PackageIssue, fix: Fix| Finding {
            id: id.to_owned(),
            aliases: aliases.clone(),
            severity: vulnerability.severity_of(issue),
            package: issue.package().unwrap_or_default().to_owned(),
            installed: issue.installed().map(Version::text).unwrap_or_default(),
            purl: None,
            fix,
        };
        // The occurrence may tell of a fix that no package has.
        let is_fixed = vulnerability.fix_available == Some(true);
        let nowhere = if is_fixed && issues.iter().all(|issue| issue.fix() == Fix::None) {
            Fix::Unstated
        } else {
            Fix::None
        };
        if issues.is_empty() {
            return vec![finding(&PackageIssue::default(), nowhere)];
        }
        let fix = |issue: &PackageIssue| match issue.fix() {
            Fix::None => nowhere.clone(),
            fix => fix,
        };
        issues.iter().map(|issue| finding(issue, fix(issue))).collect()
    }
}

/// Whether a text may be the identifier of a vulnerability, and not a description.
fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && !text.contains(char::is_whitespace)
}

impl Vulnerability {
    /// Returns the effective severity of the vulnerability, or else its severity, or else that of the package.
    fn severity_of(&self, issue: &PackageIssue) -> Severity {
        let stated = [&self.effective_severity, &self.severity, &issue.effective_severity];
        let known = stated.into_iter().flatten().map(|text| Severity::of_words(text));
        known.into_iter().find(|severity| *severity != Severity::Unknown).unwrap_or_default()
    }
}

impl PackageIssue {
    fn package(&self) -> Option<&str> {
        let beta = || self.affected_location.as_ref()?.package.as_deref();
        self.affected_package.as_deref().or_else(beta)
    }

    fn installed(&self) -> Option<&Version> {
        let beta = || self.affected_location.as_ref()?.version.as_ref();
        self.affected_version.as_ref().or_else(beta)
    }

    fn fix(&self) -> Fix {
        let beta = || self.fixed_location.as_ref()?.version.as_ref();
        let fixed = self.fixed_version.as_ref().or_else(beta);
        // `MAXIMUM` is a version that does not exist: there is no fix.
        let version = fixed.filter(|version| version.kind.as_deref() == Some("NORMAL")).map(Version::text);
        match version.filter(|version| !version.is_empty()) {
            Some(version) => Fix::Available(version),
            None if self.fix_available == Some(true) => Fix::Unstated,
            None => Fix::None,
        }
    }
}

impl Version {
    fn text(&self) -> String {
        if let Some(full) = self.full_name.as_deref().filter(|full| !full.is_empty()) {
            return full.to_owned();
        }
        let epoch =
            self.epoch.filter(|epoch| *epoch != 0).map(|epoch| format!("{epoch}:")).unwrap_or_default();
        let revision = self.revision.as_deref().filter(|revision| !revision.is_empty());
        let revision = revision.map(|revision| format!("-{revision}")).unwrap_or_default();
        format!("{epoch}{}{revision}", self.name.as_deref().unwrap_or_default())
    }
}
