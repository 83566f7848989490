//! Why a command is given up.

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

    /// Prints the failure and returns its exit code.
    pub(crate) fn print(&self) -> Exit {
        ErrorLine { advice: self.help.as_deref(), ..ErrorLine::new(&self.text) }.print();
        self.exit
    }
}
