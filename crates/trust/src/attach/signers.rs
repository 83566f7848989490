//! Signers that are ready to sign.

use manifest::policy::Policies;
use sigstore::{Form, Owner, SignError, Signer};

use crate::config::{SignatureFormat, Signing, SummarySigner};
use crate::production::Production;

/// Signers that are ready: who they are is known, and whom they ask.
#[derive(Debug)]
pub struct Signers<'a> {
    /// Whose signatures count as ours.
    pub owner: Owner,
    /// Signs layers of tags, where the format has these.
    pub layers: Option<&'a Signer>,
    /// Signs bundles.
    pub bundles: &'a Signer,
    /// Signs verification summaries, where there are to be any.
    pub summaries: Option<(Owner, &'a Signer)>,
}

impl Signing {
    /// Finds out who signs and where: before anything is written, since a run that cannot sign should not begin.
    ///
    /// # Errors
    /// When there is no identity, it is not the one that was asked for, or nobody says where to sign.
    pub async fn ready(&self) -> Result<Signers<'_>, SignError> {
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
    pub fn try_again(&self) {
        let all = self.layers.into_iter().chain([self.bundles]);
        all.chain(self.summaries.as_ref().map(|(_, signer)| *signer)).for_each(Signer::try_again);
    }

    /// Who signs images and records.
    pub fn own(&self) -> (&Owner, &Signer) {
        (&self.owner, self.bundles)
    }

    /// Who signs verification summaries, where there are to be any.
    pub fn summarizer(&self) -> Option<(&Owner, &Signer)> {
        self.summaries.as_ref().map(|(owner, signer)| (owner, *signer))
    }

    /// The settings under which it holds that an image is complete: the key of what the inventory cache remembers.
    pub fn cache_key(&self, format: SignatureFormat, production: &Production, policies: &Policies) -> String {
        let summaries = self.summaries.as_ref().map(|(owner, _)| format!(", summaries by {owner}"));
        let Production { path, reference, .. } = production;
        let summaries = summaries.unwrap_or_default();
        let policies =
            policies.fingerprint().map(|digest| format!(", policies {digest}")).unwrap_or_default();
        format!("{format:?} by {}{summaries}{policies}, {path} is {reference}", self.owner)
    }
}
