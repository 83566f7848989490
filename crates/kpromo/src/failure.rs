//! Why a command is given up.

use std::fmt;
use std::path::Path;

use crate::exit::Exit;
use crate::terminal::ErrorLine;

/// A failure: what is wrong, what to do, and the exit code.
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

    /// Adds what to do.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds what to do, if that is known.
    pub(crate) fn with_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// Leaves out a folder in the names of files, because it is a temporary one.
    pub(crate) fn within(self, folder: &Path) -> Self {
        Self { text: self.text.replace(&format!("{}/", folder.display()), ""), ..self }
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns what to do, if that is known.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Prints the failure and returns its exit code.
    pub(crate) fn print(&self) -> Exit {
        ErrorLine { advice: self.help.as_deref(), ..ErrorLine::new(&self.text) }.print();
        self.exit
    }
}

/// Writes what is wrong, without what to do.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
