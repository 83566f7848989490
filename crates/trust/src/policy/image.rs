//! The attestations found on an image.

use manifest::policy::Policy;
use oci::Digest;
use sigstore::{Signatory, Statement};

use super::judgement::AttestationId;
use super::predicate::is_provenance;

/// An attestation whose signature verifies.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedAttestation {
    /// The signatory.
    pub signatory: Signatory,
    /// The content of the attestation.
    pub statement: Statement,
    /// Identifies the attestation among those of the image.
    pub id: AttestationId,
    /// The location, for messages.
    pub place: String,
}

impl VerifiedAttestation {
    /// Whether one of a policy's signers has signed the attestation. The holder of a key is never one of them.
    pub(super) fn is_trusted_by(&self, policy: &Policy) -> bool {
        self.signatory.identity().is_some_and(|(issuer, subject)| policy.trusts(issuer, subject))
    }
}

/// An attestation that does not verify, or that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedAttestation {
    /// The predicate type that it claims, if it could be read.
    pub predicate_type: Option<String>,
    /// The reason, for messages.
    pub reason: String,
    /// The location, for messages.
    pub place: String,
}

/// An image and its attachments.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// The attestations attached to this digest that verify.
    pub verified: Vec<VerifiedAttestation>,
    /// The attestations attached to this digest that do not verify: forged, malformed or about another subject.
    pub rejected: Vec<RejectedAttestation>,
    /// The attestations attached to this digest by others, whose key or authority is not trusted.
    pub others: Vec<RejectedAttestation>,
    /// All entries of an index. `None` for the manifest of an image.
    pub platforms: Option<Vec<Platform>>,
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// `os/architecture[/variant]`, if the index states it. The pusher of the index chooses it, so nothing may depend on it.
    pub name: Option<String>,
    /// Whether the entry is BuildKit's attestation manifest, which policies do not cover: see
    /// [`is_exempt`](super::is_exempt).
    pub is_exempt: bool,
    /// The image.
    pub image: Image,
}

impl Image {
    /// Whether the image has build provenance of its own, valid or not, that the policy must judge. This is provenance signed
    /// by one of the policy's signers, or provenance that was rejected so that its signer is unknown. A rejected attestation
    /// of unknown type may be provenance. If an index has such provenance, the policy judges the index by it and not by its
    /// platforms, whose attestations need not be read. Attestations by others do not count.
    pub fn has_provenance(&self, policy: &Policy) -> bool {
        let verified = self.verified.iter().filter(|verified| verified.is_trusted_by(policy));
        let verified = verified.map(|verified| Some(&verified.statement.predicate_type));
        let rejected = self.rejected.iter().map(|rejected| rejected.predicate_type.as_ref());
        verified.chain(rejected).any(|predicate_type| predicate_type.is_none_or(|name| is_provenance(name)))
    }

    /// Whether anything is attached that is or may be build provenance, by any signer.
    pub(super) fn claims_provenance(&self) -> bool {
        let verified = self.verified.iter().map(|verified| Some(&verified.statement.predicate_type));
        let others = self.rejected.iter().chain(&self.others).map(|other| other.predicate_type.as_ref());
        verified.chain(others).any(|predicate_type| predicate_type.is_none_or(|name| is_provenance(name)))
    }
}
