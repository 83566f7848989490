//! Signers that are created on demand, because the services and the trusted root may have to be fetched first.

use std::sync::{Arc, Once};

use tokio::sync::OnceCell;
use transport::Door;

use super::waiting::{self, Failed};
use super::{Holder, Signer};
use crate::error::SignError;
use crate::identity::Identity;
use crate::key::SigningKey;
use crate::signatory::Signatory;
use crate::trust::{Form, Services, Trust};
use crate::verify::Verifier;

/// An identity or a key to sign with, and the services to use. Services and trust are loaded for the first signature. Signatures
/// of all forms share certificates.
#[derive(Debug)]
pub struct SignerSource {
    door: Door,
    trust: Trust,
    holder: Arc<Holder>,
    layers: OnceCell<Box<Signer>>,
    bundles: OnceCell<Box<Signer>>,
    /// Whether the log line that names the signing key has been written. An [`Identity`] logs its own line.
    announced: Once,
}

/// The signatories whose signatures a [`SignerSource`] recognizes as its own, whether they are from this run or an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(Vec<Signatory>);

impl Owner {
    /// Returns whether a signature by this signatory is the owner's.
    pub fn is(&self, signatory: &Signatory) -> bool {
        self.0.contains(signatory)
    }
}

impl Owner {
    /// Returns the signatories. There are several if the issuer of an identity has several names.
    pub fn signatories(&self) -> &[Signatory] {
        &self.0
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.first().map_or(Ok(()), |signatory| signatory.fmt(f))
    }
}

impl SignerSource {
    /// Signs with certificates of an identity, in the instance of Sigstore that `trust` names.
    pub fn identity(door: Door, identity: Identity, trust: Trust) -> Self {
        Self::new(door, Holder::of(identity), trust)
    }

    /// Signs with a key. If `trust` has a signing configuration, signatures are logged as it specifies. Otherwise they are not
    /// logged, and the key alone verifies them.
    pub fn key(door: Door, key: SigningKey, trust: Trust) -> Self {
        Self::new(door, Holder::Key(key), trust)
    }

    fn new(door: Door, holder: Holder, trust: Trust) -> Self {
        let (layers, bundles) = (OnceCell::new(), OnceCell::new());
        Self { door, trust, holder: Arc::new(holder), layers, bundles, announced: Once::new() }
    }

    /// Forgets all failures of services: the next signature asks them again, with full patience. Call it before a second round
    /// at the end of a phase.
    pub fn try_again(&self) {
        self.holder.try_again();
        for signer in [&self.layers, &self.bundles].into_iter().filter_map(OnceCell::get) {
            signer.try_again();
        }
    }

    /// Returns the owner of this signer's signatures. Requests a token unless there is a key, and so determines whether there is
    /// an identity to sign with.
    ///
    /// # Errors
    /// Returns an error if there is no identity, or if it is not the requested one.
    pub async fn owner(&self) -> Result<Owner, SignError> {
        match &*self.holder {
            Holder::Key(key) => {
                let signatory = key.signatory();
                self.announced.call_once(|| tracing::info!("signing as {signatory}"));
                Ok(Owner(vec![signatory]))
            }
            Holder::Identity { identity, waiting, .. } => {
                let patience = waiting::patience(&self.door, []);
                let token = waiting
                    .retry(patience, async || {
                        identity.token().await.map_err(|error| Failed::from(SignError::from(error)))
                    })
                    .await?;
                let named = |issuer: &str| Signatory::Certificate {
                    issuer: issuer.to_owned(),
                    subject: token.identity().to_owned(),
                };
                Ok(Owner(token.issuers().map(named).collect()))
            }
        }
    }

    /// Returns the signer for signatures of a form.
    ///
    /// # Errors
    /// Returns an error if the services or the trusted root cannot be determined.
    pub async fn signer(&self, form: Form) -> Result<&Signer, SignError> {
        let cell = match form {
            Form::Layer => &self.layers,
            Form::Bundle => &self.bundles,
        };
        Ok(cell.get_or_try_init(|| self.make(form)).await?)
    }

    async fn make(&self, form: Form) -> Result<Box<Signer>, SignError> {
        let (services, verifier) = match &*self.holder {
            Holder::Key(key) if self.trust.names_services() => {
                let services = Services { fulcio: None, ..self.trust.services(form).await? };
                (services, self.trust.verifier_with(key.verification_key()).await?)
            }
            Holder::Key(key) => {
                (Services::none(), Arc::new(Verifier::with_key(key.verification_key(), None)?))
            }
            Holder::Identity { .. } => {
                (self.trust.services(form).await?, self.trust.verifier_of_root().await?)
            }
        };
        Ok(Box::new(Signer::new(self.door.clone(), Arc::clone(&self.holder), services, verifier)))
    }
}
