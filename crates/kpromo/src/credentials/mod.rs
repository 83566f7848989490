//! Where credentials come from: docker's and podman's files, their helpers, Google's default credentials
//! (`docs/design/credentials.md`).

mod docker;
mod google;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use oci::{Credential, CredentialSource, Host};
use transport::Door;

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
    fn credential<'a>(&'a self, host: &'a Host) -> BoxFuture<'a, Result<Option<Credential>, String>> {
        Box::pin(async move {
            // What somebody has configured for a host comes before what a cloud offers for all of its hosts.
            match self.files.credential(host).await? {
                None if google::is_google(host) => self.google.credential().await,
                found => Ok(found),
            }
        })
    }
}
