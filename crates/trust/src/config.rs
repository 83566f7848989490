//! Whom a run believes, and as whom it signs. What it takes to verify and to sign is looked up when the first signature is
//! met or made: a run that meets none asks nobody.

use manifest::policy::SignerPattern;
use oci::Reader;
use sigstore::{Signatory, SignerSource, Trust};

use crate::evidence::{Budget, EvidenceClient, FoundSignature, ImageBudget};
use crate::production::Production;
use crate::promoter::Promoter;

/// Verification and, where the run signs, signing.
#[derive(Debug)]
pub struct TrustConfig {
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
    pub budget: Budget,
}

impl Verification {
    /// Whether somebody's signature on a staging image counts. A key is only ever found to have signed where trust is in it.
    pub fn accepts(&self, signatory: &Signatory) -> bool {
        signatory.identity().is_none_or(|(issuer, subject)| self.staging.matches(issuer, subject))
    }

    /// What it takes to gather what is attached to an image that has this share.
    pub fn client<'a>(&'a self, reader: &'a Reader, share: &'a ImageBudget) -> EvidenceClient<'a> {
        EvidenceClient { reader, trust: &self.trust, share }
    }

    /// Who has signed, of those whose signatures count.
    pub fn accepts_of(&self, signatures: &[FoundSignature]) -> Vec<Signatory> {
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
