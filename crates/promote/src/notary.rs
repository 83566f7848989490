//! Whom a run believes, and as whom it signs. What it takes to verify and to sign is looked up when the first signature is
//! met or made: a run that meets none asks nobody.

use manifest::Checkout;
use manifest::policy::SignerPattern;
use oci::{Host, Reader, Repository, RepositoryPath};
use serde::Serialize;
use sigstore::{Signatory, SignerSource, Trust};

use crate::evidence::{FoundSignature, Means, Room, Share};

/// Verification and, where the run signs, signing.
#[derive(Debug)]
pub struct Notary {
    /// What is believed.
    pub verification: Verification,
    /// As whom to sign; none: what is promoted is neither signed nor attested.
    pub signing: Option<Signing>,
    /// What is particular to an organisation.
    pub production: Production,
}

/// What a run believes of what others have signed.
#[derive(Debug)]
pub struct Verification {
    /// Whom to trust.
    pub trust: Trust,
    /// Who signs staging images. Where trust is in a key, its holder does.
    pub staging: SignerPattern,
    /// How much of what is attached to images is held at once.
    pub room: Room,
}

impl Verification {
    /// Whether somebody's signature on a staging image counts. A key is only ever found to have signed where trust is in it.
    pub fn accepts(&self, signatory: &Signatory) -> bool {
        signatory.identity().is_none_or(|(issuer, subject)| self.staging.matches(issuer, subject))
    }

    /// What it takes to gather what is attached to an image that has this share.
    pub(crate) fn means<'a>(&'a self, reader: &'a Reader, share: &'a Share) -> Means<'a> {
        Means { reader, trust: &self.trust, share }
    }

    /// Who has signed, of those whose signatures count.
    pub(crate) fn accepts_of(&self, signatures: &[FoundSignature]) -> Vec<Signatory> {
        let signatories = signatures.iter().map(|found| &found.signatory);
        signatories.filter(|signatory| self.accepts(signatory)).cloned().collect()
    }
}

/// How a run signs and attests.
#[derive(Debug)]
pub struct Signing {
    /// Who signs images and promotion records.
    pub signer: SignerSource,
    /// The form of signatures.
    pub format: SignatureFormat,
    /// How many images are signed or attested at once.
    pub at_once: usize,
    /// Who signs verification summaries (`--verification-summaries`); none: there are none.
    pub summaries: Option<SummarySigner>,
    /// What records say of the run.
    pub promoter: Promoter,
}

/// Who signs verification summaries.
#[derive(Debug)]
pub enum SummarySigner {
    /// Whoever signs the images.
    Same,
    /// Somebody else (`--summary-signer-account`).
    Other(SignerSource),
}

/// The form that signatures of images have (specification 02, *Sign*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureFormat {
    /// The tag, and a bundle besides on every manifest that has or gets another bundle: cosign 2.6 and 3 look at bundles alone
    /// as soon as a manifest has any.
    #[default]
    Auto,
    /// Layers of a `sha256-<hex>.sig` tag.
    Tag,
    /// Bundles that refer to the image.
    Bundle,
    /// Both, on every manifest.
    Both,
}

impl SignatureFormat {
    /// Whether the tag is written.
    pub fn has_tag(self) -> bool {
        self != Self::Bundle
    }

    /// Whether a bundle is written to a manifest to which other bundles are attached, or will be.
    pub fn has_bundle(self, beside_others: bool) -> bool {
        match self {
            Self::Auto => beside_others,
            Self::Tag => false,
            Self::Bundle | Self::Both => true,
        }
    }
}

/// What is particular to an organisation: where its production is, and what users call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Production {
    /// The host of the region that holds signatures and attestations.
    pub canonical_host: Host,
    /// The path below which every region holds the same images.
    pub path: RepositoryPath,
    /// What users pull these images from.
    pub reference: Host,
}

impl Production {
    /// What users call a repository of production: `registry.k8s.io/pause` for
    /// `us-central1-docker.pkg.dev/k8s-artifacts-prod/images/pause`. What is not below the production path keeps its name.
    pub fn reference(&self, repository: &Repository) -> String {
        match self.name(repository) {
            Some(name) => format!("{}/{name}", self.reference),
            None => repository.to_string(),
        }
    }

    /// The name of an image of production.
    pub(crate) fn name<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        repository.path.as_str().strip_prefix(self.path.as_str())?.strip_prefix('/')
    }
}

/// Who promotes, as promotion records tell it. What is empty is left out of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promoter {
    /// The version of kpromo.
    pub version: String,
    /// The commit that it was built from.
    pub commit: Option<String>,
    /// The job that it runs in.
    pub job: CiJob,
    /// The repository of the manifests.
    pub checkout: Option<Checkout>,
}

impl Promoter {
    /// The name of a manifest's file in its repository; as it was given where it is in none.
    pub(crate) fn manifest_name(&self, file: &str) -> String {
        let inside = |checkout: &Checkout| {
            let file = std::fs::canonicalize(file).ok()?;
            let root = std::fs::canonicalize(&checkout.root).ok()?;
            Some(file.strip_prefix(root).ok()?.to_string_lossy().into_owned())
        };
        self.checkout.as_ref().and_then(inside).unwrap_or_else(|| file.to_owned())
    }
}

/// The job of a continuous integration that a run is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CiJob {
    /// `JOB_NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `JOB_TYPE`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `BUILD_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// `PROW_JOB_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prow_job_id: Option<String>,
}
