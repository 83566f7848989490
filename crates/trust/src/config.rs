//! The trusted signers of a run, and its own signer. Trust and signing services are looked up when the first signature is
//! verified or made. A run without signatures sends no requests to them.

use manifest::policy::SignerPattern;
use oci::Reader;
use sigstore::{Signatory, SignerSource, Trust};

use crate::evidence::{Budget, EvidenceClient, Failures, FoundSignature, ImageBudget};
use crate::production::Production;
use crate::promoter::Promoter;
use crate::scan::ScanGate;

/// The settings for verification and, if the run signs, for signing.
#[derive(Debug)]
pub struct TrustConfig {
    /// The settings for verification.
    pub verification: Verification,
    /// The settings for signing. If `None`, promoted images are neither signed nor attested.
    pub signing: Option<Signing>,
    /// The settings of the organisation.
    pub production: Production,
}

/// The settings for the verification of existing signatures and attestations.
#[derive(Debug)]
pub struct Verification {
    /// The trusted root or key.
    pub trust: Trust,
    /// The signer of staging images. If a key is trusted, the holder of the key is the signer instead.
    pub staging: SignerPattern,
    /// The memory budget for attachments of images.
    pub budget: Budget,
    /// The vulnerability gate. If `None`, images are not scanned.
    pub scans: Option<ScanGate>,
}

impl Verification {
    /// Whether a signature by `signatory` on a staging image counts. A signature by key always counts, because only the
    /// trusted key verifies.
    pub fn accepts(&self, signatory: &Signatory) -> bool {
        signatory.identity().is_none_or(|(issuer, subject)| self.staging.matches(issuer, subject))
    }

    /// Returns a client that fetches the evidence of the image with this allowance.
    pub fn client<'a>(&'a self, reader: &'a Reader, share: &'a ImageBudget) -> EvidenceClient<'a> {
        EvidenceClient { reader, trust: &self.trust, share, failures: Failures::Fail }
    }

    /// Returns the signatories whose signatures count.
    pub fn accepts_of(&self, signatures: &[FoundSignature]) -> Vec<Signatory> {
        let signatories = signatures.iter().map(|found| &found.signatory);
        signatories.filter(|signatory| self.accepts(signatory)).cloned().collect()
    }
}

/// The settings for signatures and attestations of a run.
#[derive(Debug)]
pub struct Signing {
    /// The signer of images and promotion records.
    pub signer: SignerSource,
    /// The format of signatures.
    pub format: SignatureFormat,
    /// The maximum number of images that are signed or attested concurrently.
    pub at_once: usize,
    /// The signer of verification summaries (`--verification-summaries`). If `None`, no summaries are made.
    pub summaries: Option<SummarySigner>,
    /// The promoter in promotion records.
    pub promoter: Promoter,
}

/// The signer of verification summaries.
#[derive(Debug)]
pub enum SummarySigner {
    /// The signer of images.
    Same,
    /// A different signer (`--summary-signer-account`).
    Other(SignerSource),
}

/// The format of image signatures (specification 02, *Sign*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureFormat {
    /// A tag. A manifest that has or gets another bundle also gets a signature bundle, because cosign 2.6 and 3 ignore the
    /// tag if a manifest has any bundle.
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
    /// Whether the format includes the tag.
    pub fn has_tag(self) -> bool {
        self != Self::Bundle
    }

    /// Whether a manifest gets a signature bundle. `beside_others` is set if the manifest has or gets other bundles.
    pub fn has_bundle(self, beside_others: bool) -> bool {
        match self {
            Self::Auto => beside_others,
            Self::Tag => false,
            Self::Bundle | Self::Both => true,
        }
    }
}
