//! What was found attested of an image.

use manifest::policy::Policy;
use oci::Digest;
use sigstore::{Signatory, Statement};

use super::judgement::AttestationId;
use super::predicate::is_provenance;

/// An attestation whose signature verifies.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedAttestation {
    /// Who has signed it.
    pub signatory: Signatory,
    /// What it says.
    pub statement: Statement,
    /// Which attestation of the image it is.
    pub id: AttestationId,
    /// Where it stands, for a person.
    pub place: String,
}

impl VerifiedAttestation {
    /// Whether one of a policy's signers has signed it. The holder of a key is none.
    pub(super) fn is_trusted_by(&self, policy: &Policy) -> bool {
        self.signatory.identity().is_some_and(|(issuer, subject)| policy.trusts(issuer, subject))
    }
}

/// An attestation that does not verify, or cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedAttestation {
    /// The predicate type that it claims, where it could be read.
    pub predicate_type: Option<String>,
    /// What is wrong with it, for a person.
    pub reason: String,
    /// Where it stands, for a person.
    pub place: String,
}

/// An image, and what was found attached to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// The attestations attached to this digest that verify.
    pub verified: Vec<VerifiedAttestation>,
    /// The attestations attached to this digest that do not: forged, malformed or about something else.
    pub rejected: Vec<RejectedAttestation>,
    /// The attestations attached to this digest by someone else, whose key or authority is not known here.
    pub others: Vec<RejectedAttestation>,
    /// What an index lists, all of it; none for the manifest of an image.
    pub platforms: Option<Vec<Platform>>,
}

/// What an index lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// `os/architecture[/variant]`, where the index tells it. Whoever pushes the index writes it, so nothing depends on it.
    pub name: Option<String>,
    /// Whether it is BuildKit's attestation manifest, which no policy asks about, as [`is_exempt`](super::is_exempt) decides.
    pub is_exempt: bool,
    /// The image.
    pub image: Image,
}

impl Image {
    /// Whether build provenance is attached that speaks for the image, whatever it is worth: by one of a policy's signers, or
    /// such that it cannot be told. Then the policy judges an index by it and not by its platforms, whose attestations need not
    /// be read. What cannot be read may be provenance; what someone else says is not asked.
    pub fn has_provenance(&self, policy: &Policy) -> bool {
        let verified = self.verified.iter().filter(|verified| verified.is_trusted_by(policy));
        let verified = verified.map(|verified| Some(&verified.statement.predicate_type));
        let rejected = self.rejected.iter().map(|rejected| rejected.predicate_type.as_ref());
        verified.chain(rejected).any(|predicate_type| predicate_type.is_none_or(|name| is_provenance(name)))
    }

    /// Whether anything is attached that is or may be build provenance, whoever has signed it.
    pub(super) fn claims_provenance(&self) -> bool {
        let verified = self.verified.iter().map(|verified| Some(&verified.statement.predicate_type));
        let others = self.rejected.iter().chain(&self.others).map(|other| other.predicate_type.as_ref());
        verified.chain(others).any(|predicate_type| predicate_type.is_none_or(|name| is_provenance(name)))
    }
}
