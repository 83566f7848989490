//! Credentials of registries, and where they come from.

use std::fmt;

use futures_util::future::BoxFuture;
use oci_types::{Host, RepositoryPath};
use transport::Secret;

/// What authenticates a client to a registry.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A user name and a password.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which a token service exchanges for access tokens (`identitytoken` in docker's configuration).
    Identity(Secret),
    /// An access token that the registry accepts without a token service.
    Bearer(Secret),
}

/// A credential and where it was found.
#[derive(Clone, Debug)]
pub struct FoundCredential {
    /// The credential.
    pub credential: Credential,
    /// The file and key, helper or service that it comes from, for error messages.
    pub origin: String,
}

impl Credential {
    /// The credential with its origin, such as `~/.docker/config.json, key gcr.io`.
    pub fn from(self, origin: impl Into<String>) -> FoundCredential {
        FoundCredential { credential: self, origin: origin.into() }
    }
}

/// A source of credentials: configuration files, helpers, clouds.
///
/// It is asked whenever a credential is needed and caches what is expensive to get.
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// The credential for a repository of a host, or for the host itself where no repository is named; `None` to go
    /// without one.
    ///
    /// # Errors
    /// A sentence for the user when a credential is configured and cannot be read.
    fn credential<'a>(
        &'a self,
        host: &'a Host,
        repository: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Option<FoundCredential>, String>>;

    /// Where credentials were looked for, for the error message of a host that has none.
    fn places(&self) -> String;
}

/// No credentials for any host.
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
