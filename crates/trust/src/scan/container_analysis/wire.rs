//! The JSON of occurrences in version v1 of the API. Version v1beta1, which Grafeas servers implement, has some members in
//! other places.

use oci_types::text::shown;
use serde::Deserialize;
use serde_json::Value;

use super::analysis::{Analysis, is_of_vulnerabilities};
use crate::scan::finding::{Finding, Fix};
use crate::scan::severity::Severity;

/// The maximum length of an untrusted text in a message, in characters.
const SHOWN_MAX: usize = 200;

/// A page of occurrences.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) occurrences: Option<Vec<Occurrence>>,
    pub(super) next_page_token: Option<String>,
    /// The resources that could not be listed.
    unreachable: Option<Vec<Value>>,
    /// An error, which some servers return with a success status.
    error: Option<Value>,
}

impl Page {
    /// Returns why the page does not have all occurrences, or `None` if it has.
    pub(super) fn incomplete(&self) -> Option<String> {
        if let Some(error) = self.error.as_ref().filter(|error| !error.is_null()) {
            return Some(format!("it answered with an error: {}", shown(&error.to_string(), SHOWN_MAX)));
        }
        let unreachable = self.unreachable.iter().flatten().next()?;
        Some(format!(
            "the answer is not complete: {} is unreachable",
            shown(&unreachable.to_string(), SHOWN_MAX)
        ))
    }
}

/// An occurrence: a vulnerability in an image, or the state of its scan.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Occurrence {
    resource_uri: Option<String>,
    /// In v1beta1.
    resource: Option<Resource>,
    note_name: Option<String>,
    update_time: Option<String>,
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
    analysis_status_error: Option<Status>,
    /// Errors of parts of the analysis.
    analysis_error: Option<Vec<Status>>,
    last_scan_time: Option<String>,
    /// In v1beta1.
    last_analysis_time: Option<String>,
}

/// An error (`google.rpc.Status`). An empty one is not an error.
#[derive(Debug, Deserialize)]
struct Status {
    code: Option<i64>,
    message: Option<String>,
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

impl Occurrence {
    /// Returns the image that the occurrence is about.
    pub(super) fn resource(&self) -> Option<&str> {
        let beta = self.resource.as_ref().and_then(|resource| resource.uri.as_deref());
        self.resource_uri.as_deref().filter(|uri| !uri.is_empty()).or(beta)
    }

    /// Whether the occurrence is of a vulnerability.
    pub(super) fn is_vulnerability(&self) -> bool {
        self.vulnerability.is_some()
    }

    /// Returns the analysis in the occurrence, if any.
    pub(super) fn analysis(&self) -> Option<Analysis> {
        let beta = || self.discovered.as_ref().and_then(|discovered| discovered.discovered.as_ref());
        let discovery = self.discovery.as_ref().or_else(beta)?;
        // A discovery of something else, such as a bill of materials, has no state of an analysis.
        let state =
            discovery.analysis_status.as_deref().filter(|state| *state != "ANALYSIS_STATUS_UNSPECIFIED")?;
        let errors = discovery.analysis_status_error.iter().chain(discovery.analysis_error.iter().flatten());
        let times = [&discovery.last_scan_time, &discovery.last_analysis_time, &self.update_time];
        Some(Analysis {
            state: state.to_owned(),
            error: errors.filter_map(Status::text).next(),
            is_of_vulnerabilities: self.note_name.as_deref().is_some_and(is_of_vulnerabilities),
            time: times.into_iter().flatten().find(|time| !time.is_empty()).cloned(),
        })
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
        if issues.is_empty() {
            let says_none = vulnerability.fix_available == Some(false);
            return vec![finding(&PackageIssue::default(), Fix::of_versions("", says_none))];
        }
        // The occurrence may state a fix although none of its packages has one.
        let is_fixed = vulnerability.fix_available == Some(true);
        let is_unfixed = issues.iter().all(|issue| issue.fix() == Fix::None);
        let fallback = if is_fixed && is_unfixed { Fix::Unstated } else { Fix::None };
        let fix = |issue: &PackageIssue| match issue.fix() {
            Fix::None => fallback.clone(),
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
        // `MAXIMUM` is a version that does not exist, so no version fixes it. A version without a kind is still a version.
        let is_maximum = fixed.is_some_and(|version| version.is_of_kind("MAXIMUM"));
        let version =
            fixed.filter(|version| !is_maximum && !version.is_of_kind("MINIMUM")).map(Version::text);
        let says_none = self.fix_available == Some(false) || (is_maximum && self.fix_available.is_none());
        Fix::of_versions(&version.unwrap_or_default(), says_none)
    }
}

impl Status {
    fn text(&self) -> Option<String> {
        let message = self.message.as_deref().unwrap_or_default();
        let code = self.code.unwrap_or_default();
        (code != 0 || !message.is_empty()).then(|| format!("{} (code {code})", shown(message, SHOWN_MAX)))
    }
}

impl Version {
    fn is_of_kind(&self, kind: &str) -> bool {
        self.kind.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(kind))
    }

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
