//! The evaluation of one attestation.

use manifest::policy::Policy;
use oci::Digest;
use sigstore::Statement;

use super::image::VerifiedAttestation;
use super::judgement::{AcceptReason, Outsider, Reason, Verdict};
use super::predicate::{Provenance, is_provenance};

/// Evaluates an attestation of a digest, with or without a policy.
pub(super) fn evaluate(
    policy: Option<&Policy>,
    digest: &Digest,
    attestation: &VerifiedAttestation,
) -> Verdict {
    let is_provenance = is_provenance(&attestation.statement.predicate_type);
    if policy.is_some_and(|policy| !attestation.is_trusted_by(policy)) {
        return Verdict::SomeoneElses(Outsider::Identity);
    }
    // The verifier of the signature has also checked the subject. The check is repeated here because it is cheap and no later
    // step repeats it.
    if !is_about(&attestation.statement, digest) {
        return Verdict::Refused(Reason::OtherSubject);
    }
    let Some(policy) = policy else {
        return if is_provenance { Verdict::Accepted(AcceptReason::Verified) } else { Verdict::Ignored };
    };
    if !is_provenance {
        return Verdict::Accepted(AcceptReason::Signer);
    }
    provenance(policy, attestation).map_or_else(Verdict::Refused, Verdict::Accepted)
}

/// Whether a statement is about a digest. Only SHA-256 subjects are supported.
fn is_about(statement: &Statement, digest: &Digest) -> bool {
    matches!(digest, Digest::Sha256(_)) && statement.is_about(&digest.hex())
}

/// Evaluates provenance by one of the policy's signers.
fn provenance(policy: &Policy, attestation: &VerifiedAttestation) -> Result<AcceptReason, Reason> {
    let predicate = Provenance::read(&attestation.statement).map_err(Reason::Unusable)?;
    let identity = attestation.signatory.identity();
    let claimed = identity.and_then(|(issuer, subject)| policy.claimed(issuer, subject, predicate.builder));
    let Some(builder) = claimed else {
        let is_known = policy.builders().iter().any(|builder| builder.is(predicate.builder));
        let id = predicate.builder.to_owned();
        return Err(if is_known { Reason::OthersBuilder(id) } else { Reason::OtherBuilder(id) });
    };
    let source = source(policy, &predicate.sources)?;
    match policy.level() {
        Some(asked) if builder.level < asked => Err(Reason::Level { reached: builder.level, asked }),
        _ => Ok(AcceptReason::Provenance {
            builder: predicate.builder.to_owned(),
            source,
            level: builder.level,
        }),
    }
}

/// Returns the source of a build. If there are several sources, the policy must allow all of them.
fn source(policy: &Policy, sources: &[&str]) -> Result<String, Reason> {
    let is_allowed = |uri: &&&str| policy.sources().iter().any(|source| source.matches(uri));
    if let Some(other) = sources.iter().find(|uri| !is_allowed(uri)) {
        return Err(Reason::OtherSource((*other).to_owned()));
    }
    sources.first().map(|uri| (*uri).to_owned()).ok_or(Reason::NoSource)
}
