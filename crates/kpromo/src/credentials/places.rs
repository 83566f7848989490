//! Places where credentials may be.

use std::ffi::OsString;
use std::path::PathBuf;

/// Places where credentials may be, as the environment names them.
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
    /// Whether a variable says that we run at Google, so that the metadata service is waited for.
    pub(crate) is_at_google: bool,
    /// `PATH`: where helpers are.
    pub(crate) path: Option<OsString>,
}

/// The host of Google's metadata service. It has no TLS; the link-local address is that of the machine's own host.
pub(crate) fn metadata_host(places: &Places) -> String {
    places.metadata_host.clone().unwrap_or_else(|| "169.254.169.254".to_owned())
}
