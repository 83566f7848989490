//! The process's surroundings. Nothing else reads environment variables.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::credentials::Places;

/// The environment variables that mean something, read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Where credentials may be.
    pub(crate) places: Places,
    /// `JOB_TYPE`: the type of the Prow job.
    pub(crate) job_type: Option<String>,
    /// `PULL_BASE_SHA`: what a Prow job's change is based on.
    pub(crate) pull_base_sha: Option<String>,
    /// `NO_COLOR`: no colours, please.
    pub(crate) no_color: bool,
}

impl Environment {
    /// Reads the environment.
    pub(crate) fn read() -> Self {
        let places = Places {
            docker_config: path("DOCKER_CONFIG"),
            home: path("HOME"),
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            runtime_directory: path("XDG_RUNTIME_DIR"),
            google_credentials: path("GOOGLE_APPLICATION_CREDENTIALS"),
            metadata_host: text("GCE_METADATA_HOST"),
            path: variable("PATH"),
        };
        Self {
            places,
            job_type: text("JOB_TYPE"),
            pull_base_sha: text("PULL_BASE_SHA"),
            no_color: variable("NO_COLOR").is_some(),
        }
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

fn text(name: &str) -> Option<String> {
    variable(name).and_then(|value| value.into_string().ok())
}
