//! `cargo xtask test`: everything that the tests need, then all tests.

use std::ffi::{OsStr, OsString};

use crate::debian::{self, Package};
use crate::error::Error;
use crate::step::step;
use crate::tools::{Cache, Source, Tool};
use crate::workspace::Workspace;

/// Programs that the tests take from PATH.
const PACKAGES: &[Package] = &[
    Package { command: "docker-registry", package: "docker-registry" },
    Package { command: "git", package: "git" },
    Package { command: "skopeo", package: "skopeo" },
];

/// Programs that the tests take from the folder in `KPROMO_TEST_TOOLS`. To add one, add a row; to upgrade one, change its
/// version.
const TOOLS: &[Tool] = &[
    Tool {
        name: "conformance",
        version: "v0.0.0-20260831232431-97274622c111",
        source: Source::Go("github.com/opencontainers/distribution-spec/conformance"),
    },
    Tool {
        name: "crane",
        version: "v0.22.1",
        source: Source::Go("github.com/google/go-containerregistry/cmd/crane"),
    },
    Tool {
        name: "distribution",
        version: "v3.1.2",
        source: Source::Go("github.com/distribution/distribution/v3/cmd/registry"),
    },
];

/// Installs what is missing and runs the tests that `arguments` select: all, where there are none.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<(), Error> {
    debian::install(PACKAGES)?;
    let folder = workspace.target().join("xtask").join("tools");
    Cache::open()?.link(TOOLS, &folder)?;
    for run in runs(arguments) {
        let mut command = workspace.cargo(["test"]);
        step(run.name, command.args(&run.arguments).env("KPROMO_TEST_TOOLS", &folder))?;
    }
    Ok(())
}

/// One call of `cargo test`.
#[derive(Debug, PartialEq)]
struct Run {
    name: &'static str,
    arguments: Vec<OsString>,
}

/// The calls of `cargo test` that run what `arguments` select. Cargo runs documentation tests only by themselves or where
/// no target is named, so they are a call of their own.
fn runs(arguments: &[OsString]) -> Vec<Run> {
    let dashes = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let (ours, rest) = arguments.split_at(dashes);
    let harness = rest.get(1..).unwrap_or_default();
    let packages =
        if ours.iter().any(|word| is_one_of(word, &PACKAGE_FLAGS)) { None } else { Some("--workspace") };
    let call = |name, target: Option<&str>, extra: &[&str]| {
        let words = packages.into_iter().chain(target).map(OsString::from);
        let words = words.chain(ours.iter().cloned()).chain([OsString::from("--")]);
        let arguments =
            words.chain(extra.iter().map(OsString::from)).chain(harness.iter().cloned()).collect();
        Run { name, arguments }
    };
    if ours.iter().any(|word| is_one_of(word, &TARGET_FLAGS)) {
        return vec![call("tests", None, included_for(ours))];
    }
    vec![
        call("tests", Some("--all-targets"), &["--include-ignored"]),
        call("documentation tests", Some("--doc"), &[]),
    ]
}

/// Flags of cargo that say which packages are meant.
const PACKAGE_FLAGS: [&str; 5] = ["-p", "--package", "--workspace", "--all", "--exclude"];

/// Flags of cargo that say which targets are meant.
const TARGET_FLAGS: [&str; 11] = [
    "--lib",
    "--bin",
    "--bins",
    "--test",
    "--tests",
    "--example",
    "--examples",
    "--bench",
    "--benches",
    "--all-targets",
    "--doc",
];

/// Tests that need outside parts are marked as ignored; documentation that is, is not meant to be run.
fn included_for(ours: &[OsString]) -> &'static [&'static str] {
    if ours.iter().any(|word| word == "--doc") { &[] } else { &["--include-ignored"] }
}

/// Whether `word` is one of these flags, with or without its value (`--package=oci`).
fn is_one_of(word: &OsStr, flags: &[&str]) -> bool {
    let text = word.to_string_lossy();
    let flag = text.split_once('=').map_or(&*text, |(flag, _)| flag);
    flags.contains(&flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(arguments: &[&str]) -> Vec<String> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        runs(&arguments)
            .iter()
            .map(|run| run.arguments.join(OsStr::new(" ")).into_string().unwrap())
            .collect()
    }

    #[test]
    fn without_arguments_everything_runs() {
        assert_eq!(calls(&[]), ["--workspace --all-targets -- --include-ignored", "--workspace --doc --"]);
    }

    #[test]
    fn a_filter_selects_from_everything() {
        assert_eq!(
            calls(&["copy"]),
            ["--workspace --all-targets copy -- --include-ignored", "--workspace --doc copy --"]
        );
    }

    #[test]
    fn a_package_replaces_the_workspace() {
        let expected = ["--all-targets -p oci -- --include-ignored", "--doc -p oci --"];
        assert_eq!(calls(&["-p", "oci"]), expected);
        assert_eq!(calls(&["--package=oci"])[0], "--all-targets --package=oci -- --include-ignored");
    }

    #[test]
    fn a_target_replaces_all_targets_and_leaves_documentation_out() {
        assert_eq!(calls(&["--test", "outside"]), ["--workspace --test outside -- --include-ignored"]);
        assert_eq!(calls(&["--doc"]), ["--workspace --doc --"]);
    }

    #[test]
    fn what_follows_further_dashes_goes_to_the_tests() {
        let expected = ["--workspace --lib copy -- --include-ignored --nocapture"];
        assert_eq!(calls(&["--lib", "copy", "--", "--nocapture"]), expected);
    }

    #[test]
    fn every_tool_is_pinned_and_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = TOOLS.iter().map(|tool| tool.name).collect();
        assert_eq!(names.len(), TOOLS.len());
        for tool in TOOLS {
            let number = tool.version.trim_start_matches('v');
            assert!(number.starts_with(|first: char| first.is_ascii_digit()), "{tool:?}");
        }
    }
}
