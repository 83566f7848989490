//! Measures the release binary against embedded registries and compares it with other tools. `cargo xtask bench` builds and runs
//! it.
//!
//! Three parts run as separate processes, so that the counts of one do not include another: the driver (`bench run`), the
//! registries (`bench world`), and the part that starts and measures commands (`bench measure`).

mod account;
mod cosign;
mod error;
mod lab;
mod machine;
mod manifests;
mod measure;
mod object_store;
mod page;
mod peers;
mod process;
mod protocol;
mod record;
mod scenario;
mod show;
mod sigstore;
mod terminal;
mod tools;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum as _};
use error::Error;
use lab::Lab;
use scenario::Scenario;
use terminal::{print_error, say};
use tokio::signal::unix::{SignalKind, signal};
use tools::{Peer, Tools};

/// Measures kpromo.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Run scenarios, store their results and write the page of all stored results.
    Run(Box<RunArguments>),
    /// Start the registries that standard input describes.
    World,
    /// Run the commands that standard input describes.
    Measure,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The binary to measure.
    #[arg(long)]
    kpromo: PathBuf,
    /// Another tool to compare with, as VERSION=PATH. The rows of tools that are not given are left out.
    #[arg(long, value_parser = tools::peer)]
    crane: Option<Peer>,
    #[arg(long, value_parser = tools::peer)]
    regsync: Option<Peer>,
    #[arg(long, value_parser = tools::peer)]
    skopeo: Option<Peer>,
    #[arg(long, value_parser = tools::peer)]
    cosign: Option<Peer>,
    #[arg(long, value_parser = tools::peer)]
    rclone: Option<Peer>,
    /// kpromo of promo-tools, written in Go.
    #[arg(long, value_parser = tools::peer)]
    promo_tools: Option<Peer>,
    /// The object store for the scenario `files`.
    #[arg(long, value_parser = tools::peer)]
    versitygw: Option<Peer>,
    /// The directory of the Sigstore for the scenario `sign`. No other process may use it.
    #[arg(long, value_name = "DIRECTORY")]
    sigstore: Option<PathBuf>,
    /// The directory of results.
    #[arg(long)]
    results: PathBuf,
    /// The path of the page.
    #[arg(long)]
    page: PathBuf,
    /// The scenarios to run. Default: all for which the tools are given.
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// The number of measurements of each row.
    #[arg(long)]
    runs: Option<usize>,
    /// Use small sizes, to test the benchmark itself.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().part {
        // Without a runtime, so that it uses almost no resources beside the measured commands.
        Part::Measure => measure::run(),
        Part::World => runtime(world::run()),
        Part::Run(arguments) => runtime(unless_interrupted(run(*arguments))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn runtime(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("starting"))?;
    let done = runtime.block_on(work);
    // A thread that waits for input must not prevent the exit.
    runtime.shutdown_background();
    done
}

/// Stops the work on an interrupt. When the work is dropped, its directories are removed and its processes end.
async fn unless_interrupted(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::io("listening for signals"))?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        _ = terminated.recv() => Err(Error::Interrupted),
    }
}

async fn run(arguments: RunArguments) -> Result<(), Error> {
    let RunArguments { results, page, scenario, runs, quick, .. } = arguments;
    let RunArguments { kpromo, crane, regsync, skopeo, cosign, rclone, .. } = arguments;
    let RunArguments { promo_tools, versitygw, sigstore, .. } = arguments;
    let tools = Tools { kpromo, crane, regsync, skopeo, cosign, rclone, promo_tools, versitygw, sigstore };
    let lab = Lab::new(tools, quick, runs, search_path())?;
    let possible = Scenario::value_variants().iter().filter(|scenario| scenario.is_possible(&lab)).copied();
    let chosen = if scenario.is_empty() { possible.collect() } else { scenario };
    for scenario in chosen {
        say(&format!("==> {}", scenario.name()));
        let section = Box::pin(scenario.measure(&lab)).await?;
        say(&format!("\n{}", page::section(&section)));
        // Each result is stored at once, because a later scenario may fail.
        store(&results, scenario.name(), &section)?;
        page::write(&results, &page)?;
    }
    say(&format!("written: {}", page.display()));
    Ok(())
}

fn store(directory: &Path, name: &str, section: &record::Section) -> Result<(), Error> {
    std::fs::create_dir_all(directory).map_err(Error::file("making", directory))?;
    let path = directory.join(format!("{name}.json"));
    let text =
        serde_json::to_vec_pretty(section).map_err(|source| Error::Invalid { path: path.clone(), source })?;
    std::fs::write(&path, text).map_err(Error::file("writing", path))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark is a separate program; only this function reads its environment"
)]
fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_scenario_has_the_same_name_on_the_command_line_and_in_results() {
        for scenario in Scenario::value_variants() {
            assert_eq!(scenario.to_possible_value().unwrap().get_name(), scenario.name());
        }
    }
}
