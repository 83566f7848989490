//! The environment variables that kpromo reads, and what each of them means. `docs/reference/environment.md` is made of them.

/// Variables for one purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// The heading.
    pub(crate) title: &'static str,
    /// The names, each with its meaning in Markdown.
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

/// The variables that [`super::Environment`] reads.
pub(crate) const READ: &[Group] = &[
    Group {
        title: "Configuration and output",
        variables: &[
            (
                "KPROMO_CONFIG",
                "path of the [configuration](configuration.md) file, unless `--config` is \
             given",
            ),
            ("NO_COLOR", "any value that is not empty disables colors; `--color` takes precedence"),
            ("CLICOLOR_FORCE", "any value but `0` enables colors even if the output is not a terminal"),
            ("CLICOLOR", "disables colors if it is `0`"),
            ("TERM", "disables colors and progress if it is `dumb`"),
        ],
    },
    Group {
        title: "Certificate authorities",
        variables: &[(
            "SSL_CERT_FILE",
            "file with the certificate authorities to trust instead of the system's",
        )],
    },
    Group {
        title: "Registry credentials",
        variables: &[
            ("DOCKER_CONFIG", "directory with docker's `config.json`; default: `~/.docker`"),
            ("REGISTRY_AUTH_FILE", "podman's credentials file; it is read before docker's"),
            ("XDG_RUNTIME_DIR", "directory with podman's `containers/auth.json`"),
            ("HOME", "home directory, which is searched for credentials files and caches"),
            ("PATH", "directories that are searched for docker's credential helpers, `git` and `gcloud`"),
            (
                "GOOGLE_APPLICATION_CREDENTIALS",
                "file with Google's application default credentials; default: the one that `gcloud` writes",
            ),
            ("GCE_METADATA_HOST", "host of Google's metadata service"),
            ("K_SERVICE", "set by Cloud Run and Knative; kpromo then waits for Google's metadata service"),
            ("CLOUD_RUN_JOB", "set by Cloud Run jobs; kpromo then waits for Google's metadata service"),
            ("GAE_SERVICE", "set by App Engine; kpromo then waits for Google's metadata service"),
        ],
    },
    Group {
        title: "Signing and trust",
        variables: &[
            ("SIGSTORE_ID_TOKEN", "an ID token to sign with"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "set by GitHub Actions: the URL that issues ID tokens"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "set by GitHub Actions: the token to request them with"),
            ("COSIGN_PASSWORD", "password of an encrypted signing key; may be set to an empty password"),
            (
                "TUF_ROOT",
                "directory with cosign's TUF files; kpromo keeps its own files in \
             `$TUF_ROOT/kpromo`",
            ),
            ("XDG_CACHE_HOME", "cache directory; default: `~/.cache`"),
        ],
    },
    Group {
        title: "CI job",
        variables: &[
            (
                "JOB_TYPE",
                "type of the Prow job; determines the base of `--use-prow-manifest-diff`, and is part \
                 of promotion records",
            ),
            ("PULL_BASE_SHA", "base commit of a `presubmit` or `batch` job"),
            ("JOB_NAME", "name of the job, for promotion records; also set by Jenkins"),
            ("BUILD_ID", "number of the build, for promotion records"),
            ("BUILD_URL", "URL of the build, for promotion records"),
            ("PROW_JOB_ID", "ID of the Prow job, for promotion records"),
            (
                "GITHUB_ACTIONS",
                "set by GitHub Actions; promotion records then describe the job by the variables below",
            ),
            ("GITHUB_WORKFLOW_REF", "file and ref of the workflow"),
            ("GITHUB_WORKFLOW", "name of the workflow, if `GITHUB_WORKFLOW_REF` is not set"),
            ("GITHUB_EVENT_NAME", "event that started the job"),
            ("GITHUB_RUN_ID", "number of the run"),
            ("GITHUB_RUN_ATTEMPT", "number of the attempt"),
            ("GITHUB_SERVER_URL", "URL of GitHub"),
            ("GITHUB_REPOSITORY", "repository, as `ORG/REPO`"),
            ("GITHUB_TRIGGERING_ACTOR", "user who started the run"),
            ("GITHUB_ACTOR", "the same, if `GITHUB_TRIGGERING_ACTOR` is not set"),
            ("GITLAB_CI", "set by GitLab; promotion records then describe the job by the variables below"),
            ("CI_JOB_NAME", "name of the job"),
            ("CI_JOB_ID", "number of the job"),
            ("CI_JOB_URL", "URL of the job"),
            ("CI_PIPELINE_SOURCE", "event that started the pipeline"),
            ("GITLAB_USER_LOGIN", "user who started the job"),
        ],
    },
    Group {
        title: "Shards",
        variables: &[
            ("KPROMO_SHARDS", "number of [shards](shards.md); `JOB_COMPLETION_INDEX` selects one of them"),
            ("JOB_COMPLETION_INDEX", "set by Kubernetes Indexed Jobs: index of the shard, from 0"),
        ],
    },
    Group {
        title: "Traces",
        variables: &[
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "URL of an OpenTelemetry collector, which receives a [trace](report.md#traces) of the run",
            ),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "the same for traces alone, as a complete URL"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "protocol of the collector; only `http/protobuf` is supported"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "the same for traces alone"),
            ("OTEL_SDK_DISABLED", "`true` turns traces off"),
            ("OTEL_SERVICE_NAME", "name of the service in traces; default: `kpromo`"),
        ],
    },
    Group {
        title: "Pull requests and releases",
        variables: &[
            ("GITHUB_TOKEN", "token for the forge's API and for pushes over HTTPS"),
            ("GH_TOKEN", "the same, if `GITHUB_TOKEN` is not set"),
        ],
    },
    Group {
        title: "Object stores",
        variables: &[
            ("AWS_ACCESS_KEY_ID", "access key for S3"),
            ("AWS_SECRET_ACCESS_KEY", "secret key for S3"),
            ("AWS_SESSION_TOKEN", "session token for S3"),
            ("AWS_PROFILE", "profile in the AWS CLI's configuration files"),
            ("AWS_SHARED_CREDENTIALS_FILE", "credentials file; default: `~/.aws/credentials`"),
            ("AWS_CONFIG_FILE", "configuration file with profiles; default: `~/.aws/config`"),
            ("AWS_REGION", "region of the buckets, if the store does not report it"),
            ("AWS_DEFAULT_REGION", "the same, if `AWS_REGION` is not set"),
            ("AWS_ENDPOINT_URL_S3", "URL of an S3-compatible store"),
            ("AWS_ENDPOINT_URL", "the same, if `AWS_ENDPOINT_URL_S3` is not set"),
            (
                "STORAGE_EMULATOR_HOST",
                "URL of a Google Cloud Storage emulator; kpromo sends it no \
             credentials",
            ),
        ],
    },
];

/// The variables that libraries read in this process.
pub(crate) const READ_BY_LIBRARIES: &[Group] = &[Group {
    title: "Network and files",
    variables: &[
        ("HTTPS_PROXY", "proxy for HTTPS requests; the lower-case name works too"),
        ("HTTP_PROXY", "proxy for plain HTTP requests; the lower-case name works too"),
        ("ALL_PROXY", "proxy for both, if the variables above are not set; the lower-case name works too"),
        ("NO_PROXY", "hosts that are contacted without a proxy; the lower-case name works too"),
        ("SSL_CERT_DIR", "directory with the certificate authorities to trust instead of the system's"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "headers for the trace collector, such as its token; never printed"),
        ("OTEL_RESOURCE_ATTRIBUTES", "attributes of the service in traces"),
        ("TMPDIR", "directory for temporary files, such as blobs that wait for slow registries"),
    ],
}];

/// Returns whether a variable is in [`READ`].
pub(crate) fn is_documented(name: &str) -> bool {
    READ.iter().any(|group| group.variables.iter().any(|(known, _)| *known == name))
}
