//! The judgement of an image.

use manifest::policy::Policy;

use oci::IMAGE_DEPTH_MAX;

use super::evaluate::evaluate;
use super::image::{Image, Platform, RejectedAttestation};
use super::judgement::{AcceptReason, Finding, Judgement, Outsider, Reason, Verdict, Violation};

/// Judges an image by the policy of its source. Without a policy, judges whether its attachments verify (specification 02,
/// *Phases / Provenance*).
pub fn judge(policy: Option<&Policy>, image: &Image) -> Judgement {
    judge_at(policy, image, 1)
}

fn judge_at(policy: Option<&Policy>, image: &Image, depth: usize) -> Judgement {
    let own = judge_alone(policy, image);
    match &image.platforms {
        None => own,
        // The provenance of the index itself takes precedence over that of its platforms.
        Some(_) if policy.is_some_and(|policy| image.has_provenance(policy)) => own,
        Some(platforms) => judge_platforms(policy, own, platforms, depth),
    }
}

/// Judges an image by the attachments of its own digest.
fn judge_alone(policy: Option<&Policy>, image: &Image) -> Judgement {
    let verified = image.verified.iter().map(|attestation| Finding {
        id: Some(attestation.id),
        place: attestation.place.clone(),
        predicate_type: Some(attestation.statement.predicate_type.clone()),
        signatory: Some(attestation.signatory.clone()),
        verdict: evaluate(policy, &image.digest, attestation),
    });
    let rejected = image.rejected.iter().map(|attestation| {
        unverified(attestation, Verdict::Refused(Reason::Unverified(attestation.reason.clone())))
    });
    let others = image.others.iter().map(|attestation| {
        unverified(attestation, Verdict::SomeoneElses(Outsider::Unknown(attestation.reason.clone())))
    });
    let findings: Vec<Finding> = verified.chain(rejected).chain(others).collect();
    let level = findings.iter().filter_map(level_of).max();
    let violations = match policy {
        Some(policy) => violations(policy, image, &findings),
        None => {
            let is_forged = findings.iter().any(|finding| matches!(finding.verdict, Verdict::Refused(_)));
            if is_forged { vec![Violation::Forged] } else { Vec::new() }
        }
    };
    let level = level.filter(|_| violations.is_empty());
    let mode = policy.map(Policy::mode);
    Judgement { digest: image.digest, mode, level, findings, violations, platforms: Vec::new() }
}

/// Creates a finding about an attestation whose signatory is unknown.
fn unverified(attestation: &RejectedAttestation, verdict: Verdict) -> Finding {
    let RejectedAttestation { predicate_type, place, .. } = attestation;
    let (place, predicate_type) = (place.clone(), predicate_type.clone());
    Finding { id: None, place, predicate_type, signatory: None, verdict }
}

/// Returns the level that an attestation proves.
fn level_of(finding: &Finding) -> Option<manifest::policy::BuildLevel> {
    match finding.verdict {
        Verdict::Accepted(AcceptReason::Provenance { level, .. }) => Some(level),
        _ => None,
    }
}

/// Returns the requirements that the image's own attestations do not meet.
fn violations(policy: &Policy, image: &Image, findings: &[Finding]) -> Vec<Violation> {
    let accepted = || findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Accepted(_)));
    let is_attested = |name: &str| accepted().any(|finding| finding.predicate_type.as_deref() == Some(name));
    let mut violations = Vec::new();
    if !findings.iter().any(|finding| level_of(finding).is_some()) {
        violations.push(if image.claims_provenance() {
            Violation::ProvenanceRefused
        } else {
            Violation::NoProvenance
        });
    }
    let missing = policy.predicate_types().iter().filter(|name| !is_attested(name.as_str()));
    violations.extend(missing.map(|name| Violation::NotAttested(name.to_string())));
    violations
}

/// Judges an index by its platforms. With a policy, this replaces the violations of the index itself. Without one, it adds to
/// them.
fn judge_platforms(policy: Option<&Policy>, own: Judgement, listed: &[Platform], depth: usize) -> Judgement {
    let mut violations = if policy.is_some() { Vec::new() } else { own.violations.clone() };
    if depth == IMAGE_DEPTH_MAX {
        violations.push(Violation::TooDeep);
        return Judgement { violations, ..own };
    }
    // Without a policy, platforms must only be free of forged attestations. This includes exempt entries.
    let asked = listed.iter().filter(|platform| policy.is_none() || !platform.is_exempt);
    let platforms: Vec<(Option<String>, Judgement)> =
        asked.map(|platform| (platform.name.clone(), judge_at(policy, &platform.image, depth + 1))).collect();
    let failed = platforms.iter().filter(|(_, judgement)| !judgement.is_satisfied()).count();
    if failed > 0 {
        violations.push(Violation::Platforms { failed, all: platforms.len() });
    } else if platforms.is_empty() && policy.is_some() {
        violations.push(Violation::NoPlatform);
    }
    let lowest = platforms.iter().map(|(_, judgement)| judgement.level).min().flatten();
    let level = lowest.filter(|_| violations.is_empty());
    Judgement { level, violations, platforms, ..own }
}
