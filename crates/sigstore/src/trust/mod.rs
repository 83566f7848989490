//! Whom to trust and whom to ask: a trusted root and a signing configuration, given as files or got through TUF, loaded once
//! and only when something is to be verified or signed.

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

/// What is trusted. Cloning it is cheap, and what was loaded is loaded for all.
#[derive(Clone, Debug)]
pub struct Trust {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    door: Door,
    settings: TrustSettings,
    /// What TUF gave, or why it gave nothing; asked once, however many want it.
    material: OnceCell<Result<tuf::Material, TrustError>>,
    by_root: OnceCell<Arc<Verifier>>,
    by_key: OnceCell<Arc<Verifier>>,
}

impl Trust {
    /// Trust that is loaded through `door` when it is first needed.
    ///
    /// # Errors
    /// When a file that was given cannot be used: that is said before anything is begun.
    pub fn new(door: Door, settings: TrustSettings) -> Result<Self, TrustError> {
        settings.trusted_root.as_deref().map(parse_root).transpose()?;
        settings.signing_config.as_deref().map(services::parse).transpose()?;
        if settings.mirror.is_some() && settings.initial_root.is_none() {
            return Err(TrustError::unusable(
                "the TUF mirror",
                "nothing says which root it has: name its first root.json with --tuf-root",
            ));
        }
        let (material, by_root, by_key) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Ok(Self { shared: Arc::new(Shared { door, settings, material, by_root, by_key }) })
    }

    /// The verifier of what others have signed: with the key that was given, or by the trusted root.
    ///
    /// # Errors
    /// When there is no trusted root to be had.
    pub async fn verifier(&self) -> Result<Arc<Verifier>, TrustError> {
        let settings = &self.shared.settings;
        let Some(key) = &settings.verification_key else { return self.verifier_of_root().await };
        let load = async || Verifier::with_key(key.clone(), settings.trusted_root.as_deref()).map(Arc::new);
        self.shared.by_key.get_or_try_init(load).await.map(Arc::clone)
    }

    /// The verifier of what was signed with certificates, whether or not a key was given.
    ///
    /// # Errors
    /// When there is no trusted root to be had.
    pub async fn verifier_of_root(&self) -> Result<Arc<Verifier>, TrustError> {
        let load = async || Verifier::with_root(self.root().await?).map(Arc::new);
        self.shared.by_root.get_or_try_init(load).await.map(Arc::clone)
    }

    /// The verifier of what was signed with a key and logged by the services.
    pub(crate) async fn verifier_with(&self, key: VerificationKey) -> Result<Arc<Verifier>, TrustError> {
        Verifier::with_key(key, Some(self.root().await?)).map(Arc::new)
    }

    /// Whether somebody has said where to sign.
    pub(crate) fn names_services(&self) -> bool {
        self.shared.settings.signing_config.is_some()
    }

    async fn root(&self) -> Result<&[u8], TrustError> {
        match &self.shared.settings.trusted_root {
            Some(root) => Ok(root),
            None => Ok(&self.material().await?.trusted_root),
        }
    }

    /// The services that sign, for signatures of a form.
    ///
    /// # Errors
    /// When there is no signing configuration, or it names none that will do.
    pub async fn services(&self, form: Form) -> Result<Services, TrustError> {
        let config = match &self.shared.settings.signing_config {
            Some(config) => services::parse(config)?,
            // Who trusts an instance of their own does not sign with another.
            None if self.shared.settings.trusted_root.is_some() => {
                return Err(TrustError::Service(
                    "nothing: a trusted root of your own needs --signing-config too, to say where to sign"
                        .into(),
                ));
            }
            None => match &self.material().await?.signing_config {
                Some(config) => services::parse(config)?,
                None => {
                    return Err(TrustError::Service(
                        "nothing: the TUF repository has none; give one with --signing-config".into(),
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
