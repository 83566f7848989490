//! How images are signed and recorded: what is written, and what of it is there already (`docs/design/signing.md`).

mod bundle;
mod ours;
mod record;
mod signature;
mod summary;

pub(crate) use bundle::attached_bundle;
use manifest::policy::Policies;
use oci::{Digest, Repository};
pub(crate) use ours::{Tagged, has_bundle, latest_summary, tagged};
pub(crate) use record::Record;
pub(crate) use signature::Signature;
use sigstore::{Form, Owner, SignError, Signer, TrustError};
pub(crate) use summary::{Input, Stated, Summary};

use crate::evidence::EvidenceError;
use crate::notary::{Production, SignatureFormat, Signing, SummarySigner};

/// Signers that are ready: who they are is known, and whom they ask.
#[derive(Debug)]
pub(crate) struct Signers<'a> {
    /// Whose signatures count as ours.
    pub(crate) owner: Owner,
    /// Signs layers of tags, where the format has these.
    pub(crate) layers: Option<&'a Signer>,
    /// Signs bundles.
    pub(crate) bundles: &'a Signer,
    /// Signs verification summaries, where there are to be any.
    pub(crate) summaries: Option<(Owner, &'a Signer)>,
}

impl Signing {
    /// Finds out who signs and where: before anything is written, since a run that cannot sign should not begin.
    ///
    /// # Errors
    /// When there is no identity, it is not the one that was asked for, or nobody says where to sign.
    pub(crate) async fn ready(&self) -> Result<Signers<'_>, SignError> {
        // The identity first: it is what is missing most often, and found out soonest.
        let owner = self.signer.owner().await?;
        let bundles = self.signer.signer(Form::Bundle).await?;
        let layers = match self.format.has_tag() {
            true => Some(self.signer.signer(Form::Layer).await?),
            false => None,
        };
        let summaries = match &self.summaries {
            None => None,
            Some(SummarySigner::Same) => Some((owner.clone(), bundles)),
            Some(SummarySigner::Other(source)) => {
                Some((source.owner().await?, source.signer(Form::Bundle).await?))
            }
        };
        Ok(Signers { owner, layers, bundles, summaries })
    }
}

impl Signers<'_> {
    /// Lets services that failed be asked anew.
    pub(crate) fn try_again(&self) {
        let all = self.layers.into_iter().chain([self.bundles]);
        all.chain(self.summaries.as_ref().map(|(_, signer)| *signer)).for_each(Signer::try_again);
    }

    /// Who signs images and records.
    pub(crate) fn own(&self) -> (&Owner, &Signer) {
        (&self.owner, self.bundles)
    }

    /// Who signs verification summaries, where there are to be any.
    pub(crate) fn summarizer(&self) -> Option<(&Owner, &Signer)> {
        self.summaries.as_ref().map(|(owner, signer)| (owner, *signer))
    }

    /// The settings under which it holds that an image is complete: the key of what the inventory cache remembers.
    pub(crate) fn terms(
        &self,
        format: SignatureFormat,
        production: &Production,
        policies: &Policies,
    ) -> String {
        let summaries = self.summaries.as_ref().map(|(owner, _)| format!(", summaries by {owner}"));
        let Production { path, reference, .. } = production;
        let summaries = summaries.unwrap_or_default();
        let policies =
            policies.fingerprint().map(|digest| format!(", policies {digest}")).unwrap_or_default();
        format!("{format:?} by {}{summaries}{policies}, {path} is {reference}", self.owner)
    }
}

/// Where an image is, and what users call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The repository that holds its signatures and attestations.
    pub(crate) home: &'a Repository,
    /// The name that users pull it by, without tag.
    pub(crate) reference: &'a str,
    /// What it is.
    pub(crate) digest: Digest,
}

/// Why something was not signed or attested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    /// A registry did not do its part.
    #[error(transparent)]
    Registry(#[from] oci::Error),
    /// Signing failed.
    #[error(transparent)]
    Signing(#[from] SignError),
    /// What staging has attached cannot be verified.
    #[error("verifying what staging has attached: {0}")]
    Trust(#[from] TrustError),
    /// It is in production, and has not passed Provenance and Validate in this run.
    #[error("it has not passed: {0}")]
    NotPassed(String),
    /// Sigstore's formats know images by SHA-256 alone.
    #[error("{0} is not of the algorithm SHA-256, by which alone signatures name images")]
    Algorithm(Digest),
}

impl AttachError {
    /// Whether the same might succeed a little later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_temporary() && !error.is_silence(),
            Self::Signing(error) => error.is_temporary(),
            Self::Trust(_) | Self::NotPassed(_) | Self::Algorithm(_) => false,
        }
    }
}

impl From<EvidenceError> for AttachError {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Registry(error) => Self::Registry(error),
            EvidenceError::Trust(error) => Self::Trust(error),
        }
    }
}

/// The SHA-256 digest that signatures name an image by, in hexadecimal.
pub(crate) fn sha256(digest: Digest) -> Result<String, AttachError> {
    match digest {
        Digest::Sha256(_) => Ok(digest.hex()),
        Digest::Sha512(_) => Err(AttachError::Algorithm(digest)),
    }
}
