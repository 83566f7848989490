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
    /// The reports.
    pub(crate) reports: Vec<PathBuf>,
    /// The metrics.
    pub(crate) metrics: Option<PathBuf>,
}

impl ReportFlags {
    pub(super) fn resolve(self) -> ReportArgs {
        let reports = self.report.into_iter().filter_map(|text| path(Some(text))).collect();
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
    Merge(MergeFlags),
}

const EXAMPLES: &str = "\
Examples:
  kpromo report merge --output all.json shard-*.json
  kpromo report merge --output all.html shard-*.json   # one page for people
  kpromo report merge --output page.html report.json   # a page of one report

Without --output, the first argument is the result: OUT IN... It must then be
a page (.html) or a new file.

Exit codes:
  0    merged
  1    the result cannot be written
  2    usage
  10   an input cannot be read, is not a report, or is of another promotion
  30   merged, but shards are missing or had different manifests";

/// Flags of `kpromo report merge`, as they are written.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct MergeFlags {
    /// File for the merged report: an HTML page if its name ends in .html, otherwise JSON; - writes to standard output.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new())]
    output: Option<OsString>,
    /// JSON reports to merge; - reads standard input.
    #[arg(value_name = "IN", required = true)]
    reports: Vec<PathBuf>,
}

/// What `kpromo report merge` is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MergeArgs {
    /// The file for the result.
    pub(crate) output: PathBuf,
    /// Whether the file for the result is the first argument, and may be a report that is meant as an input.
    pub(crate) output_is_first: bool,
    /// The reports, one at least.
    pub(crate) inputs: Vec<PathBuf>,
}

impl MergeFlags {
    /// What the flags ask for.
    ///
    /// # Errors
    /// If they name no file for the result.
    pub(crate) fn resolve(self) -> Result<MergeArgs, String> {
        let (output, mut inputs) = (path(self.output), self.reports);
        let output_is_first = output.is_none();
        let output = match output {
            Some(output) => output,
            None if inputs.len() > 1 => inputs.remove(0),
            None => return Err("the file for the merged report is missing: --output FILE".to_owned()),
        };
        Ok(MergeArgs { output, output_is_first, inputs })
    }
}
