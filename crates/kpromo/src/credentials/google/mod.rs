//! Google's credentials for Google's registries: application default credentials, then the metadata service.

use oci::{Credential, FoundCredential, Host};
use sigstore::{AccessError, AccessTokens as _, GoogleCredentials, GooglePlaces};
use transport::{Door, Secret};

use super::places::{Places, metadata_host};

/// Whether a host is one of Google's registries.
pub(super) fn is_google(host: &Host) -> bool {
    let name = host.name();
    name == "gcr.io" || name.ends_with(".gcr.io") || name.ends_with(".pkg.dev")
}

/// Google's credentials, got when they are first needed and kept while they are good.
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

    /// An access token, which Google's registries take as it is.
    pub(super) async fn credential(&self) -> Result<Option<FoundCredential>, String> {
        Ok(self.0.token().await?.map(|(token, origin)| Credential::Bearer(token).from(origin)))
    }

    /// An access token that is good for another minute.
    pub(super) async fn access_token(&self) -> Result<Option<Secret>, String> {
        self.0.access_token().await
    }

    /// The same, with errors that tell temporary failures from permanent ones.
    pub(super) async fn try_access_token(&self) -> Result<Option<Secret>, AccessError> {
        self.0.try_access_token().await
    }

    /// Where credentials are looked for.
    pub(super) fn looked_in(&self) -> String {
        self.0.looked_in()
    }
}

#[cfg(test)]
mod tests;
