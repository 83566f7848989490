//! The fields of provenance that name the source of a build. They depend on the build type, and come from its definition.
//!
//! SLSA leaves the meaning of parameters to the build type, so the same field means different things in different types. The
//! dependencies of a build do not show which of them was built. The table is in `docs/design/provenance.md`.

/// The fields that name the source in the provenance of a build type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The parameters that name a source, as paths in the predicate. All that are present count.
    pub(super) parameters: &'static [&'static str],
    /// The dependencies that the build type defines as its source. If it defines any, there must be at least one.
    pub(super) dependencies: Dependencies,
}

/// The dependencies that a build type defines as its source. All that match count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dependencies {
    /// No dependency: inputs of the build are not its source.
    None,
    /// The first dependency.
    First,
    /// The dependencies with this name.
    Named(&'static str),
    /// All dependencies that come from git.
    Git,
}

impl Dependencies {
    /// Whether a dependency is one of these. `number` is its index in the list.
    pub(super) fn includes(self, number: usize, name: Option<&str>, uri: &str) -> bool {
        match self {
            Self::None => false,
            Self::First => number == 0,
            Self::Named(wanted) => name == Some(wanted),
            Self::Git => uri.starts_with("git+"),
        }
    }
}

const NO_SOURCE: Places = reported(&[]);
const CONFIG_SOURCE: &str = "/invocation/configSource/uri";
const WORKFLOW: &str = "/buildDefinition/externalParameters/workflow/repository";
const BUILD_CONFIG_SOURCE: &str = "/buildDefinition/externalParameters/buildConfigSource/repository";
const SOURCE_TO_BUILD: &str = "/buildDefinition/externalParameters/sourceToBuild/repository";

/// Returns the fields of a build type that names its source only by parameters.
const fn reported(parameters: &'static [&'static str]) -> Places {
    Places { parameters, dependencies: Dependencies::None }
}

/// Returns the source fields of provenance v0.2. SLSA itself defines `invocation.configSource` for all build types.
pub(super) fn places_v0_2(build_type: Option<&str>) -> Places {
    match build_type {
        // For Tekton Chains, this field names the pipeline definition, and the source is among the materials.
        Some(
            "tekton.dev/v1beta1/TaskRun"
            | "tekton.dev/v1beta1/PipelineRun"
            | "tekton.dev/v1/TaskRun"
            | "tekton.dev/v1/PipelineRun"
            | "https://tekton.dev/attestations/chains@v2"
            | "https://tekton.dev/attestations/chains/pipelinerun@v2",
        ) => Places { parameters: &[CONFIG_SOURCE], dependencies: Dependencies::Git },
        _ => reported(&[CONFIG_SOURCE]),
    }
}

/// Returns the source fields of provenance v1. An unknown build type has none.
pub(super) fn places_v1(build_type: Option<&str>) -> Places {
    match build_type.unwrap_or_default() {
        // GitHub's artifact attestations, and their draft.
        "https://actions.github.io/buildtypes/workflow/v1"
        | "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1" => reported(&[WORKFLOW]),
        // slsa-github-generator: the delegated builders, and the container-based builder.
        "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0" => {
            Places { parameters: &[WORKFLOW], dependencies: Dependencies::First }
        }
        "https://slsa.dev/container-based-build/v0.1?draft" => {
            reported(&["/buildDefinition/externalParameters/source/uri"])
        }
        // Google Cloud Build: its two own build types, and the build type that the community described.
        "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1" => {
            reported(&[SOURCE_TO_BUILD, BUILD_CONFIG_SOURCE])
        }
        "https://cloud.google.com/build/gcb-buildtypes/google-builder/v1" => reported(&[BUILD_CONFIG_SOURCE]),
        "https://slsa-framework.github.io/gcb-buildtypes/triggered-build/v1" => {
            reported(&[SOURCE_TO_BUILD, "/buildDefinition/externalParameters/configSource/repository"])
        }
        // BuildKit.
        "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
        | "https://mobyproject.org/buildkit@v1" => {
            reported(&["/buildDefinition/externalParameters/configSource/uri"])
        }
        // Tekton Chains.
        "https://tekton.dev/chains/v2/slsa"
        | "https://tekton.dev/chains/v2/slsa-tekton"
        | "https://tekton.dev/predicate/chains/slsa/v2" => {
            let dependencies = Dependencies::Named("inputs/result");
            Places { parameters: &[BUILD_CONFIG_SOURCE], dependencies }
        }
        other if is_gitlab(other) => reported(&["/buildDefinition/externalParameters/source"]),
        _ => NO_SOURCE,
    }
}

/// Whether a build type is one of GitLab. That of the runner contains the version of the runner.
fn is_gitlab(build_type: &str) -> bool {
    let of_runner = build_type
        .strip_prefix("https://gitlab.com/gitlab-org/gitlab-runner/-/blob/")
        .and_then(|rest| rest.strip_suffix("/PROVENANCE.md"))
        .is_some_and(|version| !version.is_empty() && !version.contains('/'));
    let of_server = matches!(
        build_type.trim_end_matches('/'),
        "https://docs.gitlab.com/ci/pipeline_security/slsa/provenance_v1"
            | "https://docs.gitlab.com/ci/pipeline_security/slsa/level_3/provenance_v1"
    );
    of_runner || of_server
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_type_of_gitlab_may_contain_any_version_of_the_runner() {
        let blob = "https://gitlab.com/gitlab-org/gitlab-runner/-/blob";
        for known in ["v15.0.0/PROVENANCE.md", "598a7c91/PROVENANCE.md"] {
            assert!(is_gitlab(&format!("{blob}/{known}")), "{known}");
        }
        for other in ["PROVENANCE.md", "/PROVENANCE.md", "a/b/PROVENANCE.md", "v15.0.0/README.md"] {
            assert!(!is_gitlab(&format!("{blob}/{other}")), "{other}");
        }
        assert!(!is_gitlab("https://gitlab.example/gitlab-org/gitlab-runner/-/blob/v15/PROVENANCE.md"));
        assert!(is_gitlab("https://docs.gitlab.com/ci/pipeline_security/slsa/provenance_v1/"));
        assert!(!is_gitlab("https://docs.gitlab.com/ci/pipeline_security/slsa"));
    }

    #[test]
    fn build_types_are_compared_exactly() {
        for almost in [
            "https://actions.github.io/buildtypes/workflow/v1/",
            "https://actions.github.io/buildtypes/workflow/v2",
            "http://actions.github.io/buildtypes/workflow/v1",
            "https://evil.example/?https://actions.github.io/buildtypes/workflow/v1",
            "",
        ] {
            assert_eq!(places_v1(Some(almost)), NO_SOURCE, "{almost}");
        }
        assert_eq!(places_v1(None), NO_SOURCE);
    }
}
