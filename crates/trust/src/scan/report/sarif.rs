//! SARIF 2.1.0 (OASIS), as Trivy, Grype and other scanners write it.

use std::collections::HashMap;

use serde::Deserialize;

use super::input::{Input, InvalidReport, Report, bounded, short, time};
use super::shape::Shape;
use crate::scan::finding::{Finding, Fix};
use crate::scan::part::About;
use crate::scan::purl::Purl;
use crate::scan::severity::Severity;

/// Scanners whose reports without results are of images without vulnerabilities. A report of another tool counts only if at
/// least one of its results is known to be a vulnerability.
const SCANNERS: [&str; 2] = ["trivy", "grype"];
/// The tags of Trivy's rules for results that are not vulnerabilities.
const OTHER_KINDS: [&str; 3] = ["secret", "misconfiguration", "license"];
/// The names of the lines with the fixed versions: that of Trivy, in the help and the message, and that of Grype.
const FIXES: [&str; 2] = ["Fixed Version", "Fix Version"];
const RULE: Shape = Shape {
    members: &["id", "help"],
    objects: &[("properties", Shape { members: &["tags", "security-severity"], objects: &[] })],
};
const DRIVER: Shape = Shape { members: &["name"], objects: &[("rules", RULE)] };
const RUN: Shape = Shape {
    members: &["invocations", "properties"],
    objects: &[
        ("tool", Shape { members: &[], objects: &[("driver", DRIVER)] }),
        ("results", Shape { members: &["ruleId", "ruleIndex", "message"], objects: &[] }),
    ],
};
const SHAPE: Shape = Shape { members: &["version"], objects: &[("runs", RUN)] };

#[derive(Deserialize)]
struct Sarif {
    version: Option<String>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    results: Option<Vec<SarifResult>>,
    invocations: Option<Vec<Invocation>>,
    properties: Option<RunProperties>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    name: String,
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    help: Option<Text>,
    properties: Option<RuleProperties>,
}

#[derive(Deserialize)]
struct RuleProperties {
    tags: Option<Vec<String>>,
    #[serde(rename = "security-severity")]
    security_severity: Option<String>,
    purls: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Text {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    message: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: Option<bool>,
    end_time_utc: Option<String>,
}

/// Trivy's properties of the image.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunProperties {
    #[serde(rename = "imageID")]
    image_id: Option<String>,
    image_name: Option<String>,
    repo_digests: Option<Vec<String>>,
}

/// Reads a SARIF report of one run.
pub(super) fn read(input: Input<'_>) -> Result<Report, InvalidReport> {
    let Sarif { version, runs } = input.read()?;
    SHAPE.check(input)?;
    if version.as_deref() != Some("2.1.0") {
        return Err(InvalidReport::wrong_kind("it is SARIF of another version than 2.1.0"));
    }
    let Ok([run]) = <[Run; 1]>::try_from(runs) else {
        return Err(InvalidReport::wrong_kind("it has several runs or none: a report is about one image"));
    };
    let invocations = run.invocations.unwrap_or_default();
    if invocations.iter().any(|invocation| invocation.execution_successful == Some(false)) {
        return Err(InvalidReport::wrong_kind("the scan has not succeeded (`executionSuccessful`)"));
    }
    let ended = invocations.iter().filter_map(|invocation| invocation.end_time_utc.as_deref()).next();
    let finished = time("endTimeUtc", ended)?;
    let Driver { name, rules } = run.tool.driver;
    let rules = rules.unwrap_or_default();
    let by_id: HashMap<&str, &Rule> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let results = run.results.unwrap_or_default();
    let is_empty = results.is_empty();
    let ruled = results.iter().map(|result| (result, rule_of(result, &rules, &by_id)));
    let found: Vec<(Finding, bool)> = ruled.filter_map(|(result, rule)| finding(result, rule)).collect();
    let is_scanner = SCANNERS.iter().any(|scanner| name.eq_ignore_ascii_case(scanner));
    let is_scan =
        if is_scanner { is_empty || !found.is_empty() } else { found.iter().any(|(_, is_known)| *is_known) };
    if !is_scan {
        return Err(InvalidReport::wrong_kind(format!(
            "it is SARIF of {} without any vulnerability, which may be about something else",
            short(&name)
        )));
    }
    let findings = bounded("vulnerabilities", found.into_iter().map(|(finding, _)| finding).collect())?;
    let about = about(run.properties.unwrap_or_default());
    Ok(Report { tool: name, about, finished, findings, unfinished: None })
}

/// Returns the rule of a result: by its index, or else by its name (SARIF 2.1.0, 3.27.5 and 3.27.6).
fn rule_of<'a>(result: &SarifResult, rules: &'a [Rule], by_id: &HashMap<&str, &'a Rule>) -> Option<&'a Rule> {
    let index = result.rule_index.and_then(|index| usize::try_from(index).ok());
    let indexed = index.and_then(|index| rules.get(index));
    let is_named = |rule: &&Rule| result.rule_id.as_ref().is_none_or(|id| *id == rule.id);
    indexed.filter(is_named).or_else(|| by_id.get(result.rule_id.as_deref()?).copied())
}

fn about(properties: RunProperties) -> About {
    let mut about =
        About { image_id: properties.image_id.and_then(|id| id.parse().ok()), ..About::default() };
    properties
        .repo_digests
        .into_iter()
        .flatten()
        .chain(properties.image_name)
        .for_each(|text| about.add(&text));
    about
}

/// Returns a result as a finding, and whether it is known to be a vulnerability. Returns `None` if it is known to be
/// something else. In doubt, a result counts.
///
/// Messages contain names and paths from the image, which may contain line breaks and therefore whole lines. For this reason
/// the rule determines the severity and the fix, and the message can only make the finding worse.
fn finding(result: &SarifResult, rule: Option<&Rule>) -> Option<(Finding, bool)> {
    let rule_id = result.rule_id.as_deref().or(rule.map(|rule| rule.id.as_str())).unwrap_or_default();
    let properties = rule.and_then(|rule| rule.properties.as_ref());
    let tags = properties.and_then(|properties| properties.tags.as_deref()).unwrap_or_default();
    let has_tag = |names: &[&str]| tags.iter().any(|tag| names.contains(&tag.as_str()));
    let help =
        rule.and_then(|rule| rule.help.as_ref()).and_then(|help| help.text.as_deref()).unwrap_or_default();
    let message = result.message.as_ref().and_then(|message| message.text.as_deref()).unwrap_or_default();
    // The message is about this package, but a rule has one help for all packages with the vulnerability.
    let stated = |name: &str| line(message, name).or_else(|| line(help, name));
    let named =
        identifier(rule_id).or_else(|| line(help, "Vulnerability").filter(|id| help_is_of(rule_id, id)));
    let is_known = named.is_some() || has_tag(&["vulnerability"]);
    if !is_known && has_tag(&OTHER_KINDS) {
        return None;
    }
    let id = named.unwrap_or(rule_id);
    let purls = properties.and_then(|properties| properties.purls.as_deref()).unwrap_or_default();
    let purl = if let [purl] = purls { Purl::parse(purl) } else { None };
    let whole = (id != rule_id).then(|| rule_id.to_owned());
    let found = Finding {
        id: if id.is_empty() { "unnamed vulnerability".to_owned() } else { id.to_owned() },
        aliases: whole.into_iter().collect(),
        severity: severity(properties, tags, help, message),
        package: stated("Package").unwrap_or_default().to_owned(),
        installed: stated("Installed Version").or_else(|| stated("Version")).unwrap_or_default().to_owned(),
        purl,
        fix: fix(help, message),
    };
    Some((found, is_known))
}

/// Returns the severity that the rule states, or that of the message if it is higher.
fn severity(properties: Option<&RuleProperties>, tags: &[String], help: &str, message: &str) -> Severity {
    let known = |severity: &Severity| *severity != Severity::Unknown;
    let highest = |text| values(text, "Severity").map(Severity::of_words).max().unwrap_or_default();
    let tagged = || tags.iter().map(|tag| Severity::of_words(tag)).filter(known).max();
    let score = properties.and_then(|properties| properties.security_severity.as_deref());
    let scored = || score.and_then(|score| score.parse().ok()).map(Severity::of_score);
    let ruled = Some(highest(help)).filter(known).or_else(tagged).or_else(scored).unwrap_or_default();
    if ruled == Severity::Unknown { ruled } else { ruled.max(highest(message)) }
}

/// Returns the fix. It is absent only if the help states this, and neither the help nor the message has a version.
fn fix(help: &str, message: &str) -> Fix {
    let ruled = || FIXES.iter().flat_map(|name| values(help, name));
    let all = ruled().chain(values(message, FIXES[0]));
    let versions = all.into_iter().find(|versions| !versions.is_empty()).unwrap_or_default();
    Fix::of_versions(versions, ruled().next().is_some())
}

/// Whether a rule's name begins with the identifier in its help, as the names of Grype's rules do.
fn help_is_of(rule_id: &str, id: &str) -> bool {
    rule_id.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Returns the value of the first line `Name: value` that has one.
fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    values(text, name).find(|value| !value.is_empty())
}

/// Returns the values of all lines `Name: value`. Trivy's line with the identifier has no colon.
fn values<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix(": ")
            .or_else(|| rest.strip_prefix(':'))
            .or_else(|| rest.strip_prefix(' '))
            .map(str::trim)
    })
}

/// Returns the identifier at the start of a rule's name, which may be `CVE-2024-1` or, by Grype, `CVE-2024-1-package`.
fn identifier(rule_id: &str) -> Option<&str> {
    let parts = if rule_id.starts_with("CVE-") {
        3
    } else if rule_id.starts_with("GHSA-") {
        4
    } else {
        return None;
    };
    let end = rule_id.match_indices('-').nth(parts - 1).map_or(rule_id.len(), |(end, _)| end);
    Some(&rule_id[..end])
}
