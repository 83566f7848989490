//! `cargo xtask test`: installs everything that the tests need, then runs all tests.

use std::ffi::{OsStr, OsString};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::debian::{self, Package};
use crate::environment;
use crate::error::Error;
use crate::programs::{Job, TestProgram, build, run_all};
use crate::sigstore::{self, Sigstore};
use crate::step::step;
use crate::tools::{Build, Cache, Source, Tool};
use crate::workspace::Workspace;

/// The tests and the benchmark copy images with it.
pub(crate) const SKOPEO: Package = Package { command: "skopeo", package: "skopeo" };

/// Programs that the tests take from PATH.
const PACKAGES: &[Package] = &[
    Package { command: "chromium", package: "chromium" },
    Package { command: "docker-registry", package: "docker-registry" },
    Package { command: "faketime", package: "faketime" },
    Package { command: "git", package: "git" },
    Package { command: "jq", package: "jq" },
    Package { command: "pip3", package: "python3-pip" },
    Package { command: "runc", package: "runc" },
    Package { command: "openssl", package: "openssl" },
    SKOPEO,
    Package { command: "umoci", package: "umoci" },
];

/// The tests and the benchmark copy images with it.
pub(crate) const CRANE: Tool = Tool {
    name: "crane",
    version: "v0.22.1",
    source: Source::Go("github.com/google/go-containerregistry/cmd/crane"),
};

/// The tests and the benchmark copy files to it.
pub(crate) const VERSITYGW: Tool = Tool {
    name: "versitygw",
    version: "v1.8.0",
    source: Source::Go("github.com/versity/versitygw/cmd/versitygw"),
};

/// Programs that the tests take from the directory in `KPROMO_TEST_TOOLS`. To add one, add a row. To upgrade one, change its
/// version.
const TOOLS: &[Tool] = &[
    Tool {
        name: "actionlint",
        version: "v1.7.12",
        source: Source::Go("github.com/rhysd/actionlint/cmd/actionlint"),
    },
    // Only for its copy of axe-core, which a browser runs.
    Tool {
        name: "axe",
        version: "0.1.8",
        source: Source::Python {
            module: "axe_playwright_python",
            packages: &["axe-playwright-python==0.1.8"],
        },
    },
    Tool {
        name: "check-jsonschema",
        version: "0.39.0",
        source: Source::Python {
            module: "check_jsonschema",
            packages: &[
                "attrs==26.1.0",
                "certifi==2026.10.19.post1",
                "charset-normalizer==3.5.3",
                "check-jsonschema==0.39.0",
                "click==8.5.1",
                "idna==3.20",
                "jsonschema==4.26.0",
                "jsonschema-specifications==2025.9.1",
                "referencing==0.37.0",
                "regress==2026.9.1",
                "requests==2.34.2",
                "rpds-py==2026.9.1",
                "ruamel.yaml==0.19.1",
                "typing_extensions==4.16.0",
                "urllib3==2.8.0",
            ],
        },
    },
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
        name: "fake-gcs-server",
        version: "v1.56.1",
        source: Source::Go("github.com/fsouza/fake-gcs-server"),
    },
    Tool {
        name: "grafeas",
        version: "v0.2.3",
        source: Source::GoModule {
            module: "github.com/grafeas/grafeas",
            package: "go/v1beta1/main",
            replaced: &[],
        },
    },
    Tool { name: "helm", version: "v3.22.0", source: Source::Go("helm.sh/helm/v3/cmd/helm") },
    Tool {
        name: "kubernetes-validate",
        version: "1.37.0",
        source: Source::Python {
            module: "kubernetes_validate",
            packages: &[
                "attrs==26.1.0",
                "importlib_resources==7.1.0",
                "jsonschema==4.26.0",
                "jsonschema-specifications==2025.9.1",
                "kubernetes-validate==1.37.0",
                "packaging==26.4",
                "PyYAML==6.0.4",
                "referencing==0.37.0",
                "rpds-py==2026.9.1",
                "typing_extensions==4.16.0",
            ],
        },
    },
    Tool { name: "kustomize", version: "v5.8.1", source: Source::Go("sigs.k8s.io/kustomize/kustomize/v5") },
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
    VERSITYGW,
];

/// Crates that send no request through the door, so that its limits do not matter to their tests.
const WITHOUT_REQUESTS: [&str; 6] = ["bench", "manifest", "oci-types", "registry", "testkit", "xtask"];

/// Programs that run longest. They run first, so that they do not run alone at the end.
const SLOW: [&str; 3] = ["kpromo suite", "oci suite", "promote suite"];

/// Programs that keep processors busy.
const BUSY: [&str; 2] = ["kpromo suite", "promote suite"];

/// How many tests of a busy program run at a time. As many programs as there are processors run at a time.
const BUSY_TESTS: u8 = 3;

/// How many tests of another program run at a time. These tests mostly wait.
const WAITING_TESTS: u8 = 8;

/// A test program is ended after this time, several times the duration of the slowest. A test that hangs then fails, after the
/// names of the unfinished tests were printed.
const LIMIT: Duration = Duration::from_secs(1200);

/// Makes cargo end a test program after [`LIMIT`]. The program runs in the foreground, so that Ctrl-C reaches the tests.
const BOUNDED: &str =
    r#"target."cfg(all())".runner = ["timeout", "--foreground", "--kill-after", "5", "1200"]"#;

/// Runs the tests that `arguments` select. Without arguments, runs all tests, and then those of [`narrow`] too. With a
/// `concurrency`, runs only those of [`narrow`].
///
/// # Errors
/// At the first step that fails. A failed build of the tests is reported when the tools are installed.
pub(crate) fn run(
    workspace: &Workspace,
    concurrency: Option<NonZero<usize>>,
    arguments: &[OsString],
) -> Result<(), Error> {
    if let Some(concurrency) = concurrency {
        return narrow(workspace, concurrency, arguments);
    }
    // Tools and tests are built at the same time, because downloads and linkers leave processors idle.
    let (tools, programs) = thread::scope(|scope| {
        let installing = scope.spawn(|| install(workspace));
        let programs = if arguments.is_empty() { build(workspace) } else { Ok(Vec::new()) };
        (installing.join().unwrap_or_else(|panic| resume_unwind(panic)), programs)
    });
    let (tools, programs) = (tools?, programs?);
    let sigstore = if environment::has_sigstore() { None } else { Some(Sigstore::start(workspace, &tools)?) };
    let external = |command: &mut Command| {
        command.env(environment::TOOLS, &tools);
        command.envs(sigstore.as_ref().map(|running| (environment::SIGSTORE, running.directory())));
    };
    if arguments.is_empty() {
        return run_all("tests", every_test(workspace, &programs, external));
    }
    let mut command = workspace.cargo(["test", "--config", BOUNDED]);
    external(command.args(complete(arguments)));
    step("tests", &mut command).map(drop)
}

/// Returns the commands for all tests, and for those of [`narrow`]. The slow ones are first.
fn every_test(workspace: &Workspace, programs: &[TestProgram], external: impl Fn(&mut Command)) -> Vec<Job> {
    let mut documentation = workspace.cargo(["test", "--workspace", "--doc", "--config", BOUNDED]);
    external(documentation.args(["--", "--include-ignored"]));
    let mut jobs = vec![Job { name: "documentation".to_owned(), command: documentation }];
    let command = |program: &TestProgram| {
        let is_busy = BUSY.contains(&program.name.as_str());
        program.command(LIMIT, if is_busy { BUSY_TESTS } else { WAITING_TESTS })
    };
    for program in programs {
        let mut command = command(program);
        external(command.arg("--include-ignored"));
        jobs.push(Job { name: program.name.clone(), command });
    }
    let sends = |program: &&TestProgram| !WITHOUT_REQUESTS.contains(&program.crate_name.as_str());
    for program in programs.iter().filter(|program| program.is_integration).filter(sends) {
        let mut command = command(program);
        command.env(environment::CONCURRENCY, "1");
        jobs.push(Job { name: format!("{} with one request at a time", program.name), command });
    }
    jobs.sort_by_key(|job| !SLOW.iter().any(|name| job.name.starts_with(name)));
    jobs
}

/// Runs the integration tests that need no external program, with at most `concurrency` requests of a kind in flight at each
/// host. With 1, code that waits for one request while it holds the permit of another hangs or fails.
fn narrow(workspace: &Workspace, concurrency: NonZero<usize>, arguments: &[OsString]) -> Result<(), Error> {
    let mut command = workspace.cargo(["test", "--config", BOUNDED]);
    command.args(integration(arguments)).env(environment::CONCURRENCY, concurrency.to_string());
    step(&format!("integration tests with concurrency {concurrency}"), &mut command)?;
    Ok(())
}

/// Installs what is missing and returns the directory of the tools.
///
/// # Errors
/// If something cannot be installed.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf, Error> {
    debian::install(&[PACKAGES, sigstore::PACKAGES].concat())?;
    let tools = workspace.target().join("xtask").join("tools");
    Cache::open(Build::Fast)?.link(&[TOOLS, sigstore::TOOLS].concat(), &tools)?;
    Ok(tools)
}

/// Adds defaults to a developer's `arguments`: all packages, and also the tests that are marked as ignored.
///
/// The result names no target. Cargo then runs every target of each package, including documentation tests, and does not
/// report an error for a package without a library.
fn complete(arguments: &[OsString]) -> Vec<OsString> {
    let (ours, harness) = split(arguments);
    let include = ["--", "--include-ignored"].map(OsString::from);
    workspace_of(ours).chain(ours.iter().cloned()).chain(include).chain(harness.iter().cloned()).collect()
}

/// As [`complete`], for integration tests only, without those that are marked as ignored. All packages are selected here too:
/// for other packages, cargo selects other features of dependencies and builds these again.
fn integration(arguments: &[OsString]) -> Vec<OsString> {
    let (ours, harness) = split(arguments);
    let targets = (!ours.iter().any(|word| names_targets(word))).then_some(["--test", "*"]);
    let targets = targets.into_iter().flatten().map(OsString::from);
    let dashes = (!harness.is_empty()).then(|| OsString::from("--"));
    let words = workspace_of(ours).chain(targets).chain(ours.iter().cloned());
    words.chain(dashes).chain(harness.iter().cloned()).collect()
}

/// Splits arguments into those for cargo and those after a further `--`, which are for the tests.
fn split(arguments: &[OsString]) -> (&[OsString], &[OsString]) {
    let dashes = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let (ours, rest) = arguments.split_at(dashes);
    (ours, rest.get(1..).unwrap_or_default())
}

/// Returns the flag that selects all packages, unless the arguments select some.
fn workspace_of(ours: &[OsString]) -> impl Iterator<Item = OsString> + use<> {
    (!ours.iter().any(|word| names_packages(word))).then(|| OsString::from("--workspace")).into_iter()
}

/// Returns whether an argument is a flag of cargo that selects targets.
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

/// Returns whether an argument is a flag of cargo that selects packages. `--exclude` does not count, because it only reduces
/// the selection of `--workspace`.
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
            completed(&["--test", "external"]),
            "--workspace --test external -- --include-ignored",
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
    fn an_excluded_package_is_excluded_from_the_workspace() {
        assert_eq!(completed(&["--exclude", "oci"]), "--workspace --exclude oci -- --include-ignored");
    }

    #[test]
    fn arguments_after_further_dashes_are_for_the_tests() {
        let expected = "--workspace --lib copy -- --include-ignored --nocapture";
        assert_eq!(completed(&["--lib", "copy", "--", "--nocapture"]), expected);
    }

    fn narrowed(arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        integration(&arguments).join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn integration_tests_are_all_those_that_need_no_external_program() {
        assert_eq!(narrowed(&[]), "--workspace --test *");
        assert_eq!(narrowed(&["--package", "oci", "copy"]), "--test * --package oci copy");
        assert_eq!(
            narrowed(&["--test=signing", "--", "--nocapture"]),
            "--workspace --test=signing -- --nocapture"
        );
    }

    /// Without the flag, the tests that need external programs would be left out silently.
    #[test]
    fn all_programs_run_with_their_ignored_tests_and_some_again_with_one_request_at_a_time() {
        let program = |crate_name: &str, target: &str, is_integration| TestProgram {
            name: format!("{crate_name} {target}"),
            crate_name: crate_name.to_owned(),
            is_integration,
            file: "program".into(),
            directory: "/".into(),
        };
        let programs = [
            program("oci", "target", true),
            program("oci", "target", false),
            program("manifest", "target", true),
            program("promote", "suite", true),
        ];
        let jobs = every_test(&Workspace::locate().unwrap(), &programs, |command| {
            command.env(environment::TOOLS, "tools");
        });
        let described: Vec<_> = jobs
            .iter()
            .map(|Job { name, command }| {
                let includes_ignored = command.get_args().any(|word| word == "--include-ignored");
                let has = |variable: &str| command.get_envs().any(|(name, _)| name == variable);
                (name.as_str(), includes_ignored, has(environment::TOOLS), has(environment::CONCURRENCY))
            })
            .collect();
        assert_eq!(
            described,
            [
                ("promote suite", true, true, false),
                ("promote suite with one request at a time", false, false, true),
                ("documentation", true, true, false),
                ("oci target", true, true, false),
                ("oci target", true, true, false),
                ("manifest target", true, true, false),
                ("oci target with one request at a time", false, false, true),
            ]
        );
    }

    #[test]
    fn the_slow_and_the_busy_programs_exist() {
        let crates = Workspace::locate().unwrap().root().join("crates");
        for name in SLOW.into_iter().chain(BUSY) {
            let (crate_name, target) = name.split_once(' ').unwrap();
            assert!(crates.join(crate_name).join("tests").join(target).is_dir(), "{name}");
        }
    }

    #[test]
    fn the_crates_that_send_no_requests_exist() {
        let root = Workspace::locate().unwrap().root().to_owned();
        for name in WITHOUT_REQUESTS {
            assert!(root.join("crates").join(name).is_dir() || root.join(name).is_dir(), "{name}");
        }
    }

    #[test]
    fn every_tool_is_pinned_and_has_a_unique_name() {
        let tools = [TOOLS, sigstore::TOOLS].concat();
        let names: std::collections::BTreeSet<_> = tools.iter().map(|tool| tool.name).collect();
        assert_eq!(names.len(), tools.len());
        for tool in tools {
            let number = tool.version.trim_start_matches('v');
            assert!(number.starts_with(|first: char| first.is_ascii_digit()), "{tool:?}");
        }
    }
}
