//! Where credentials come from: docker's and podman's files, their helpers, Google's default credentials
//! (`docs/design/credentials.md`).

mod docker;
mod google;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use oci::{CredentialSource, FoundCredential, Host, RepositoryPath};
use sigstore::AccessTokens;
use transport::{Door, Secret};

use docker::AuthFiles;
use google::Google;

/// How long a failure is remembered, lest every request of a run waits for the same one.
const FAILURE_LIFE: Duration = Duration::from_secs(60);

/// What the environment says of places where credentials may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// `DOCKER_CONFIG`: the folder of docker's configuration.
    pub(crate) docker_config: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `REGISTRY_AUTH_FILE`: podman's file.
    pub(crate) registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: where podman keeps its file otherwise.
    pub(crate) runtime_directory: Option<PathBuf>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`: a file of Google's.
    pub(crate) google_credentials: Option<PathBuf>,
    /// `GCE_METADATA_HOST`: another host for the metadata service.
    pub(crate) metadata_host: Option<String>,
    /// `PATH`: where helpers are.
    pub(crate) path: Option<OsString>,
}

/// The host of Google's metadata service. It has no TLS; the link-local address is that of the machine's own host.
pub(crate) fn metadata_host(places: &Places) -> String {
    places.metadata_host.clone().unwrap_or_else(|| "169.254.169.254".to_owned())
}

/// All credentials of the person who runs us. Files are read when the first one is needed.
#[derive(Debug)]
pub(crate) struct Keychain {
    files: AuthFiles,
    google: Google,
}

impl Keychain {
    /// A keychain that has read nothing yet.
    pub(crate) fn new(places: Places, door: Door) -> Self {
        Self { google: Google::new(&places, door), files: AuthFiles::new(places) }
    }
}

impl CredentialSource for Keychain {
    fn credential<'a>(
        &'a self,
        host: &'a Host,
        _: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Option<FoundCredential>, String>> {
        Box::pin(async move {
            // A credential that is configured for a host takes precedence over the cloud's own for all of its hosts.
            let found = match self.files.credential(host).await? {
                None if google::is_google(host) => self.google.credential().await?,
                found => found,
            };
            Ok(found.map(|credential| credential.from("the configured credentials")))
        })
    }

    fn places(&self) -> String {
        "docker's and podman's configuration".to_owned()
    }
}

/// What Google has given for registries also serves to ask it for identities.
impl AccessTokens for Keychain {
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        Box::pin(self.google.access_token())
    }
}

/// The bytes of a file of at most `limit` bytes; `None` where there is no such file.
fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        // Opening a pipe would wait until somebody writes to it.
        Ok(metadata) if !metadata.is_file() => return Err("not a regular file".to_owned()),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > limit { Err(format!("larger than {limit} bytes")) } else { Ok(Some(bytes)) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A keychain with this configuration of docker's, where nobody answers at the address of the metadata service.
    async fn keychain(config: &str) -> (Keychain, Door, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), config).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let places = Places {
            docker_config: Some(folder.path().to_owned()),
            metadata_host: Some(free.to_string()),
            ..Places::default()
        };
        let door = Door::open(transport::Settings::default()).unwrap();
        (Keychain::new(places, door.clone()), door, folder)
    }

    #[tokio::test]
    async fn what_is_configured_for_a_google_host_comes_before_what_google_offers() {
        let (keychain, door, _folder) = keychain(r#"{"auths": {"gcr.io": {"auth": "dTpw"}}}"#).await;
        let found = keychain.credential(&"gcr.io".parse().unwrap(), None).await.unwrap();
        assert!(matches!(found.unwrap().credential, oci::Credential::Basic { user, .. } if user == "u"));
        assert!(door.tally().is_empty(), "nobody has to be asked");
        assert!(keychain.credential(&"eu.gcr.io".parse().unwrap(), None).await.unwrap().is_none());
        assert_eq!(door.tally().len(), 1, "the metadata service is asked for a host that no file knows");
    }

    #[tokio::test]
    async fn an_access_token_that_nobody_has_is_none_and_one_that_cannot_be_had_is_an_error() {
        let (absent, _door, folder) = keychain("{}").await;
        assert!(absent.access_token().await.unwrap().is_none());
        let missing = folder.path().join("missing.json");
        let places = Places { google_credentials: Some(missing), ..Places::default() };
        let failing = Keychain::new(places, Door::open(transport::Settings::default()).unwrap());
        assert!(failing.access_token().await.unwrap_err().contains("missing.json"));
    }

    #[tokio::test]
    async fn google_is_never_asked_for_the_registries_of_others() {
        let (keychain, door, _folder) = keychain("{}").await;
        assert!(keychain.credential(&"registry.example".parse().unwrap(), None).await.unwrap().is_none());
        assert!(door.tally().is_empty());
    }

    #[tokio::test]
    async fn a_credential_that_cannot_be_had_is_an_error_and_never_becomes_anonymous() {
        let (keychain, door, _folder) = keychain(r#"{"credHelpers": {"gcr.io": "absent"}}"#).await;
        let error = keychain.credential(&"gcr.io".parse().unwrap(), None).await.unwrap_err();
        assert!(error.contains("docker-credential-absent") && error.contains("gcr.io"), "{error}");
        assert!(door.tally().is_empty());
    }
}
