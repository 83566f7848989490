//! Credentials for registries, and their sources.

use std::fmt;

use futures_util::future::BoxFuture;
use oci_types::{Host, RepositoryPath};
use transport::Secret;

/// A credential that authenticates a client to a registry.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A user name and a password.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which a token service exchanges for access tokens (`identitytoken` in Docker's configuration).
    Identity(Secret),
    /// An access token that the registry accepts without a token service.
    Bearer(Secret),
}

/// A credential and its origin.
#[derive(Clone, Debug)]
pub struct FoundCredential {
    /// The credential.
    pub credential: Credential,
    /// The file and key, helper or service that the credential comes from, for error messages.
    pub origin: String,
}

impl Credential {
    /// Adds the origin of the credential, such as `~/.docker/config.json, key gcr.io`.
    pub fn from(self, origin: impl Into<String>) -> FoundCredential {
        FoundCredential { credential: self, origin: origin.into() }
    }
}

/// A source of credentials: configuration files, helpers, cloud services.
///
/// The client asks the source whenever it needs a credential. The source must cache what is expensive to get.
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// Returns the credential for a repository of a host, or for the host itself if no repository is given; `None` to send
    /// requests without credentials.
    ///
    /// # Errors
    /// Returns a sentence for the user if a credential is configured but cannot be read.
    fn credential<'a>(
        &'a self,
        host: &'a Host,
        repository: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Option<FoundCredential>, String>>;

    /// Returns the places that were searched for credentials, for the error message about a host that has none.
    fn places(&self) -> String;
}

/// A source without credentials for any host.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn credential<'a>(
        &'a self,
        _: &'a Host,
        _: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn places(&self) -> String {
        "nowhere: this client is anonymous".to_owned()
    }
}
