//! The sources of credentials: docker's and podman's files, their helpers, and Google's Application Default Credentials
//! (`docs/design/credentials.md`).

mod auth_file;
mod aws;
mod docker;
mod file;
mod google;
mod helper;
mod places;
mod storage;
#[cfg(test)]
mod testing;

pub(crate) use aws::{AwsPlaces, s3_settings};
use docker::AuthFiles;
use futures_util::future::BoxFuture;
use google::Google;
use oci::{CredentialSource, FoundCredential, Host, RepositoryPath};
pub(crate) use places::{Places, metadata_host};
use sigstore::{AccessError, AccessTokens};
pub(crate) use storage::StorageTokens;
use transport::{Door, Secret};

/// All credentials of the user. Files are read when a credential is first needed.
#[derive(Debug)]
pub(crate) struct Keychain {
    files: AuthFiles,
    google: Google,
}

impl Keychain {
    /// Creates a keychain that has read nothing yet.
    pub(crate) fn new(places: Places, door: Door) -> Self {
        Self { google: Google::new(&places, door), files: AuthFiles::new(places) }
    }
}

impl CredentialSource for Keychain {
    fn credential<'a>(
        &'a self,
        host: &'a Host,
        repository: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        Box::pin(async move {
            // A configured credential takes precedence over Google's own, which applies to all Google registries.
            match self.files.credential(host, repository).await? {
                None if google::is_google(host) => self.google.credential().await,
                found => Ok(found),
            }
        })
    }

    fn places(&self) -> String {
        format!("{}; for Google's registries also {}", self.files.looked_in(), self.google.looked_in())
    }
}

/// The access tokens for registries are also used to request ID tokens from Google.
impl AccessTokens for Keychain {
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        Box::pin(self.google.access_token())
    }

    fn try_access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, AccessError>> {
        Box::pin(self.google.try_access_token())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::net::TcpListener;

    use super::*;

    /// Returns a keychain with this docker configuration, and with a metadata server address at which nothing answers.
    async fn keychain(config: &str) -> (Keychain, Door, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), config).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let places = Places {
            docker_config: Some(directory.path().to_owned()),
            metadata_host: Some(free.to_string()),
            ..Places::default()
        };
        let door = Door::open(transport::Settings::default()).unwrap();
        (Keychain::new(places, door.clone()), door, directory)
    }

    #[tokio::test]
    async fn what_is_configured_for_a_google_host_comes_before_what_google_offers() {
        let (keychain, door, _directory) = keychain(r#"{"auths": {"gcr.io": {"auth": "dTpw"}}}"#).await;
        let found = keychain.credential(&"gcr.io".parse().unwrap(), None).await.unwrap();
        assert!(matches!(found.unwrap().credential, oci::Credential::Basic { user, .. } if user == "u"));
        assert!(door.tally().is_empty(), "no request is needed");
        assert!(keychain.credential(&"eu.gcr.io".parse().unwrap(), None).await.unwrap().is_none());
        assert_eq!(door.tally().len(), 1, "the metadata service is asked for a host that no file knows");
    }

    #[tokio::test]
    async fn a_key_of_a_namespace_comes_before_what_google_offers_for_the_host() {
        let (keychain, door, _directory) = keychain(r#"{"auths": {"gcr.io/team": {"auth": "dTpw"}}}"#).await;
        let host = "gcr.io".parse().unwrap();
        let found = keychain.credential(&host, Some(&"team/app".parse().unwrap())).await.unwrap().unwrap();
        assert!(found.origin.ends_with("config.json, key gcr.io/team"), "{}", found.origin);
        assert!(door.tally().is_empty());
        assert!(keychain.credential(&host, Some(&"other".parse().unwrap())).await.unwrap().is_none());
        assert_eq!(door.tally().len(), 1);
    }

    #[tokio::test]
    async fn the_places_name_every_file_and_service_that_may_have_credentials() {
        let (keychain, _door, directory) = keychain("{}").await;
        let places = keychain.places();
        for part in
            [&format!("{}/config.json;", directory.path().display()), "Google's", "the metadata server"]
        {
            assert!(places.contains(part), "{part}: {places}");
        }
        let places = Places { home: Some("/no/such/home".into()), ..Places::default() };
        let places = Keychain::new(places, Door::open(transport::Settings::default()).unwrap()).places();
        for file in [
            ".docker/config.json",
            ".config/containers/auth.json",
            ".config/gcloud/application_default_credentials.json",
        ] {
            assert!(places.contains(&format!("/no/such/home/{file} (does not exist)")), "{file}: {places}");
        }
    }

    #[tokio::test]
    async fn a_missing_access_token_is_none_and_one_that_cannot_be_read_is_an_error() {
        let (absent, _door, directory) = keychain("{}").await;
        assert!(absent.access_token().await.unwrap().is_none());
        let missing = directory.path().join("missing.json");
        let places = Places { google_credentials: Some(missing), ..Places::default() };
        let failing = Keychain::new(places, Door::open(transport::Settings::default()).unwrap());
        assert!(failing.access_token().await.unwrap_err().contains("missing.json"));
    }

    #[tokio::test]
    async fn google_is_never_asked_for_the_registries_of_others() {
        let (keychain, door, _directory) = keychain("{}").await;
        assert!(keychain.credential(&"registry.example".parse().unwrap(), None).await.unwrap().is_none());
        assert!(door.tally().is_empty());
    }

    #[tokio::test]
    async fn a_credential_that_cannot_be_read_is_an_error_and_never_becomes_anonymous() {
        let (keychain, door, _directory) = keychain(r#"{"credHelpers": {"gcr.io": "absent"}}"#).await;
        let error = keychain.credential(&"gcr.io".parse().unwrap(), None).await.unwrap_err();
        assert!(error.contains("docker-credential-absent") && error.contains("gcr.io"), "{error}");
        assert!(door.tally().is_empty());
    }
}
