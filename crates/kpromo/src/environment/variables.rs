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
            ("KPROMO_CONFIG", "the [configuration](configuration.md) file, unless `--config` names one"),
            ("NO_COLOR", "disables colors, whatever its value, unless it is empty; `--color` wins"),
            ("CLICOLOR_FORCE", "enables colors even if the output is not a terminal, unless it is `0`"),
            ("CLICOLOR", "disables colors if it is `0`"),
            ("TERM", "disables colors and progress if it is `dumb`"),
        ],
    },
    Group {
        title: "Credentials of registries",
        variables: &[
            ("DOCKER_CONFIG", "folder of docker's `config.json`; default: `~/.docker`"),
            ("REGISTRY_AUTH_FILE", "podman's file of credentials; it is read before docker's"),
            ("XDG_RUNTIME_DIR", "folder in which podman keeps `containers/auth.json`"),
            ("HOME", "the home folder, in which files of credentials and caches are looked for"),
            ("PATH", "folders in which docker's credential helpers, `git` and `gcloud` are looked for"),
            (
                "GOOGLE_APPLICATION_CREDENTIALS",
                "file of Google's application default credentials; default: the one that `gcloud` writes",
            ),
            ("GCE_METADATA_HOST", "host of Google's metadata service"),
            ("K_SERVICE", "set by Cloud Run and Knative: Google's metadata service is waited for"),
            ("CLOUD_RUN_JOB", "set by Cloud Run jobs: Google's metadata service is waited for"),
            ("GAE_SERVICE", "set by App Engine: Google's metadata service is waited for"),
        ],
    },
    Group {
        title: "Signing and trust",
        variables: &[
            ("SIGSTORE_ID_TOKEN", "an ID token to sign with"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "set by GitHub Actions: the URL that issues ID tokens"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "set by GitHub Actions: the token to request them with"),
            ("COSIGN_PASSWORD", "password of an encrypted signing key; it may be set to the empty password"),
            ("TUF_ROOT", "folder of cosign's TUF files; kpromo keeps its own in `$TUF_ROOT/kpromo`"),
            ("XDG_CACHE_HOME", "folder of caches; default: `~/.cache`"),
        ],
    },
    Group {
        title: "The job",
        variables: &[
            (
                "JOB_TYPE",
                "type of the Prow job; decides the base of `--use-prow-manifest-diff`, and is recorded",
            ),
            ("PULL_BASE_SHA", "base commit of a `presubmit` or `batch` job"),
            ("JOB_NAME", "name of the job, for promotion records; Jenkins sets it, too"),
            ("BUILD_ID", "number of the build, for promotion records"),
            ("BUILD_URL", "address of the build, for promotion records"),
            ("PROW_JOB_ID", "id of the Prow job, for promotion records"),
            (
                "GITHUB_ACTIONS",
                "set by GitHub Actions: promotion records name its job by the variables below",
            ),
            ("GITHUB_WORKFLOW_REF", "the workflow, by its file and ref"),
            ("GITHUB_WORKFLOW", "the workflow by its name, if `GITHUB_WORKFLOW_REF` is not set"),
            ("GITHUB_EVENT_NAME", "the event that started the job"),
            ("GITHUB_RUN_ID", "number of the run"),
            ("GITHUB_RUN_ATTEMPT", "number of the attempt"),
            ("GITHUB_SERVER_URL", "address of GitHub"),
            ("GITHUB_REPOSITORY", "the repository, as `ORG/REPO`"),
            ("GITHUB_TRIGGERING_ACTOR", "who started the run"),
            ("GITHUB_ACTOR", "the same, if `GITHUB_TRIGGERING_ACTOR` is not set"),
            ("GITLAB_CI", "set by GitLab: promotion records name its job by the variables below"),
            ("CI_JOB_NAME", "name of the job"),
            ("CI_JOB_ID", "number of the job"),
            ("CI_JOB_URL", "address of the job"),
            ("CI_PIPELINE_SOURCE", "what started the pipeline"),
            ("GITLAB_USER_LOGIN", "who started the job"),
        ],
    },
    Group {
        title: "Shards",
        variables: &[
            (
                "KPROMO_SHARDS",
                "number of [shards](shards.md); with `JOB_COMPLETION_INDEX` it names the shard of the run",
            ),
            ("JOB_COMPLETION_INDEX", "set by Kubernetes Indexed Jobs: the number of the shard, from 0"),
        ],
    },
    Group {
        title: "Traces",
        variables: &[
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "URL of an OpenTelemetry collector: a run sends its [trace](report.md#traces) there",
            ),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "the same for traces alone, as a complete URL"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "protocol of the collector; kpromo speaks `http/protobuf`"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "the same for traces alone"),
            ("OTEL_SDK_DISABLED", "`true` turns traces off"),
            ("OTEL_SERVICE_NAME", "name of the service in traces; default: `kpromo`"),
        ],
    },
    Group {
        title: "Pull requests and releases",
        variables: &[
            ("GITHUB_TOKEN", "token for the API of the forge, and for pushes by HTTPS"),
            ("GH_TOKEN", "the same, if `GITHUB_TOKEN` is not set"),
        ],
    },
    Group {
        title: "Object stores",
        variables: &[
            ("AWS_ACCESS_KEY_ID", "access key for S3"),
            ("AWS_SECRET_ACCESS_KEY", "its secret"),
            ("AWS_SESSION_TOKEN", "its session token"),
            ("AWS_PROFILE", "profile in the files of the AWS command line"),
            ("AWS_SHARED_CREDENTIALS_FILE", "file of credentials; default: `~/.aws/credentials`"),
            ("AWS_CONFIG_FILE", "file of profiles; default: `~/.aws/config`"),
            ("AWS_REGION", "region of buckets, if the store does not tell it"),
            ("AWS_DEFAULT_REGION", "the same, if `AWS_REGION` is not set"),
            ("AWS_ENDPOINT_URL_S3", "URL of another store with the API of S3"),
            ("AWS_ENDPOINT_URL", "the same, if `AWS_ENDPOINT_URL_S3` is not set"),
            ("STORAGE_EMULATOR_HOST", "URL of an emulator of Google Cloud Storage; it gets no credentials"),
        ],
    },
];

/// The variables that libraries read in this process.
pub(crate) const READ_BY_LIBRARIES: &[Group] = &[Group {
    title: "Network and files",
    variables: &[
        ("HTTPS_PROXY", "proxy for requests by HTTPS; also in lower case"),
        ("HTTP_PROXY", "proxy for requests by plain HTTP; also in lower case"),
        ("ALL_PROXY", "proxy for both, where the variables above are not set; also in lower case"),
        ("NO_PROXY", "hosts for which no proxy is used; also in lower case"),
        ("SSL_CERT_FILE", "file of the authorities to trust, in place of the system's"),
        ("SSL_CERT_DIR", "folder of the authorities to trust, in place of the system's"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "headers for the collector of traces, such as its token; never printed",
        ),
        ("OTEL_RESOURCE_ATTRIBUTES", "attributes of the service in traces"),
        ("TMPDIR", "folder for temporary files, such as blobs that wait for slow registries"),
    ],
}];

/// Returns whether a variable is in [`READ`].
pub(crate) fn is_documented(name: &str) -> bool {
    READ.iter().any(|group| group.variables.iter().any(|(known, _)| *known == name))
}
