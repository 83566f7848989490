//! Flags about the output of a run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction::Set;
use clap::Args;
use clap::builder::OsStringValueParser;

use super::super::report::{ReportArgs, ReportFlags};
use super::super::value::{BOOL, go_bool, path};

/// The flags about the output.
#[derive(Clone, Debug, Args)]
pub(super) struct OutputFlags {
    /// List every edge of the plan, with whole digests; by default, a terminal shows the first 50. Also shows a log of level debug.
    #[arg(short, long, help_heading = "Output", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    verbose: bool,
    /// Write the plan to this file as JSON. With -, write it to standard output, and everything else to standard error.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    output_plan: Option<OsString>,
    #[command(flatten)]
    report: ReportFlags,
}

/// Returns the checked arguments.
pub(super) struct OutputArgs {
    /// Whether the plan is listed completely.
    pub(super) verbose: bool,
    pub(super) plan: Option<PathBuf>,
    pub(super) report: ReportArgs,
}

impl OutputFlags {
    /// Returns the checked arguments.
    pub(super) fn resolve(self) -> OutputArgs {
        OutputArgs { verbose: self.verbose, plan: path(self.output_plan), report: self.report.resolve() }
    }
}

impl OutputArgs {
    /// Returns the first flag that requests a file.
    pub(super) fn given(&self) -> Option<&'static str> {
        self.plan.is_some().then_some("--output-plan").or(self.report.given())
    }
}
