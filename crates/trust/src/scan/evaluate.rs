//! The evaluation of findings: which of them count against an image. Pure; the time is an argument.

use std::sync::Arc;

use jiff::Timestamp;

use super::finding::Finding;
use super::part::Part;
use super::policy::ScanPolicy;
use super::sourced::Sourced;
use super::verdict::{FindingStatus, JudgedFinding};
use super::vex::{VexStatement, removing};

/// Evaluates the findings of one image manifest. `vex` are statements in addition to those of the policy. Findings that count
/// come first, and then the more severe ones.
pub fn evaluate(
    policy: &ScanPolicy,
    now: Timestamp,
    part: &Part,
    findings: Vec<Sourced<Finding>>,
    vex: &[Sourced<VexStatement>],
) -> Vec<JudgedFinding> {
    let judged = findings.into_iter().map(|Sourced { source, content: finding }| {
        let status = status(policy, now, part, &finding, vex);
        JudgedFinding { finding, source, status }
    });
    let mut judged: Vec<JudgedFinding> = judged.collect();
    judged.sort_by(|a, b| {
        let key = |judged: &JudgedFinding| {
            (judged.status != FindingStatus::Violates, std::cmp::Reverse(judged.finding.severity))
        };
        let name = |judged: &JudgedFinding| (judged.finding.id.clone(), judged.finding.package.clone());
        key(a).cmp(&key(b)).then_with(|| name(a).cmp(&name(b)))
    });
    judged
}

fn status(
    policy: &ScanPolicy,
    now: Timestamp,
    part: &Part,
    finding: &Finding,
    vex: &[Sourced<VexStatement>],
) -> FindingStatus {
    if !policy.threshold.is_reached_by(finding.severity) {
        return FindingStatus::BelowThreshold;
    }
    if !policy.counts_unfixed && !finding.is_fixable() {
        return FindingStatus::Unfixed;
    }
    let statements = policy.vex.iter().chain(vex).map(|stated| (&stated.source, &stated.content));
    if let Some((place, stated)) = removing(statements, finding, part, now) {
        let (place, why) = (Arc::clone(place), stated.why.clone());
        return FindingStatus::Vex { status: stated.status, place, why };
    }
    let rule = policy.ignore.iter().find(|rule| rule.is_about(finding) && !rule.is_expired(now));
    match rule {
        Some(rule) => FindingStatus::Ignored { reason: rule.reason().to_owned(), expires: rule.expires() },
        None => FindingStatus::Violates,
    }
}
