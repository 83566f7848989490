//! The environment of the process. No other module reads environment variables.

pub(crate) mod variables;

use std::ffi::OsString;
use std::path::PathBuf;

use transport::Secret;
use trust::CiJob;

use crate::args::ShardVariables;
use crate::color::ColorVariables;
use crate::credentials::{AwsPlaces, Places};
use crate::telemetry::Collector;

/// The relevant environment variables, read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// The locations of credentials.
    pub(crate) places: Places,
    /// The sources of ID tokens and keys.
    pub(crate) tokens: Tokens,
    /// The locations of caches.
    pub(crate) caches: Caches,
    /// The access to S3.
    pub(crate) aws: AwsPlaces,
    /// `STORAGE_EMULATOR_HOST`: an emulator of Google Cloud Storage.
    pub(crate) storage_emulator: Option<String>,
    /// `SSL_CERT_FILE`: the certificate authorities to trust instead of the system's.
    pub(crate) certificate_file: Option<PathBuf>,
    /// `KPROMO_CONFIG`: the configuration, unless a flag names one.
    pub(crate) config: Option<PathBuf>,
    /// The CI job that runs this process: see [`ci_job`].
    pub(crate) job: CiJob,
    /// `KPROMO_SHARDS`, `JOB_COMPLETION_INDEX`: the shard of a promotion, unless a flag names one.
    pub(crate) shard: ShardVariables,
    /// `PULL_BASE_SHA`: the base commit of a Prow job's change.
    pub(crate) pull_base_sha: Option<String>,
    /// `GITHUB_TOKEN`, or else `GH_TOKEN`: the token for the API of the forge, and for pushes by HTTPS.
    pub(crate) forge_token: Option<Secret>,
    /// The collector of traces.
    pub(crate) collector: Collector,
    /// The variables that determine whether colors are used.
    pub(crate) color: ColorVariables,
}

/// The variables that concern the signer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// `SIGSTORE_ID_TOKEN`: an ID token.
    pub(crate) value: Option<Secret>,
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`: the URL at which GitHub Actions issues ID tokens.
    pub(crate) github_url: Option<String>,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`: the token that authorizes these requests.
    pub(crate) github_token: Option<Secret>,
    /// `COSIGN_PASSWORD`: the password of an encrypted private key. It may be empty: then the password is the empty text.
    pub(crate) key_password: Option<Secret>,
}

/// The variables that determine where fetched files are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caches {
    /// `TUF_ROOT`: the directory of cosign's TUF files.
    pub(crate) tuf_root: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub(crate) cache_home: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
}

impl Caches {
    /// Returns the directory for TUF files, or `None` if no variable determines one. It is separate from cosign's own files.
    pub(crate) fn trust(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.tuf_root {
            return Some(directory.join("kpromo"));
        }
        // A cache directory that is not absolute must be ignored (XDG Base Directory Specification).
        let cache = self.cache_home.clone().filter(|directory| directory.is_absolute());
        let cache = cache.or_else(|| self.home.as_ref().map(|home| home.join(".cache")));
        cache.map(|directory| directory.join("kpromo").join("tuf"))
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
            // `GCE_METADATA_HOST` names a metadata server. Cloud Run and App Engine set the other variables.
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
            aws: AwsPlaces {
                key_id: text("AWS_ACCESS_KEY_ID"),
                secret_key: text("AWS_SECRET_ACCESS_KEY").map(Secret::new),
                session_token: text("AWS_SESSION_TOKEN").map(Secret::new),
                profile: text("AWS_PROFILE"),
                region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
                endpoint: text("AWS_ENDPOINT_URL_S3").or_else(|| text("AWS_ENDPOINT_URL")),
                credentials_file: path("AWS_SHARED_CREDENTIALS_FILE"),
                config_file: path("AWS_CONFIG_FILE"),
                home: path("HOME"),
            },
            storage_emulator: text("STORAGE_EMULATOR_HOST"),
            certificate_file: path("SSL_CERT_FILE"),
            config: path("KPROMO_CONFIG"),
            job: ci_job(text),
            shard: ShardVariables { count: shown("KPROMO_SHARDS"), index: shown("JOB_COMPLETION_INDEX") },
            pull_base_sha: text("PULL_BASE_SHA"),
            forge_token: text("GITHUB_TOKEN").or_else(|| text("GH_TOKEN")).map(Secret::new),
            collector: Collector {
                endpoint: text("OTEL_EXPORTER_OTLP_ENDPOINT"),
                traces_endpoint: text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
                protocol: text("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
                    .or_else(|| text("OTEL_EXPORTER_OTLP_PROTOCOL")),
                is_disabled: text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")),
                has_service_name: variable("OTEL_SERVICE_NAME").is_some(),
            },
            color: ColorVariables {
                no_color: variable("NO_COLOR").is_some(),
                force: variable("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
                off: variable("CLICOLOR").is_some_and(|value| value == "0"),
                is_dumb: variable("TERM").is_some_and(|value| value == "dumb"),
            },
        }
    }
}

/// Returns the job that the variables of a CI system describe: GitHub Actions, GitLab, or Prow, whose variables Jenkins has too.
fn ci_job(text: impl Fn(&str) -> Option<String>) -> CiJob {
    if text("GITHUB_ACTIONS").is_some() {
        let run = text("GITHUB_RUN_ID");
        let page = |run: &String| {
            let (server, repository) = (text("GITHUB_SERVER_URL")?, text("GITHUB_REPOSITORY")?);
            let attempt = text("GITHUB_RUN_ATTEMPT").map(|number| format!("/attempts/{number}"));
            Some(format!("{server}/{repository}/actions/runs/{run}{}", attempt.unwrap_or_default()))
        };
        return CiJob {
            system: Some("github-actions"),
            name: text("GITHUB_WORKFLOW_REF").or_else(|| text("GITHUB_WORKFLOW")),
            kind: text("GITHUB_EVENT_NAME"),
            url: run.as_ref().and_then(page),
            build_id: run,
            prow_job_id: None,
            actor: text("GITHUB_TRIGGERING_ACTOR").or_else(|| text("GITHUB_ACTOR")),
        };
    }
    if text("GITLAB_CI").is_some() {
        return CiJob {
            system: Some("gitlab"),
            name: text("CI_JOB_NAME"),
            kind: text("CI_PIPELINE_SOURCE"),
            build_id: text("CI_JOB_ID"),
            prow_job_id: None,
            url: text("CI_JOB_URL"),
            actor: text("GITLAB_USER_LOGIN"),
        };
    }
    let prow_job_id = text("PROW_JOB_ID");
    CiJob {
        system: prow_job_id.as_ref().map(|_| "prow"),
        name: text("JOB_NAME"),
        kind: text("JOB_TYPE"),
        build_id: text("BUILD_ID"),
        prow_job_id,
        url: text("BUILD_URL"),
        actor: None,
    }
}

/// Returns a variable that is set.
fn raw(name: &str) -> Option<OsString> {
    debug_assert!(variables::is_documented(name), "add {name} to environment/variables.rs");
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    std::env::var_os(name)
}

/// Returns a variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    raw(name).filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

fn text(name: &str) -> Option<String> {
    variable(name).and_then(|value| value.into_string().ok())
}

/// Returns a variable that is set, even if it is not text: it is then wrong, and must not count as not set.
fn shown(name: &str) -> Option<String> {
    variable(name).map(|value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_documented_variables_are_read() {
        // `raw` panics for a variable without documentation.
        let _ = Environment::read();
        let source = include_str!("environment.rs");
        for (name, _) in variables::READ.iter().flat_map(|group| group.variables) {
            assert!(source.contains(&format!("\"{name}\"")), "{name} is documented and not read");
        }
        assert!(!variables::is_documented("KPROMO_CONFIGURATION"));
    }

    #[test]
    fn no_secret_is_ever_shown() {
        let secret = || Some(Secret::new("hush"));
        let tokens =
            Tokens { value: secret(), github_token: secret(), key_password: secret(), github_url: None };
        let shown = format!("{:?}", Environment { tokens, forge_token: secret(), ..Environment::default() });
        assert!(shown.contains("[secret]") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn the_variables_of_a_ci_system_describe_its_job() {
        let job = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
            ci_job(|name| find(name).map(|(_, value)| (*value).to_owned()))
        };
        let text = |text: &str| Some(text.to_owned());
        let github = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "org/repo"),
            ("GITHUB_RUN_ID", "12"),
            ("GITHUB_RUN_ATTEMPT", "2"),
            ("GITHUB_WORKFLOW_REF", "org/repo/.github/workflows/promote.yml@refs/heads/main"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_ACTOR", "author"),
            ("GITHUB_TRIGGERING_ACTOR", "approver"),
        ];
        let expected = CiJob {
            system: Some("github-actions"),
            name: text("org/repo/.github/workflows/promote.yml@refs/heads/main"),
            kind: text("push"),
            build_id: text("12"),
            prow_job_id: None,
            url: text("https://github.com/org/repo/actions/runs/12/attempts/2"),
            actor: text("approver"),
        };
        assert_eq!(job(&github), expected);
        let gitlab = [
            ("GITLAB_CI", "true"),
            ("CI_JOB_NAME", "promote"),
            ("CI_PIPELINE_SOURCE", "web"),
            ("CI_JOB_ID", "7"),
            ("CI_JOB_URL", "https://gitlab.example/-/jobs/7"),
            ("GITLAB_USER_LOGIN", "me"),
        ];
        let expected = CiJob {
            system: Some("gitlab"),
            name: text("promote"),
            kind: text("web"),
            build_id: text("7"),
            prow_job_id: None,
            url: text("https://gitlab.example/-/jobs/7"),
            actor: text("me"),
        };
        assert_eq!(job(&gitlab), expected);
        let prow = [("JOB_NAME", "post-promo"), ("JOB_TYPE", "postsubmit"), ("BUILD_ID", "9")];
        let with_id = [&prow[..], &[("PROW_JOB_ID", "u-u-i-d")]].concat();
        assert_eq!(job(&with_id).system, Some("prow"));
        assert_eq!((job(&prow).system, job(&prow).build_id), (None, text("9")));
        assert_eq!(job(&[]), CiJob::default());
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
