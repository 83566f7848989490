//! What is found of an image, and what it amounts to. Every text in it is fit for a terminal and bounded.

use jiff::Timestamp;
use oci::Digest;
use serde::Serialize;
use sigstore::Signatory;

use super::text::shown;

/// What was found attached to an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audited {
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// `os/architecture[/variant]`, of an image that an index lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Whether one of its signatures counts. An index may be signed while its platforms are not.
    pub signed: bool,
    /// Why it is not signed, one reason each.
    pub objections: Vec<String>,
    /// Its signatures that verify, whoever has made them.
    pub signatures: Vec<Signature>,
    /// The records of its promotion.
    pub records: Vec<Record>,
    /// What others have found of it when they verified it.
    pub summaries: Vec<Summary>,
    /// Whatever else is attested of it.
    pub attestations: Vec<Attestation>,
    /// What is attached to it and proves nothing.
    pub refused: Vec<Refused>,
    /// The images that an index lists, without BuildKit's attestation manifests, which nobody signs.
    pub platforms: Vec<Audited>,
}

/// Who has signed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Signer {
    /// The holder of a certificate.
    Certificate {
        /// The identity: an e-mail address or a URI.
        identity: String,
        /// Who vouches for it.
        issuer: String,
    },
    /// The holder of the key that was given.
    Key {
        /// The SHA-256 digest of the public key's DER, in hexadecimal.
        key: String,
    },
}

impl From<&Signatory> for Signer {
    fn from(signatory: &Signatory) -> Self {
        match signatory {
            Signatory::Certificate { issuer, subject } => {
                Self::Certificate { identity: shown(subject), issuer: shown(issuer) }
            }
            Signatory::Key { fingerprint } => Self::Key { key: fingerprint.clone() },
        }
    }
}

impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificate { identity, issuer } => write!(f, "{identity} ({issuer})"),
            Self::Key { key } => write!(f, "the key {}", &key[..key.len().min(16)]),
        }
    }
}

/// A signature that verifies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// What it is worth.
    pub standing: SignatureStatus,
    /// Who has signed.
    pub signer: Signer,
    /// What the image is called in it; nothing where it is for the digest, whatever that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When it is proven to have been there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// Where it stands.
    pub place: String,
}

/// What a signature that verifies is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureStatus {
    /// By whom it should be, and for this image.
    Counts,
    /// By somebody else.
    OtherSigner,
    /// For the digest under another name: whoever signed it has not said that it belongs here.
    OtherReference,
}

/// A record of a promotion, as its signer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whether it is by whom it should be.
    pub accepted: bool,
    /// Who has signed it.
    pub signer: Signer,
    /// What the promotion was.
    #[serde(flatten)]
    pub promotion: Promotion,
    /// Where it stands.
    pub place: String,
}

/// What a record says of a promotion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Where the image came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// By which version of which promoter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// The manifest that wished for it: its path in its repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The repository of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit of that repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The job that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// A verification summary (SLSA *VSA*), as its signer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether it is by whom it should be.
    pub accepted: bool,
    /// Who has signed it.
    pub signer: Signer,
    /// `PASSED` or `FAILED`.
    pub result: String,
    /// The levels that were found.
    pub levels: Vec<String>,
    /// Who has verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Where it stands.
    pub place: String,
}

/// Something that is attested of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attestation {
    /// What kind of thing is said.
    pub predicate_type: String,
    /// Who has signed it.
    pub signer: Signer,
    /// Where it stands.
    pub place: String,
}

/// Something that is attached and proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// What it would be.
    pub kind: RefusedKind,
    /// The predicate type that it claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// Why it is not believed.
    pub reason: String,
    /// Where it stands.
    pub place: String,
}

/// What something that is refused would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedKind {
    /// A signature.
    Signature,
    /// An attestation, or something of which it cannot be read what it is.
    Attestation,
}

impl Audited {
    /// Whether it is signed, and so is every platform.
    pub fn is_wholly_signed(&self) -> bool {
        self.signed && self.platforms.iter().all(Self::is_wholly_signed)
    }

    /// How many platforms there are, at whatever depth, and how many of them are signed.
    pub fn platforms_signed(&self) -> (usize, usize) {
        self.platforms.iter().fold((0, 0), |(signed, all), platform| {
            let (deeper_signed, deeper) = platform.platforms_signed();
            (signed + usize::from(platform.signed) + deeper_signed, all + 1 + deeper)
        })
    }
}
