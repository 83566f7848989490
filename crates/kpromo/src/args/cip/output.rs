//! Flags about the output of a run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction::Set;
use clap::Args;
use clap::builder::OsStringValueParser;

use super::super::value::{BOOL, go_bool, path};

/// Flags about the output, as they are written.
#[derive(Clone, Debug, Args)]
pub(super) struct OutputFlags {
    /// List every edge of the plan, with whole digests; by default, a terminal shows the first 50. Also shows a log of level debug.
    #[arg(short, long, help_heading = "Output", default_value = "false", value_parser = go_bool(), action = Set, value_name = BOOL)]
    verbose: bool,
    /// Write the plan to this file as JSON; - is standard output, and then all else goes to standard error.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    output_plan: Option<OsString>,
    /// Write a report of the run to this file as JSON; - as above.
    #[arg(long, help_heading = "Output", value_name = "FILE", value_parser = OsStringValueParser::new())]
    report: Option<OsString>,
}

/// What the flags ask for.
pub(super) struct OutputArgs {
    /// Whether the whole plan is listed.
    pub(super) verbose: bool,
    pub(super) plan: Option<PathBuf>,
    pub(super) report: Option<PathBuf>,
}

impl OutputFlags {
    /// What the flags ask for.
    pub(super) fn resolve(self) -> OutputArgs {
        OutputArgs { verbose: self.verbose, plan: path(self.output_plan), report: path(self.report) }
    }
}
