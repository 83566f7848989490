//! The locations of credentials.

use std::ffi::OsString;
use std::path::PathBuf;

/// The locations of credentials, as set by the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// `DOCKER_CONFIG`: the directory of docker's configuration.
    pub(crate) docker_config: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `REGISTRY_AUTH_FILE`: podman's credential file.
    pub(crate) registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: the directory of podman's default credential file.
    pub(crate) runtime_directory: Option<PathBuf>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`: a Google credential file.
    pub(crate) google_credentials: Option<PathBuf>,
    /// `GCE_METADATA_HOST`: another host for the metadata server.
    pub(crate) metadata_host: Option<String>,
    /// Whether a variable indicates that this process runs on Google Cloud, so that requests to the metadata server are retried.
    pub(crate) is_at_google: bool,
    /// `PATH`: the search path of credential helpers.
    pub(crate) path: Option<OsString>,
}

/// Returns the host of Google's metadata server. It has no TLS. The link-local address is served by the VM's own host.
pub(crate) fn metadata_host(places: &Places) -> String {
    places.metadata_host.clone().unwrap_or_else(|| "169.254.169.254".to_owned())
}
