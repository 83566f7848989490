//! Whose signatures and attestations of production images count.

use sigstore::{Owner, Signatory, Verifier};

use super::signers::Signers;
use crate::config::{SignatureFormat, Verification};

/// The signers whose attachments count, and the verifier of these attachments.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    who: Who<'a>,
    pub(super) verifier: &'a Verifier,
}

#[derive(Clone, Copy, Debug)]
enum Who<'a> {
    Owner(&'a Owner),
    Accepted(&'a Verification),
}

impl<'a> By<'a> {
    /// The attachments of the signer of this run, from this or an earlier run.
    pub fn owner(owner: &'a Owner, verifier: &'a Verifier) -> Self {
        Self { who: Who::Owner(owner), verifier }
    }

    /// The attachments of the signers that the settings accept.
    pub fn accepted(verification: &'a Verification, verifier: &'a Verifier) -> Self {
        Self { who: Who::Accepted(verification), verifier }
    }

    /// Whether the attachments of this signatory count.
    pub(super) fn counts(&self, signatory: &Signatory) -> bool {
        match self.who {
            Who::Owner(owner) => owner.is(signatory),
            Who::Accepted(verification) => verification.accepts(signatory),
        }
    }
}

/// The signatures and attestations of an image that count, by kind.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// Signatures in `.sig` tags. `None` if these are not read.
    pub layers: Option<By<'a>>,
    /// Bundles: signatures and promotion records.
    pub bundles: By<'a>,
    /// Verification summaries. `None` if these are not read.
    pub summaries: Option<By<'a>>,
    /// Whether the content of a layer is always read. Otherwise the digest suffices for a layer whose content is known, which
    /// saves a request and does not show that the registry still has the content.
    pub reads_content: bool,
}

impl<'a> Ours<'a> {
    /// The signatures of this format, and the records, of the signers that the settings accept. `verifier` is that of the
    /// settings.
    pub fn accepted(verification: &'a Verification, verifier: &'a Verifier, format: SignatureFormat) -> Self {
        let by = By::accepted(verification, verifier);
        Self { layers: format.has_tag().then_some(by), bundles: by, summaries: None, reads_content: true }
    }
}

impl Signers<'_> {
    /// Returns the attachments that count for these signers: those that they have signed themselves.
    pub fn ours(&self) -> Ours<'_> {
        Ours {
            layers: self.layers.map(|signer| By::owner(&self.owner, signer.verifier())),
            bundles: By::owner(&self.owner, self.bundles.verifier()),
            summaries: self.summaries.as_ref().map(|(owner, signer)| By::owner(owner, signer.verifier())),
            reads_content: false,
        }
    }
}
