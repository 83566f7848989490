//! `cargo xtask test`: everything that the tests need, then all tests.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::debian::{self, Package};
use crate::environment;
use crate::error::Error;
use crate::sigstore::{self, Sigstore};
use crate::step::step;
use crate::tools::{Cache, Source, Tool};
use crate::workspace::Workspace;

/// Tests copy with it, and so does the benchmark.
pub(crate) const SKOPEO: Package = Package { command: "skopeo", package: "skopeo" };

/// Programs that the tests take from PATH.
const PACKAGES: &[Package] = &[
    Package { command: "docker-registry", package: "docker-registry" },
    Package { command: "git", package: "git" },
    SKOPEO,
];

/// Tests copy with it, and so does the benchmark.
pub(crate) const CRANE: Tool = Tool {
    name: "crane",
    version: "v0.22.1",
    source: Source::Go("github.com/google/go-containerregistry/cmd/crane"),
};

/// Programs that the tests take from the folder in `KPROMO_TEST_TOOLS`. To add one, add a row; to upgrade one, change its
/// version.
const TOOLS: &[Tool] = &[
    Tool {
        name: "conformance",
        version: "v0.0.0-20260831232431-97274622c111",
        source: Source::Go("github.com/opencontainers/distribution-spec/conformance"),
    },
    CRANE,
    Tool {
        name: "distribution",
        version: "v3.1.2",
        source: Source::Go("github.com/distribution/distribution/v3/cmd/registry"),
    },
    Tool {
        name: "slsa-verifier",
        version: "v2.7.1",
        source: Source::GoModule {
            module: "github.com/slsa-framework/slsa-verifier/v2",
            package: "cli/slsa-verifier",
            replaced: &[],
        },
    },
];

/// Installs what is missing and runs the tests that `arguments` select: all, where there are none.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<(), Error> {
    let tools = install(workspace)?;
    let sigstore = if environment::has_sigstore() { None } else { Some(Sigstore::start(workspace, &tools)?) };
    let mut command = workspace.cargo(["test"]);
    command.args(complete(arguments)).env(environment::TOOLS, &tools);
    command.envs(sigstore.as_ref().map(|running| (environment::SIGSTORE, running.folder())));
    step("tests", &mut command)?;
    Ok(())
}

/// Installs what is missing and gives the folder of the tools.
///
/// # Errors
/// When something cannot be installed.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf, Error> {
    debian::install(&[PACKAGES, sigstore::PACKAGES].concat())?;
    let tools = workspace.target().join("xtask").join("tools");
    Cache::open()?.link(&[TOOLS, sigstore::TOOLS].concat(), &tools)?;
    Ok(tools)
}

/// What a developer's `arguments` leave open: the packages are all, and the tests those that are marked as ignored too.
///
/// No target is named: cargo then runs what each package has, documentation tests included, and does not complain of a
/// package that has no library to document.
fn complete(arguments: &[OsString]) -> Vec<OsString> {
    let dashes = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let (ours, rest) = arguments.split_at(dashes);
    let harness = rest.get(1..).unwrap_or_default();
    let workspace = (!ours.iter().any(|word| names_packages(word))).then(|| OsString::from("--workspace"));
    let include = ["--", "--include-ignored"].map(OsString::from);
    workspace.into_iter().chain(ours.iter().cloned()).chain(include).chain(harness.iter().cloned()).collect()
}

/// Whether a word is a flag of cargo that says which packages are meant. `--exclude` is not: it takes away from
/// `--workspace`.
fn names_packages(word: &OsStr) -> bool {
    let text = word.to_string_lossy();
    let long = text.split_once('=').map_or(&*text, |(flag, _)| flag);
    text.starts_with("-p") || ["--package", "--workspace", "--all"].contains(&long)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        complete(&arguments).join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn without_arguments_everything_runs() {
        assert_eq!(completed(&[]), "--workspace -- --include-ignored");
    }

    #[test]
    fn a_filter_selects_from_everything() {
        assert_eq!(completed(&["copy"]), "--workspace copy -- --include-ignored");
        assert_eq!(
            completed(&["--test", "outside"]),
            "--workspace --test outside -- --include-ignored",
            "and so does a target"
        );
    }

    #[test]
    fn a_package_replaces_the_workspace_however_it_is_written() {
        for written in ["-p oci", "-poci", "--package oci", "--package=oci", "--workspace --exclude oci"] {
            let words: Vec<_> = written.split(' ').collect();
            assert_eq!(completed(&words), format!("{written} -- --include-ignored"));
        }
    }

    #[test]
    fn a_package_that_is_left_out_is_left_out_of_the_workspace() {
        assert_eq!(completed(&["--exclude", "oci"]), "--workspace --exclude oci -- --include-ignored");
    }

    #[test]
    fn what_follows_further_dashes_goes_to_the_tests() {
        let expected = "--workspace --lib copy -- --include-ignored --nocapture";
        assert_eq!(completed(&["--lib", "copy", "--", "--nocapture"]), expected);
    }

    #[test]
    fn every_tool_is_pinned_and_has_a_name_of_its_own() {
        let tools = [TOOLS, sigstore::TOOLS].concat();
        let names: std::collections::BTreeSet<_> = tools.iter().map(|tool| tool.name).collect();
        assert_eq!(names.len(), tools.len());
        for tool in tools {
            let number = tool.version.trim_start_matches('v');
            assert!(number.starts_with(|first: char| first.is_ascii_digit()), "{tool:?}");
        }
    }
}
