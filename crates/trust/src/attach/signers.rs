//! Signers that are ready to sign.

use manifest::policy::Policies;
use sigstore::{Form, Owner, SignError, Signer};

use crate::config::{SignatureFormat, Signing, SummarySigner};
use crate::production::Production;

/// Signers that are ready: their identities and their services are known.
#[derive(Debug)]
pub struct Signers<'a> {
    /// The owner whose signatures count as ours.
    pub owner: Owner,
    /// Signs layers of tags. `None` if the format has no tag.
    pub layers: Option<&'a Signer>,
    /// Signs bundles.
    pub bundles: &'a Signer,
    /// Signs verification summaries. `None` if no summaries are made.
    pub summaries: Option<(Owner, &'a Signer)>,
}

impl Signing {
    /// Determines the identity and the services of each signer. This happens before anything is written, because a run that
    /// cannot sign must not begin.
    ///
    /// # Errors
    /// If there is no identity, if it is not the requested one, or if the signing services are unknown.
    pub async fn ready(&self) -> Result<Signers<'_>, SignError> {
        // The identity comes first: it is missing most often, and it is the fastest to check.
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
    /// Allows new requests to services that have failed.
    pub fn try_again(&self) {
        let all = self.layers.into_iter().chain([self.bundles]);
        all.chain(self.summaries.as_ref().map(|(_, signer)| *signer)).for_each(Signer::try_again);
    }

    /// Returns the signer of verification summaries, or `None` if no summaries are made.
    pub fn summarizer(&self) -> Option<(&Owner, &Signer)> {
        self.summaries.as_ref().map(|(owner, signer)| (owner, *signer))
    }

    /// Returns the key for entries of the inventory cache: the settings under which an image counts as complete.
    pub fn cache_key(&self, format: SignatureFormat, production: &Production, policies: &Policies) -> String {
        let summaries = self.summaries.as_ref().map(|(owner, _)| format!(", summaries by {owner}"));
        let Production { path, reference, .. } = production;
        let summaries = summaries.unwrap_or_default();
        let policies =
            policies.fingerprint().map(|digest| format!(", policies {digest}")).unwrap_or_default();
        format!("{format:?} by {}{summaries}{policies}, {path} is {reference}", self.owner)
    }
}
