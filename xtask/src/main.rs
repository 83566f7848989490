//! Developer tasks: `cargo xtask test`, `sigstore`, `check`, `docs`, `size`, `bench`, `dist` and `image`.

mod archive;
mod bench;
mod check;
mod debian;
mod dist;
mod docs;
mod environment;
mod error;
mod image;
mod man;
mod programs;
mod python;
mod release;
mod sbom;
mod sigstore;
mod size;
mod sources;
mod step;
mod test;
mod tools;
mod workspace;

use std::ffi::OsString;
use std::num::NonZero;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::workspace::Workspace;

/// Check, test and measure kpromo.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the missing tools of the tests, then run all tests, including those that need external programs. Without
    /// arguments for cargo, run the integration tests a second time with one request at a time at each host.
    Test {
        /// Run only the integration tests that need no external programs, with at most this many reads and this many writes
        /// in progress at each host.
        #[arg(long, value_name = "REQUESTS")]
        concurrency: Option<NonZero<usize>>,
        /// Arguments for `cargo test`, such as a filter, `--package oci` or `-- --nocapture`.
        #[arg(last = true, value_name = "CARGO TEST ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Run the Sigstore of the tests until interrupted, and print the environment variables for tests that use it.
    Sigstore,
    /// Check formatting, lints, documentation, and the dependencies against deny.toml.
    Check {
        /// Also check the dependencies for advisories in the RustSec database, which is fetched from GitHub.
        #[arg(long)]
        advisories: bool,
    },
    /// Generate the reference pages, the man pages and the pictures of the documentation, and build the book.
    Docs {
        /// Write nothing, and fail if a generated file is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Build the release binary, print its size, and fail if it is too large.
    Size {
        /// Build into a new, empty directory, and print how long it takes.
        #[arg(long)]
        cold: bool,
    },
    /// Measure the release binary and other tools against embedded registries, and write docs/performance.md.
    Bench(bench::Arguments),
    /// Build the release for this machine into target/xtask/dist: an archive with manual pages and completion scripts, its
    /// checksum and its bill of materials.
    Dist(dist::Arguments),
    /// Build a container image of the release, as an OCI layout, without a container engine.
    Image(image::Arguments),
}

impl Task {
    fn run(self) -> Result<(), Error> {
        let workspace = Workspace::locate()?;
        match self {
            Self::Test { concurrency, arguments } => test::run(&workspace, concurrency, &arguments),
            Self::Sigstore => sigstore::run(&workspace, &test::install(&workspace)?),
            Self::Check { advisories } => check::run(&workspace, advisories),
            Self::Docs { check } => docs::run(&workspace, check),
            Self::Size { cold } => size::run(&workspace, cold),
            Self::Bench(arguments) => bench::run(&workspace, &arguments),
            Self::Dist(arguments) => dist::run(&workspace, &arguments),
            Self::Image(arguments) => image::run(&workspace, &arguments),
        }
    }
}

#[expect(clippy::print_stderr, reason = "the only place that prints errors")]
fn main() -> ExitCode {
    match Arguments::parse().task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            ExitCode::FAILURE
        }
    }
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
    fn arguments_after_the_dashes_are_for_cargo_including_further_dashes() {
        let parsed = Arguments::parse_from(["xtask", "test", "--", "--package", "oci", "--", "--nocapture"]);
        let Task::Test { arguments, concurrency } = parsed.task else { panic!("{parsed:?}") };
        assert_eq!(arguments, ["--package", "oci", "--", "--nocapture"]);
        assert_eq!(concurrency, None);
    }

    #[test]
    fn the_concurrency_is_an_argument_of_xtask_and_not_of_cargo() {
        let parsed = Arguments::parse_from(["xtask", "test", "--concurrency", "1", "--", "--package", "oci"]);
        let Task::Test { arguments, concurrency } = parsed.task else { panic!("{parsed:?}") };
        assert_eq!(arguments, ["--package", "oci"]);
        assert_eq!(concurrency, NonZero::new(1));
    }
}
