//! `cargo xtask bench`: installs what the benchmark needs, then runs the benchmark, which is the crate `bench`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::debian::{self, Package};
use crate::error::Error;
use crate::sigstore::{self, COSIGN, Sigstore};
use crate::step::{not_started, say, step};
use crate::test::{CRANE, SKOPEO, VERSITYGW};
use crate::tools::{Build, Cache, Source, Tool};
use crate::workspace::Workspace;

const REGSYNC: Tool = Tool {
    name: "regsync",
    version: "v0.11.7",
    source: Source::Go("github.com/regclient/regclient/cmd/regsync"),
};

/// kpromo of promo-tools, written in Go. The benchmark promotes files with it.
const PROMO_TOOLS: Tool = Tool {
    name: "promo-tools",
    version: "v4.5.1",
    source: Source::GoModule { module: "sigs.k8s.io/promo-tools/v4", package: "cmd/kpromo", replaced: &[] },
};

/// The benchmark copies files with it.
const RCLONE: Package = Package { command: "rclone", package: "rclone" };

/// The scenario that needs a Sigstore.
const SIGN: &str = "sign";

/// Crates with benchmarks of their pure parts.
const MICRO: [&str; 3] = ["manifest", "promote", "transport"];

/// The arguments on the command line.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure. Default: everything.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Number of measurements of each row. Default: that of the scenario.
    #[arg(long, value_name = "NUMBER")]
    runs: Option<usize>,
    /// Use small sizes, to test the benchmark itself. The page goes to target/bench/quick.
    #[arg(long)]
    quick: bool,
    /// Do not install or measure other tools.
    #[arg(long)]
    no_peers: bool,
    /// Run `cargo bench` for the pure parts instead.
    #[arg(long, conflicts_with_all = ["scenario", "runs", "quick", "no_peers"])]
    micro: bool,
}

/// Builds, installs and measures. Without signatures to measure, this process replaces itself with the benchmark, so that
/// signals reach the benchmark. With signatures, it keeps running, because the Sigstore ends with this process.
///
/// # Errors
/// If something cannot be built, installed or started.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    if arguments.micro {
        let packages = MICRO.iter().flat_map(|name| ["--package", name]);
        return step("benchmarks of pure parts", workspace.cargo(["bench"]).args(packages)).map(drop);
    }
    let target = workspace.target();
    let mut build = workspace.cargo(["build", "--release", "--package", "kpromo", "--package", "bench"]);
    step("release build", build.arg("--target-dir").arg(target))?;
    let peers = if arguments.no_peers { Vec::new() } else { peers()? };
    let (results, page) = places(workspace, arguments.quick);
    fs::create_dir_all(&results).map_err(Error::file("making the directory of results", &results))?;
    let release = target.join("release");
    let benchmark = |mut command: Command, scenarios: &[&str]| {
        command.arg("run").arg("--kpromo").arg(release.join("kpromo")).arg("--results").arg(&results);
        command.arg("--page").arg(&page).args(&peers).args(forwarded(arguments, scenarios));
        command
    };
    let program = release.join("bench");
    let (others, signs) = split(&arguments.scenario);
    if !signs {
        let mut command = benchmark(Command::new(program), &others.unwrap_or_default());
        say("==> benchmark");
        // `exec` returns only if it fails.
        let source = command.exec();
        return Err(not_started("benchmark", &command, source));
    }
    debian::install(sigstore::PACKAGES)?;
    // Before the Sigstore starts, because it uses processor time even without requests.
    if let Some(others) = others {
        step("benchmark", &mut benchmark(terminated_with_us(&program), &others))?;
    }
    let (sigstore, cosign) = sigstore(workspace)?;
    let mut command = benchmark(terminated_with_us(&program), &[SIGN]);
    command.arg("--sigstore").arg(sigstore.directory());
    command.args(cosign.iter().filter(|_| !arguments.no_peers));
    step("benchmark of signatures", &mut command).map(drop)
}

/// Returns the scenarios that need no Sigstore (`None` for none, an empty list for all), and whether any scenario needs one.
fn split(scenarios: &[String]) -> (Option<Vec<&str>>, bool) {
    let names = scenarios.iter().map(String::as_str);
    let (signing, others): (Vec<_>, Vec<_>) = names.partition(|name| *name == SIGN);
    let is_alone = others.is_empty() && !signing.is_empty();
    ((!is_alone).then_some(others), scenarios.is_empty() || !signing.is_empty())
}

/// Returns the command for a program that gets SIGTERM when this process ends.
fn terminated_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// Starts the Sigstore of the tests with empty logs. Also returns the benchmark's arguments for the cosign of the Sigstore.
fn sigstore(workspace: &Workspace) -> Result<(Sigstore, [OsString; 2]), Error> {
    let tools = workspace.target().join("xtask").join("tools");
    let cache = Cache::open(Build::Optimised)?;
    cache.link(sigstore::TOOLS, &tools)?;
    let cosign = peer(COSIGN.name, COSIGN.version, &cache.install(&COSIGN)?);
    Ok((Sigstore::start(workspace, &tools)?, cosign))
}

/// Returns the paths of results and page. With small sizes, the page must not be in the documentation.
fn places(workspace: &Workspace, quick: bool) -> (PathBuf, PathBuf) {
    let results = workspace.target().join("bench");
    if quick {
        let results = results.join("quick");
        let page = results.join("performance.md");
        return (results, page);
    }
    (results, workspace.root().join("docs").join("performance.md"))
}

fn forwarded(arguments: &Arguments, scenarios: &[&str]) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    for scenario in scenarios {
        words.extend(["--scenario".into(), scenario.into()]);
    }
    if let Some(runs) = arguments.runs {
        words.extend(["--runs".into(), runs.to_string().into()]);
    }
    if arguments.quick {
        words.push("--quick".into());
    }
    words
}

/// Installs the other tools. Returns the benchmark's arguments for them.
fn peers() -> Result<Vec<OsString>, Error> {
    debian::install(&[SKOPEO, RCLONE])?;
    let cache = Cache::open(Build::Optimised)?;
    let mut words = Vec::new();
    for tool in [CRANE, REGSYNC, PROMO_TOOLS, VERSITYGW] {
        words.extend(peer(tool.name, tool.version, &cache.install(&tool)?));
    }
    for package in [SKOPEO, RCLONE] {
        words.extend(peer(package.command, &reported_version(package), Path::new(package.command)));
    }
    Ok(words)
}

fn peer(name: &str, version: &str, path: &Path) -> [OsString; 2] {
    let mut value = OsString::from(format!("{version}="));
    value.push(path);
    [format!("--{name}").into(), value]
}

/// Returns the version of an installed program, which depends on the Debian release: `skopeo version 1.9.3`, `rclone
/// v1.60.1-DEV`.
fn reported_version(package: Package) -> String {
    let output = Command::new(package.command).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    first.split_whitespace().last().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.arguments)
    }

    #[test]
    fn arguments_of_the_benchmark_are_forwarded() {
        let arguments =
            parsed("bench --scenario plan --scenario promote --runs 5 --quick --no-peers").unwrap();
        assert_eq!(
            forwarded(&arguments, &["plan", "promote"]),
            ["--scenario", "plan", "--scenario", "promote", "--runs", "5", "--quick"]
        );
        assert!(forwarded(&parsed("bench").unwrap(), &[]).is_empty());
    }

    #[test]
    fn a_sigstore_runs_only_for_the_scenario_that_signs() {
        let split = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let (others, signs) = super::split(&names);
            (others.map(|others| others.join(" ")), signs)
        };
        assert_eq!(split(&[]), (Some(String::new()), true), "no names select all scenarios");
        assert_eq!(split(&["plan"]), (Some("plan".to_owned()), false));
        assert_eq!(split(&["plan", "sign", "promote"]), (Some("plan promote".to_owned()), true));
        assert_eq!(split(&["sign"]), (None, true));
    }

    #[test]
    fn benchmarks_of_pure_parts_are_run_alone() {
        assert!(parsed("bench --micro").unwrap().micro);
        assert!(parsed("bench --micro --quick").is_err());
    }

    #[test]
    fn results_of_small_sizes_are_not_written_to_the_documentation() {
        let workspace = Workspace::locate().unwrap();
        assert!(places(&workspace, false).1.ends_with("docs/performance.md"));
        let (results, page) = places(&workspace, true);
        assert!(page.starts_with(&results) && results.starts_with(workspace.target()));
    }

    #[test]
    fn a_peer_is_passed_by_version_and_path() {
        assert_eq!(peer("crane", "v1", Path::new("/t/crane-v1")), ["--crane", "v1=/t/crane-v1"]);
    }
}
