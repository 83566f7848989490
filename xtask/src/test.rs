//! `cargo xtask test`: everything that the tests need, then all tests.

use std::ffi::{OsStr, OsString};
use std::num::NonZero;
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
        name: "olareg",
        version: "v0.1.2",
        source: Source::GoModule { module: "github.com/olareg/olareg", package: "cmd/olareg", replaced: &[] },
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

/// Has cargo end a test program after 20 minutes, which is several times what the slowest takes: one that hangs fails then,
/// and has named the tests that did not end. In the foreground, so that Ctrl-C still reaches the tests.
const BOUNDED: &str =
    r#"target."cfg(all())".runner = ["timeout", "--foreground", "--kill-after", "5", "1200"]"#;

/// Runs the tests that `arguments` select: all, where there are none, and then those of [`narrow`] too. With a
/// `concurrency`, only those of [`narrow`].
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run(
    workspace: &Workspace,
    concurrency: Option<NonZero<usize>>,
    arguments: &[OsString],
) -> Result<(), Error> {
    if let Some(concurrency) = concurrency {
        return narrow(workspace, concurrency, arguments);
    }
    whole(workspace, arguments)?;
    if arguments.is_empty() { narrow(workspace, NonZero::<usize>::MIN, arguments) } else { Ok(()) }
}

/// Installs what is missing and runs the tests, those with outside parts included.
fn whole(workspace: &Workspace, arguments: &[OsString]) -> Result<(), Error> {
    let tools = install(workspace)?;
    let sigstore = if environment::has_sigstore() { None } else { Some(Sigstore::start(workspace, &tools)?) };
    let mut command = workspace.cargo(["test", "--config", BOUNDED]);
    command.args(complete(arguments)).env(environment::TOOLS, &tools);
    command.envs(sigstore.as_ref().map(|running| (environment::SIGSTORE, running.folder())));
    step("tests", &mut command)?;
    Ok(())
}

/// Runs the integration tests that need no outside part, with at most `concurrency` requests of a kind under way at each host:
/// code that waits for one request while it keeps the place of another hangs or fails with 1.
fn narrow(workspace: &Workspace, concurrency: NonZero<usize>, arguments: &[OsString]) -> Result<(), Error> {
    let mut command = workspace.cargo(["test", "--config", BOUNDED]);
    command.args(integration(arguments)).env(environment::CONCURRENCY, concurrency.to_string());
    step(&format!("integration tests with concurrency {concurrency}"), &mut command)?;
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
    let (ours, harness) = split(arguments);
    let include = ["--", "--include-ignored"].map(OsString::from);
    workspace_of(ours).chain(ours.iter().cloned()).chain(include).chain(harness.iter().cloned()).collect()
}

/// The same for integration tests alone, without those that are marked as ignored. The packages are all here too: for other
/// packages cargo would choose other features of dependencies, and build these again.
fn integration(arguments: &[OsString]) -> Vec<OsString> {
    let (ours, harness) = split(arguments);
    let targets = (!ours.iter().any(|word| names_targets(word))).then_some(["--test", "*"]);
    let targets = targets.into_iter().flatten().map(OsString::from);
    let dashes = (!harness.is_empty()).then(|| OsString::from("--"));
    let words = workspace_of(ours).chain(targets).chain(ours.iter().cloned());
    words.chain(dashes).chain(harness.iter().cloned()).collect()
}

/// The words for cargo, and those behind further dashes, which are for the tests.
fn split(arguments: &[OsString]) -> (&[OsString], &[OsString]) {
    let dashes = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let (ours, rest) = arguments.split_at(dashes);
    (ours, rest.get(1..).unwrap_or_default())
}

/// The flag that selects all packages, unless a developer's words name some.
fn workspace_of(ours: &[OsString]) -> impl Iterator<Item = OsString> + use<> {
    (!ours.iter().any(|word| names_packages(word))).then(|| OsString::from("--workspace")).into_iter()
}

/// Whether a word is a flag of cargo that says which targets are meant.
fn names_targets(word: &OsStr) -> bool {
    const FLAGS: [&str; 11] = [
        "--lib",
        "--bin",
        "--bins",
        "--test",
        "--tests",
        "--example",
        "--examples",
        "--bench",
        "--benches",
        "--doc",
        "--all-targets",
    ];
    let text = word.to_string_lossy();
    FLAGS.contains(&text.split_once('=').map_or(&*text, |(flag, _)| flag))
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

    fn narrowed(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        integration(&arguments).join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn integration_tests_are_all_those_that_need_no_outside_part() {
        assert_eq!(narrowed(&[]), "--workspace --test *");
        assert_eq!(narrowed(&["--package", "oci", "copy"]), "--test * --package oci copy");
        assert_eq!(
            narrowed(&["--test=signing", "--", "--nocapture"]),
            "--workspace --test=signing -- --nocapture"
        );
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
