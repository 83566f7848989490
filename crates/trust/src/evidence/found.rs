//! What is found attached to an image.

use std::fmt;

use jiff::Timestamp;
use oci::{Attachment, Digest, Known, NewLayer, Repository, Tag};
use sigstore::{Rejection, Signatory, Statement, TrustError};

use crate::policy::AttestationId;

/// The predicate type of a statement that is a signature: that is how cosign signs images in bundles.
pub const SIGN_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The annotation of a referrer that tells the predicate type of the statement in its bundle.
pub const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// What a listing has already shown of the tags that may hold something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListedTags {
    /// Of `sha256-<hex>.sig`.
    pub signatures: Known,
    /// Of `sha256-<hex>.att`.
    pub attestations: Known,
    /// Of the fallback tag `sha256-<hex>`, which is of interest where there is no referrers API.
    pub referrers: Known,
}

/// Which of it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceKinds {
    /// Signatures and attestations.
    All,
    /// Attestations alone.
    Attestations,
    /// Signatures alone.
    Signatures,
    /// The `.sig` tag alone.
    SignatureTag,
}

/// What is attached to an image.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Signatures that verify.
    pub signatures: Vec<FoundSignature>,
    /// Attestations that verify.
    pub attestations: Vec<FoundAttestation>,
    /// What does not verify, or cannot be read: forged, malformed, or about something else.
    pub rejected: Vec<Rejected>,
    /// What someone else has attached, with a key that is not held or under an authority that is not trusted, so that it cannot
    /// be verified here. It proves nothing, and is not held against the image (specification 02, *Who is someone else*).
    pub others: Vec<Rejected>,
    /// What the registry lists and does not have: registries lag, and clean up. It counts as not attached.
    pub absent: Vec<Absent>,
}

/// A signature that verifies.
#[derive(Clone, Debug)]
pub struct FoundSignature {
    /// Who has signed.
    pub signatory: Signatory,
    /// When, as far as that is proven.
    pub signed_at: Option<Timestamp>,
    /// What the signer calls the image; none: nothing.
    pub reference: Option<String>,
    /// Where it stands.
    pub location: Location,
}

/// An attestation that verifies.
#[derive(Clone, Debug)]
pub struct FoundAttestation {
    /// Who has signed it.
    pub signatory: Signatory,
    /// When, as far as that is proven.
    pub signed_at: Option<Timestamp>,
    /// What it says.
    pub statement: Statement,
    /// Where it stands.
    pub location: Location,
}

/// Something attached that does not verify.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What it claims to be.
    pub claim: Claim,
    /// What is wrong with it, for a person.
    pub reason: String,
    /// Where it stands, for a person.
    pub place: String,
}

/// Something attached that the registry lists and does not have.
#[derive(Clone, Debug)]
pub struct Absent {
    /// What it claims to be.
    pub claim: Claim,
    /// Where it should stand, for a person.
    pub place: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// What something claims to be before it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A signature.
    Signature,
    /// An attestation, of this type where it could be read.
    Attestation(Option<String>),
}

/// Where something stands: enough to carry it elsewhere, and nothing beside it.
#[derive(Clone, Debug)]
pub enum Location {
    /// A layer of the manifest under a tag.
    Layer {
        /// The repository.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// Which of its layers, from 0.
        index: usize,
        /// The layer, with its content.
        layer: NewLayer,
    },
    /// A manifest that refers to the image.
    Referrer {
        /// The repository.
        repository: Repository,
        /// The manifest.
        attachment: Box<Attachment>,
    },
}

impl Location {
    /// Which of all that is attached to an image it is.
    pub fn id(&self) -> AttestationId {
        let layer = match self {
            Self::Layer { index, .. } => Some(*index),
            Self::Referrer { .. } => None,
        };
        AttestationId { digest: self.digest(), layer }
    }

    /// The digest of what was signed or attested, as it is stored: of the layer, or of the manifest.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Layer { layer, .. } => Digest::of(&layer.content),
            Self::Referrer { attachment, .. } => attachment.manifest.digest(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer { repository, tag, index, .. } => {
                write!(f, "{repository}:{tag}, layer {}", index + 1)
            }
            Self::Referrer { repository, .. } => write!(f, "{repository}@{}", self.digest()),
        }
    }
}

/// Why it cannot be found out what is attached to an image.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The registry does not answer.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// Something is attached, and nobody knows whom to trust.
    #[error("verifying what is attached: {0}")]
    Trust(#[from] TrustError),
}

/// Why something attached is not there to be verified.
#[derive(Clone, Debug)]
pub(super) enum Unusable {
    /// The registry lists it and does not have it.
    Absent(Absent),
    /// It is not what it should be.
    Rejected(Rejected),
}

impl Evidence {
    /// Adds what is attached elsewhere to the same image.
    pub fn extend(&mut self, other: Self) {
        let Self { signatures, attestations, rejected, others, absent } = other;
        self.signatures.extend(signatures);
        self.attestations.extend(attestations);
        self.rejected.extend(rejected);
        self.others.extend(others);
        self.absent.extend(absent);
    }

    /// Takes note of something that is not there to be verified.
    pub(super) fn note(&mut self, unusable: Unusable) {
        match unusable {
            Unusable::Absent(absent) => self.absent.push(absent),
            Unusable::Rejected(rejected) => self.rejected.push(rejected),
        }
    }

    /// Takes note of something that was read and does not verify.
    pub(super) fn refuse(&mut self, why: &Rejection, claim: Claim, place: &str) {
        let rejected = Rejected { claim, reason: why.to_string(), place: place.to_owned() };
        if why.is_someone_elses() { self.others.push(rejected) } else { self.rejected.push(rejected) }
    }

    /// Whether anything is attached that claims to be a signature.
    pub fn claims_signatures(&self) -> bool {
        !self.signatures.is_empty() || self.rejected.iter().any(|rejected| rejected.claim == Claim::Signature)
    }
}
