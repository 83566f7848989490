//! Failures of commands.

use std::fmt;
use std::path::Path;

use manifest::Diagnostics;

use crate::config::InvalidConfig;
use crate::exit::Exit;
use crate::faults::{print_faults_within, total};
use crate::terminal::{ErrorLine, last_words, print_help};

/// A failure, with its message, advice and exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    help: Option<String>,
    exit: Exit,
    /// The faults of files that are the reason, if they are.
    faults: Option<Diagnostics>,
    /// The beginning of the names of files that is not shown.
    directory: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { text: text.into(), help: None, exit, faults: None, directory: String::new() }
    }

    /// The failure of a command whose files have these faults.
    pub(crate) fn invalid(faults: Diagnostics) -> Self {
        let text = faults.render(false).trim_end().to_owned();
        Self { faults: Some(faults), ..Self::new(Exit::Invalid, text) }
    }

    /// Adds advice.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds advice, if there is any.
    pub(crate) fn with_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// Removes a temporary directory from file names.
    pub(crate) fn within(self, directory: &Path) -> Self {
        let directory = format!("{}/", directory.display());
        Self { text: self.text.replace(&directory, ""), directory, ..self }
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns the advice, if there is any.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Prints the failure and returns its exit code.
    pub(crate) fn print(&self) -> Exit {
        match &self.faults {
            Some(faults) => {
                print_faults_within(faults, &self.directory);
                last_words().error.get_or_insert_with(|| total(faults));
                self.help.iter().for_each(|help| print_help(help));
            }
            None => ErrorLine { advice: self.help.as_deref(), ..ErrorLine::new(&self.text) }.print(),
        }
        self.exit
    }
}

impl From<InvalidConfig> for Failure {
    fn from(error: InvalidConfig) -> Self {
        match error {
            InvalidConfig::Fault(fault) => Self::invalid((*fault).into()),
            InvalidConfig::Value { .. } | InvalidConfig::Connections(_) => {
                Self::new(Exit::Invalid, error.to_string())
            }
        }
    }
}

/// Writes the message without the advice.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
