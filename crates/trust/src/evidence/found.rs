//! The attachments found on an image.

use std::fmt;

use jiff::Timestamp;
use oci::{Attachment, Digest, Known, NewLayer, Repository, Tag};
use sigstore::{Rejection, Signatory, Statement, TrustError};

use crate::policy::AttestationId;

/// The predicate type of statements that are signatures. cosign signs images in bundles this way.
pub const SIGN_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The referrer annotation with the predicate type of the statement in its bundle.
pub const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// What a listing has already shown about the tags of an image's evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListedTags {
    /// The tag `sha256-<hex>.sig`.
    pub signatures: Known,
    /// The tag `sha256-<hex>.att`.
    pub attestations: Known,
    /// The fallback tag `sha256-<hex>`, which matters only without a referrers API.
    pub referrers: Known,
}

/// The kinds of evidence to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceKinds {
    /// Signatures and attestations.
    All,
    /// Attestations only.
    Attestations,
    /// Signatures only.
    Signatures,
    /// The `.sig` tag only.
    SignatureTag,
}

/// The attachments of an image.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Signatures that verify.
    pub signatures: Vec<FoundSignature>,
    /// Attestations that verify.
    pub attestations: Vec<FoundAttestation>,
    /// Attachments that do not verify or cannot be read: forged, malformed, or about another subject.
    pub rejected: Vec<Rejected>,
    /// Attachments by others. Their key is unknown or their authority is not trusted, so they cannot be verified. They prove
    /// nothing, and do not block the image (specification 02, *Who is someone else*).
    pub others: Vec<Rejected>,
    /// Attachments that the registry lists but does not have, because registries lag and clean up. They count as not
    /// attached.
    pub absent: Vec<Absent>,
    /// The first error that leaves open what is attached: after it, a missing signature or attestation is not proven.
    pub unproven: Option<oci::Error>,
}

/// A signature that verifies.
#[derive(Clone, Debug)]
pub struct FoundSignature {
    /// The signatory.
    pub signatory: Signatory,
    /// The time of the signature, if it is proven.
    pub signed_at: Option<Timestamp>,
    /// The name of the image in the signature. `None` if the signature has no name.
    pub reference: Option<String>,
    /// The location.
    pub location: Location,
}

/// An attestation that verifies.
#[derive(Clone, Debug)]
pub struct FoundAttestation {
    /// The signatory.
    pub signatory: Signatory,
    /// The time of the signature, if it is proven.
    pub signed_at: Option<Timestamp>,
    /// The content.
    pub statement: Statement,
    /// The location.
    pub location: Location,
}

/// An attachment that does not verify.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The kind that it claims to be.
    pub claim: Claim,
    /// The reason, for messages.
    pub reason: String,
    /// The location, for messages.
    pub place: String,
}

/// An attachment that the registry lists but does not have.
#[derive(Clone, Debug)]
pub struct Absent {
    /// The kind that it claims to be.
    pub claim: Claim,
    /// The expected location, for messages.
    pub place: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// The kind that an attachment claims to be before verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A signature.
    Signature,
    /// An attestation, with its predicate type if it could be read.
    Attestation(Option<String>),
}

/// The location of an attachment, with everything needed to copy it and nothing else.
#[derive(Clone, Debug)]
pub enum Location {
    /// A layer of the manifest under a tag.
    Layer {
        /// The repository.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// The index of the layer, from 0.
        index: usize,
        /// The layer with its content.
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
    /// Returns the identifier of the attachment among those of the image.
    pub fn id(&self) -> AttestationId {
        let layer = match self {
            Self::Layer { index, .. } => Some(*index),
            Self::Referrer { .. } => None,
        };
        AttestationId { digest: self.digest(), layer }
    }

    /// Returns the digest of the stored object: the layer or the manifest.
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

/// The reason why the attachments of an image could not be determined.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The registry does not answer.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// The image has attachments, but the trusted root is not available.
    #[error("verifying what is attached: {0}")]
    Trust(#[from] TrustError),
}

/// The reason why an attachment cannot be verified.
#[derive(Clone, Debug)]
pub(super) enum Unusable {
    /// The registry lists it but does not have it. The error is that of an answer that does not prove this.
    Absent(Absent, Option<oci::Error>),
    /// It is malformed or cannot be read. The error is that of an answer that does not prove what the registry stores.
    Rejected(Rejected, Option<oci::Error>),
}

impl Evidence {
    /// Adds attachments of the same image from another repository.
    pub fn extend(&mut self, other: Self) {
        let Self { signatures, attestations, rejected, others, absent, unproven } = other;
        self.signatures.extend(signatures);
        self.attestations.extend(attestations);
        self.rejected.extend(rejected);
        self.others.extend(others);
        self.absent.extend(absent);
        self.unproven = self.unproven.take().or(unproven);
    }

    /// Adds an attachment that cannot be verified.
    pub(super) fn note(&mut self, unusable: Unusable) {
        let unproven = match unusable {
            Unusable::Absent(absent, unproven) => {
                self.absent.push(absent);
                unproven
            }
            Unusable::Rejected(rejected, unproven) => {
                self.rejected.push(rejected);
                unproven
            }
        };
        self.unproven = self.unproven.take().or(unproven);
    }

    /// Adds an attachment that was read but does not verify.
    pub(super) fn refuse(&mut self, why: &Rejection, claim: Claim, place: &str) {
        let rejected = Rejected { claim, reason: why.to_string(), place: place.to_owned() };
        if why.is_someone_elses() { self.others.push(rejected) } else { self.rejected.push(rejected) }
    }

    /// Whether any attachment claims to be a signature.
    pub fn claims_signatures(&self) -> bool {
        !self.signatures.is_empty() || self.rejected.iter().any(|rejected| rejected.claim == Claim::Signature)
    }
}
