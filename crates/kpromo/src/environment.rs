//! The process's surroundings. Nothing else reads environment variables.

use std::ffi::OsString;
use std::path::PathBuf;

use transport::Secret;
use trust::CiJob;

use crate::credentials::Places;

/// The environment variables that mean something, read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Where credentials may be.
    pub(crate) places: Places,
    /// Where ID tokens and keys may come from.
    pub(crate) tokens: Tokens,
    /// Where trust may be kept.
    pub(crate) caches: Caches,
    /// `KPROMO_CONFIG`: the configuration where no flag names one.
    pub(crate) config: Option<PathBuf>,
    /// `JOB_NAME`, `JOB_TYPE`, `BUILD_ID`, `PROW_JOB_ID`: the job that we are part of.
    pub(crate) job: CiJob,
    /// `PULL_BASE_SHA`: what a Prow job's change is based on.
    pub(crate) pull_base_sha: Option<String>,
    /// `NO_COLOR`: no colours, please.
    pub(crate) no_color: bool,
}

/// What the environment says of whom to sign as.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// `SIGSTORE_ID_TOKEN`: an ID token.
    pub(crate) value: Option<Secret>,
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`: where GitHub Actions gives ID tokens.
    pub(crate) github_url: Option<String>,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`: what it wants to see.
    pub(crate) github_token: Option<Secret>,
    /// `COSIGN_PASSWORD`: of an encrypted private key. It may be empty, which is then the password.
    pub(crate) key_password: Option<Secret>,
}

/// What the environment says of where to keep what was fetched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caches {
    /// `TUF_ROOT`: where cosign keeps what it got through TUF.
    pub(crate) tuf_root: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub(crate) cache_home: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
}

impl Caches {
    /// The folder for what is got through TUF; none where nobody has a home. Beside cosign's own files, never among them.
    pub(crate) fn trust(&self) -> Option<PathBuf> {
        if let Some(folder) = &self.tuf_root {
            return Some(folder.join("kpromo"));
        }
        // A cache folder that is not absolute is to be ignored (XDG Base Directory Specification).
        let cache = self.cache_home.clone().filter(|folder| folder.is_absolute());
        let cache = cache.or_else(|| self.home.as_ref().map(|home| home.join(".cache")));
        cache.map(|folder| folder.join("kpromo").join("tuf"))
    }
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
            // Who names a metadata service has one; Cloud Run and App Engine name what they run.
            is_at_google: ["GCE_METADATA_HOST", "K_SERVICE", "CLOUD_RUN_JOB", "GAE_SERVICE"]
                .iter()
                .any(|name| variable(name).is_some()),
            path: variable("PATH"),
        };
        Self {
            places,
            tokens: Tokens {
                value: text("SIGSTORE_ID_TOKEN").map(Secret::new),
                github_url: text("ACTIONS_ID_TOKEN_REQUEST_URL"),
                github_token: text("ACTIONS_ID_TOKEN_REQUEST_TOKEN").map(Secret::new),
                key_password: raw("COSIGN_PASSWORD")
                    .and_then(|value| value.into_string().ok())
                    .map(Secret::new),
            },
            caches: Caches {
                tuf_root: path("TUF_ROOT"),
                cache_home: path("XDG_CACHE_HOME"),
                home: path("HOME"),
            },
            config: path("KPROMO_CONFIG"),
            job: CiJob {
                name: text("JOB_NAME"),
                kind: text("JOB_TYPE"),
                build_id: text("BUILD_ID"),
                prow_job_id: text("PROW_JOB_ID"),
            },
            pull_base_sha: text("PULL_BASE_SHA"),
            no_color: variable("NO_COLOR").is_some(),
        }
    }
}

/// A variable that is set.
fn raw(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    std::env::var_os(name)
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    raw(name).filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

fn text(name: &str) -> Option<String> {
    variable(name).and_then(|value| value.into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_ever_shown() {
        let secret = || Some(Secret::new("hush"));
        let tokens =
            Tokens { value: secret(), github_token: secret(), key_password: secret(), github_url: None };
        let shown = format!("{:?}", Environment { tokens, ..Environment::default() });
        assert!(shown.contains("[secret]") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn trust_is_kept_beside_cosign_s_or_in_the_user_s_cache() {
        let home = Caches { home: Some("/home/me".into()), ..Caches::default() };
        let relative = Caches { cache_home: Some("cache".into()), ..home.clone() };
        let cache = Caches { cache_home: Some("/cache".into()), ..home.clone() };
        let cosign = Caches { tuf_root: Some("/sigstore".into()), ..cache.clone() };
        for (caches, expected) in [
            (Caches::default(), None),
            (home, Some("/home/me/.cache/kpromo/tuf")),
            (relative, Some("/home/me/.cache/kpromo/tuf")),
            (cache, Some("/cache/kpromo/tuf")),
            (cosign, Some("/sigstore/kpromo")),
        ] {
            assert_eq!(caches.trust(), expected.map(PathBuf::from), "{caches:?}");
        }
    }
}
