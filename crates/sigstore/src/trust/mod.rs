//! The trusted root and the signing configuration. They are files or come from a TUF repository, and are loaded once, when
//! something is to be verified or signed.

mod cache;
mod services;
mod settings;
mod tuf;

use std::sync::Arc;

pub use services::{Form, RekorVersion, Services};
pub use settings::{PUBLIC_GOOD, TrustSettings};
use tokio::sync::OnceCell;
use transport::Door;

use crate::error::TrustError;
use crate::key::VerificationKey;
use crate::verify::{Verifier, parse_root};

/// The source of trust. Cloning it is cheap, and all clones share the loaded values.
#[derive(Clone, Debug)]
pub struct Trust {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    door: Door,
    settings: TrustSettings,
    /// The content of the TUF repository, or why it provided none. The repository is asked only once.
    material: OnceCell<Result<tuf::Material, TrustError>>,
    by_root: OnceCell<Arc<Verifier>>,
    by_key: OnceCell<Arc<Verifier>>,
}

impl Trust {
    /// Creates a source of trust that is loaded through `door` when it is first needed.
    ///
    /// # Errors
    /// Returns an error if a file cannot be used, so that the error is found before the run begins.
    pub fn new(door: Door, settings: TrustSettings) -> Result<Self, TrustError> {
        settings.trusted_root.as_deref().map(parse_root).transpose()?;
        settings.signing_config.as_deref().map(services::parse).transpose()?;
        if settings.mirror.is_some() && settings.initial_root.is_none() {
            return Err(TrustError::unusable(
                "the TUF mirror",
                "its first root.json is not known: name it with --tuf-root",
            ));
        }
        let (material, by_root, by_key) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Ok(Self { shared: Arc::new(Shared { door, settings, material, by_root, by_key }) })
    }

    /// Returns the verifier for signatures of others: with the configured key, or else with the trusted root.
    ///
    /// # Errors
    /// Returns an error if no trusted root is available.
    pub async fn verifier(&self) -> Result<Arc<Verifier>, TrustError> {
        let settings = &self.shared.settings;
        let Some(key) = &settings.verification_key else { return self.verifier_of_root().await };
        let load = async || Verifier::with_key(key.clone(), settings.trusted_root.as_deref()).map(Arc::new);
        self.shared.by_key.get_or_try_init(load).await.map(Arc::clone)
    }

    /// Returns the verifier for signatures with certificates, whether or not a key is configured.
    ///
    /// # Errors
    /// Returns an error if no trusted root is available.
    pub async fn verifier_of_root(&self) -> Result<Arc<Verifier>, TrustError> {
        let load = async || Verifier::with_root(self.root().await?).map(Arc::new);
        self.shared.by_root.get_or_try_init(load).await.map(Arc::clone)
    }

    /// Returns the verifier for signatures that are made with a key and logged by the services.
    pub(crate) async fn verifier_with(&self, key: VerificationKey) -> Result<Arc<Verifier>, TrustError> {
        Verifier::with_key(key, Some(self.root().await?)).map(Arc::new)
    }

    /// Returns whether a signing configuration is set.
    pub(crate) fn names_services(&self) -> bool {
        self.shared.settings.signing_config.is_some()
    }

    async fn root(&self) -> Result<&[u8], TrustError> {
        match &self.shared.settings.trusted_root {
            Some(root) => Ok(root),
            None => Ok(&self.material().await?.trusted_root),
        }
    }

    /// Returns the services for signatures of a form.
    ///
    /// # Errors
    /// Returns an error if there is no signing configuration, or if it contains no suitable services.
    pub async fn services(&self, form: Form) -> Result<Services, TrustError> {
        let config = match &self.shared.settings.signing_config {
            Some(config) => services::parse(config)?,
            // A trusted root of a private instance must not be combined with the services of another instance.
            None if self.shared.settings.trusted_root.is_some() => {
                return Err(TrustError::Service(
                    "no services: a private trusted root also needs --signing-config".into(),
                ));
            }
            None => match &self.material().await?.signing_config {
                Some(config) => services::parse(config)?,
                None => {
                    return Err(TrustError::Service(
                        "no services: the TUF repository has none; give a file with --signing-config".into(),
                    ));
                }
            },
        };
        Services::select(&config, form)
    }

    async fn material(&self) -> Result<&tuf::Material, TrustError> {
        let Shared { door, settings, material, .. } = &*self.shared;
        material.get_or_init(|| tuf::load(door, settings)).await.as_ref().map_err(Clone::clone)
    }
}
