//! The command line. Flags of `kpromo cip` keep the names, defaults and meanings that scripts rely on.

mod cip;
mod config;
mod files;
mod gh;
mod lint;
mod manifest_add;
mod manifests;
mod obsolete;
mod paths;
mod pr;
mod report;
mod shard;
mod side;
mod sigcheck;
mod signatures;
mod snapshot;
mod usage;
mod value;
mod verify;
mod vulnerabilities;

use std::ffi::OsString;
#[cfg(feature = "embedded-registry")]
use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use cip::{CacheArgs, CipArgs, CipFlags};
use clap::ArgAction::Set;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
pub(crate) use files::{
    FileManifestSource, ManifestCommand, ManifestFilesArgs, ManifestValidateArgs, RunCommand, RunFilesArgs,
};
pub(crate) use gh::{GhArgs, GhFlags, ReleaseSource};
pub(crate) use lint::{LintArgs, LintFlags, LintForm};
pub(crate) use manifest_add::{AddTarget, ImageText, ManifestAddArgs};
pub(crate) use manifests::{Limit, ManifestSource};
pub(crate) use paths::named_files;
pub(crate) use pr::{PrArgs, PrFlags, Slug};
pub(crate) use report::{MergeArgs, ReportArgs, ReportCommand};
pub(crate) use shard::ShardVariables;
pub(crate) use side::Side;
pub(crate) use sigcheck::{CheckedNames, Listed, OutputForm, SigcheckArgs, SigcheckFlags};
pub(crate) use snapshot::{DiffArgs, DiffFormat, SnapshotArgs, SnapshotFlags, SnapshotSource, SnapshotTask};
pub(crate) use usage::{NoCommand, UsageError, asks_for_json};
#[cfg(feature = "embedded-registry")]
use value::listen_address;
use value::{BOOL, go_bool};
pub(crate) use verify::{Form, VerifyArgs, VerifyFlags};
pub(crate) use vulnerabilities::VulnArgs;

use crate::color::{self, ColorWhen};

/// Promotes container images between registries.
#[derive(Debug, Parser)]
#[command(
    name = "kpromo",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    max_term_width = 110,
    args_override_self = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading of the global options. clap appends them to those of a command, so the help lists them last.
const GLOBAL: &str = "Global options";

/// The global options.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Show only errors and results: no progress, no log, and no plan in a run that writes.
    #[arg(short, long, global = true, help_heading = GLOBAL, default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    pub(crate) quiet: bool,
    /// Show complete lists and debug messages.
    #[arg(short, long, global = true, help_heading = GLOBAL, default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    pub(crate) verbose: bool,
    /// When to use colors: auto, always or never. With auto, kpromo uses colors on a terminal unless NO_COLOR is set, and
    /// everywhere if CLICOLOR_FORCE is set.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, ignore_case = true, default_value_t = ColorWhen::Auto, hide_possible_values = true, value_name = "WHEN")]
    pub(crate) color: ColorWhen,
    /// Level of the log. Default: info; on a terminal, warning for commands that show progress and print results (cip, sigcheck,
    /// snapshot, verify).
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, ignore_case = true, default_value_t = LogLevel::Info, hide_default_value = true, value_name = "LEVEL")]
    pub(crate) log_level: LogLevel,
    /// Format of the log.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

impl Global {
    /// Returns these options with the level of the log that other options and a terminal imply, unless `--log-level` is given.
    /// `is_shown` says whether a terminal shows the progress and the results of the command.
    ///
    /// # Errors
    /// Returns an error if flags contradict each other.
    pub(crate) fn resolve(self, matches: &ArgMatches, is_shown: bool) -> Result<Self, String> {
        if self.quiet && self.verbose {
            return Err("--quiet and --verbose cannot be used together".to_owned());
        }
        let level = match (self.quiet, self.verbose) {
            _ if matches.value_source("log_level") == Some(ValueSource::CommandLine) => self.log_level,
            (true, _) => LogLevel::Error,
            (_, true) => LogLevel::Debug,
            _ if is_shown => LogLevel::Warning,
            _ => self.log_level,
        };
        Ok(Self { log_level: level, ..self })
    }
}

/// Levels of the log; the two above `error` are those of Go's logrus, and mean the same here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Panic,
    Fatal,
    Error,
    #[value(alias = "warn")]
    Warning,
    Info,
    Debug,
    Trace,
}

/// Formats of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Promote the images in manifests.
    Cip(Box<CipFlags>),
    /// Show who signed and promoted images, and their attestations.
    Verify(Box<VerifyFlags>),
    /// Print the images in a registry, or the images that manifests promote to it.
    Snapshot(Box<SnapshotFlags>),
    /// Check manifests offline for errors, tags that would move, and style.
    Lint(LintFlags),
    /// Check and repair the signatures and promotion records of promoted images.
    Sigcheck(Box<SigcheckFlags>),
    /// Propose a promotion in a pull request.
    Pr(Box<PrFlags>),
    /// Promote files between object stores.
    #[command(subcommand)]
    Run(RunCommand),
    /// Copy the assets of GitHub releases to object stores.
    Gh(Box<GhFlags>),
    /// Edit image manifests; create and check file manifests.
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Work with reports.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Run an example promotion between embedded registries.
    #[cfg(feature = "embedded-registry")]
    Demo(DemoArgs),
    /// Run the embedded OCI registry.
    #[cfg(feature = "embedded-registry")]
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Print a completion script for a shell.
    Completion {
        /// Shell to print the script for.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the reference of kpromo, for the documentation.
    #[command(hide = true, subcommand)]
    Reference(ReferenceCommand),
    /// Print the version.
    Version {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// Returns whether the command shows its progress and prints its results. Other commands log what they do.
    pub(crate) fn prints_results(&self) -> bool {
        matches!(self, Self::Cip(_) | Self::Verify(_) | Self::Snapshot(_) | Self::Sigcheck(_))
    }
}

/// The parts of the reference.
#[derive(Debug, Subcommand)]
pub(crate) enum ReferenceCommand {
    /// Print all commands and flags, in Markdown.
    Commands,
    /// Print all environment variables, in Markdown.
    Environment,
    /// Write a man page for each command.
    Man {
        /// Existing directory for the pages.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Write the JSON Schemas of the configuration, the reports and the outputs. Release builds do not have them: they are large,
    /// and `docs/reference/schemas` has the results.
    #[cfg(debug_assertions)]
    Schemas {
        /// Existing directory for the schemas.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// Commands about the embedded registry.
#[cfg(feature = "embedded-registry")]
#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Serve a registry until interrupted.
    Serve(ServeArgs),
}

/// Flags of `kpromo registry serve`.
#[cfg(feature = "embedded-registry")]
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Directory for the content. Default: keep it in memory.
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// Address to listen on. TLS is not supported: use a loopback address, or put a proxy in front.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Include all manifests in tag lists, as Google's registries do.
    #[arg(long)]
    pub(crate) google_listing: bool,
    /// Disable the referrers API, as in registries before OCI 1.1.
    #[arg(long)]
    pub(crate) no_referrers: bool,
}

/// Flags of `kpromo demo`.
#[cfg(feature = "embedded-registry")]
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the registries running until interrupted.
    #[arg(long)]
    pub(crate) keep: bool,
    /// New or empty directory for the manifests. Default: a temporary directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

impl Cli {
    /// What may be written on the command line: as derived, with booleans as Go's pflag has them. These are true where they
    /// have no value, and have one only behind an equals sign, so that they swallow no word.
    pub(crate) fn grammar() -> clap::Command {
        let go = |flag: Arg| {
            if flag.get_value_names().is_none_or(|names| names != [BOOL]) {
                return flag;
            }
            let is_off = flag.get_default_values() == ["false"];
            let flag = flag.num_args(0..=1).require_equals(true).default_missing_value("true");
            flag.hide_possible_values(true).hide_default_value(is_off)
        };
        let go = |command: clap::Command| command.mut_args(go);
        // clap's own two flags have no heading, and would be listed before all others.
        let own = |name: &'static str, short| Arg::new(name).long(name).short(short).help_heading(GLOBAL);
        let help = own("help", 'h').help("Print help").action(ArgAction::Help).global(true);
        let version = own("version", 'V').help("Print the version").action(ArgAction::Version);
        go(Self::command())
            .args([help, version])
            .mut_subcommand("cip", go)
            .mut_subcommand("sigcheck", go)
            .mut_subcommand("run", |run| run.mut_subcommand("files", go))
            .mut_subcommand("pr", go)
            .mut_subcommand("gh", go)
    }

    /// The usage error for flags that contradict one another, with the usage of the command that was read.
    pub(crate) fn conflict(matches: &ArgMatches, text: String) -> UsageError {
        let mut names = Vec::new();
        let mut level = matches;
        while let Some((name, next)) = level.subcommand() {
            names.push(name);
            level = next;
        }
        UsageError::new(Self::grammar(), names.into_iter(), text)
    }

    /// Returns the command with these names below `kpromo`, as far as there is one. Its usage and its help have the names above it.
    pub(crate) fn command_of(names: &[&str]) -> clap::Command {
        obsolete::descend(Self::grammar(), names.iter().copied())
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// Returns an error if it is invalid, or requests help.
    pub(crate) fn read(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<(Self, ArgMatches), NoCommand> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        let grammar = || Self::grammar().color(color::of_words(&words).into());
        let explain = |error| usage::explain(error, &Self::grammar(), &words);
        let matches = grammar().try_get_matches_from(&words).map_err(explain)?;
        Ok((Self::from_arg_matches(&matches).map_err(explain)?, matches))
    }
}
