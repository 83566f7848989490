//! What was found attested of an image.

use oci::Digest;
use sigstore::{Signatory, Statement};

use super::predicate::is_provenance;

/// What BuildKit calls the platform of the manifests in which an index carries attestations.
pub(crate) const NO_PLATFORM: &str = "unknown/unknown";

/// An attestation whose signature verifies.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedAttestation {
    /// Who has signed it.
    pub signatory: Signatory,
    /// What it says.
    pub statement: Statement,
    /// Where it stands, for a person.
    pub place: String,
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
    /// The attestations attached to this digest that do not.
    pub rejected: Vec<RejectedAttestation>,
    /// What an index lists, all of it; none for the manifest of an image.
    pub platforms: Option<Vec<Platform>>,
}

/// What an index lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// `os/architecture[/variant]`, where the index tells it.
    pub name: Option<String>,
    /// The image.
    pub image: Image,
}

impl Image {
    /// Whether build provenance is attached, whoever has signed it and whatever it is worth: then a policy judges an index by
    /// it and not by its platforms, whose attestations need not be read. What cannot be read may be provenance.
    pub fn has_provenance(&self) -> bool {
        let verified = self.verified.iter().map(|verified| Some(&verified.statement.predicate_type));
        let rejected = self.rejected.iter().map(|rejected| rejected.predicate_type.as_ref());
        verified.chain(rejected).any(|predicate_type| predicate_type.is_none_or(|name| is_provenance(name)))
    }
}

impl Platform {
    /// Whether it is an image that runs somewhere. What says nothing of its platform is taken for one.
    pub fn is_one(&self) -> bool {
        self.name.as_deref() != Some(NO_PLATFORM)
    }
}
