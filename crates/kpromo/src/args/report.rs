//! Flags about reports: those of a run, and those of `kpromo report`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::{Args, Subcommand};

use super::value::path;

/// The flags for the reports of a run.
#[derive(Clone, Debug, Args)]
pub(super) struct ReportFlags {
    /// Write a report of the run to this file: an HTML page if its name ends in .html, otherwise JSON. Repeatable.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    report: Vec<OsString>,
    /// Write metrics of the run to this file, for Prometheus' textfile collector.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    metrics: Option<OsString>,
}

/// The files for the reports of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportArgs {
    /// The reports, each file once.
    pub(crate) reports: Vec<PathBuf>,
    /// The metrics.
    pub(crate) metrics: Option<PathBuf>,
}

impl ReportFlags {
    pub(super) fn resolve(self) -> ReportArgs {
        let mut reports: Vec<PathBuf> = Vec::new();
        for text in self.report {
            match path(Some(text)) {
                // As with a flag that is given once, an empty value takes back those before it.
                None => reports.clear(),
                Some(report) if reports.contains(&report) => {}
                Some(report) => reports.push(report),
            }
        }
        ReportArgs { reports, metrics: path(self.metrics) }
    }
}

impl ReportArgs {
    /// Returns the first flag that requests a file.
    pub(super) fn given(&self) -> Option<&'static str> {
        let flags = [("--report", !self.reports.is_empty()), ("--metrics", self.metrics.is_some())];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}

/// Commands about reports.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Merge the reports of several runs, such as the shards of a promotion, into one.
    Merge(MergeArgs),
}

const EXAMPLES: &str = "\
Examples:
  kpromo report merge report.json shard-*.json
  kpromo report merge report.html shard-*.json     # one page for people
  kpromo report merge report.html report.json      # a page of one report

Exit codes:
  0    merged
  1    the result cannot be written
  2    usage
  10   an input cannot be read or is not a report";

/// Flags of `kpromo report merge`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct MergeArgs {
    /// File for the merged report: an HTML page if its name ends in .html, otherwise JSON; - writes to standard output.
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// JSON reports to merge; - reads standard input.
    #[arg(value_name = "IN", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
}
