//! Failures of commands.

use std::fmt;
use std::path::Path;

use crate::exit::Exit;
use crate::terminal::ErrorLine;

/// A failure, with its message, advice and exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    help: Option<String>,
    exit: Exit,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { text: text.into(), help: None, exit }
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
    pub(crate) fn within(self, folder: &Path) -> Self {
        Self { text: self.text.replace(&format!("{}/", folder.display()), ""), ..self }
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
        ErrorLine { advice: self.help.as_deref(), ..ErrorLine::new(&self.text) }.print();
        self.exit
    }
}

/// Writes the message without the advice.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
