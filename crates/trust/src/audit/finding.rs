//! The findings of an audit. All texts are bounded and have no control characters.

use jiff::Timestamp;
use oci::Digest;
use schemars::JsonSchema;
use serde::Serialize;
use sigstore::Signatory;

use super::text::shown;

/// The findings about an image.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audited {
    /// The digest of the manifest or index.
    #[schemars(with = "String", regex(pattern = Digest::PATTERN))]
    pub digest: Digest,
    /// The platform, as `os/architecture[/variant]`. Absent unless an index lists the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Whether one of the signatures counts. An index may be signed while its platforms are not.
    pub signed: bool,
    /// The reasons why the image is not signed.
    pub objections: Vec<String>,
    /// Why what is attached to the image could not be read. Then it is not known whether the image is signed, and `signed` is
    /// `false`. Absent unless another part of the same index is refused: otherwise the result is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexamined: Option<String>,
    /// The signatures that verify, by any signer.
    pub signatures: Vec<Signature>,
    /// The promotion records.
    pub records: Vec<Record>,
    /// The verification summaries.
    pub summaries: Vec<Summary>,
    /// All other attestations.
    pub attestations: Vec<Attestation>,
    /// The attachments that prove nothing.
    pub refused: Vec<Refused>,
    /// The images that an index lists, without BuildKit's attestation manifests, which are never signed.
    pub platforms: Vec<Audited>,
}

/// The signer of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Signer {
    /// The holder of a certificate.
    Certificate {
        /// The identity: an e-mail address or a URI.
        identity: String,
        /// The issuer of the identity.
        issuer: String,
    },
    /// The holder of the trusted key.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Whether the signature counts.
    pub standing: SignatureStatus,
    /// The signer.
    pub signer: Signer,
    /// The name of the image in the signature. Absent if the signature is for the digest under any name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When it was signed, as a transparency log or a timestamp authority proves. Absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// Where it is attached: a tag with its layer, or the digest of a referrer.
    pub place: String,
}

/// Whether a signature that verifies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureStatus {
    /// It is by the expected signer, and for this image.
    Counts,
    /// It is by another signer.
    OtherSigner,
    /// It is for the digest under another name, so it does not state that the digest belongs here.
    OtherReference,
}

/// A promotion record, as its signer states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whether it is by the expected signer.
    pub accepted: bool,
    /// The signer.
    pub signer: Signer,
    /// The promotion.
    #[serde(flatten)]
    pub promotion: Promotion,
    /// Where it is attached: a tag with its layer, or the digest of a referrer.
    pub place: String,
}

/// A promotion as a record describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// The source of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The destination of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The tags that the image received.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The repositories in which the promoter has seen the image in place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    /// The time, as its signer states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The promoter and its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// The manifest that lists the image, as a path in its repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The repository of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit of that repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The job that promoted the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The page of that job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_url: Option<String>,
    /// The account that started the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// A verification summary (SLSA *VSA*), as its signer states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether it is by the expected signer.
    pub accepted: bool,
    /// The signer.
    pub signer: Signer,
    /// `PASSED` or `FAILED`.
    pub result: String,
    /// The verified levels.
    pub levels: Vec<String>,
    /// The verifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier: Option<String>,
    /// The time, as its signer states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Where it is attached: a tag with its layer, or the digest of a referrer.
    pub place: String,
}

/// Another attestation of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attestation {
    /// The predicate type.
    pub predicate_type: String,
    /// The signer.
    pub signer: Signer,
    /// Where it is attached: a tag with its layer, or the digest of a referrer.
    pub place: String,
}

/// An attachment that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The kind of attachment.
    pub kind: RefusedKind,
    /// The predicate type that it claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// The reason.
    pub reason: String,
    /// Where it is attached: a tag with its layer, or the digest of a referrer.
    pub place: String,
}

/// The kind of a refused attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedKind {
    /// A signature.
    Signature,
    /// An attestation, or an attachment of unknown kind.
    Attestation,
}

impl Audited {
    /// Whether the image, or one of its platforms, was examined and is not signed.
    pub(super) fn is_refused(&self) -> bool {
        (!self.signed && self.unexamined.is_none()) || self.platforms.iter().any(Self::is_refused)
    }

    /// Whether the image and all of its platforms are signed.
    pub fn is_wholly_signed(&self) -> bool {
        self.signed && self.platforms.iter().all(Self::is_wholly_signed)
    }

    /// Returns the number of signed platforms and of all platforms, at any depth.
    pub fn platforms_signed(&self) -> (usize, usize) {
        self.platforms.iter().fold((0, 0), |(signed, all), platform| {
            let (deeper_signed, deeper) = platform.platforms_signed();
            (signed + usize::from(platform.signed) + deeper_signed, all + 1 + deeper)
        })
    }
}
