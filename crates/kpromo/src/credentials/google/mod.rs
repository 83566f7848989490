//! Google's credentials for Google's registries: Application Default Credentials, then the metadata server.

use oci::{Credential, FoundCredential, Host};
use sigstore::{AccessError, AccessTokens as _, GoogleCredentials, GooglePlaces};
use transport::{Door, Secret};

use super::places::{Places, metadata_host};

/// Returns whether a host is one of Google's registries.
pub(super) fn is_google(host: &Host) -> bool {
    let name = host.name();
    name == "gcr.io" || name.ends_with(".gcr.io") || name.ends_with(".pkg.dev")
}

/// Google's credentials. A token is obtained when it is first needed and kept while it is valid.
#[derive(Debug)]
pub(super) struct Google(GoogleCredentials);

impl Google {
    pub(super) fn new(places: &Places, door: Door) -> Self {
        let known =
            places.home.as_ref().map(|home| home.join(".config/gcloud/application_default_credentials.json"));
        let places = GooglePlaces {
            file: places.google_credentials.clone().or(known),
            is_file_named: places.google_credentials.is_some(),
            metadata_host: Some(metadata_host(places)),
            is_at_google: places.is_at_google,
        };
        Self(GoogleCredentials::new(places, door))
    }

    /// Returns an access token as a credential. Google's registries accept it as a bearer token.
    pub(super) async fn credential(&self) -> Result<Option<FoundCredential>, String> {
        Ok(self.0.token().await?.map(|(token, origin)| Credential::Bearer(token).from(origin)))
    }

    /// Returns a valid access token.
    pub(super) async fn access_token(&self) -> Result<Option<Secret>, String> {
        self.0.access_token().await
    }

    /// Returns a valid access token, with errors that distinguish temporary failures from permanent ones.
    pub(super) async fn try_access_token(&self) -> Result<Option<Secret>, AccessError> {
        self.0.try_access_token().await
    }

    /// Describes the sources of credentials.
    pub(super) fn looked_in(&self) -> String {
        self.0.looked_in()
    }
}

#[cfg(test)]
mod tests;
