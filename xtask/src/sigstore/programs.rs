//! The programs of the parts, and the directory that they run in.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::part::{Part, isolated};
use crate::error::Error;

/// The directories that the start of every part needs.
#[derive(Clone, Copy)]
pub(super) struct Programs<'a> {
    /// The directory of the tools.
    pub(super) tools: &'a Path,
    /// The directory that all parts run in, with the files that they share.
    pub(super) directory: &'a Path,
}

impl Programs<'_> {
    /// Starts a tool as a part. `line` has its arguments.
    pub(super) fn part(self, name: &'static str, line: &str) -> Result<Part, Error> {
        Part::start(self.directory, name, &self.tools.join(name), line.split_ascii_whitespace())
    }

    /// Returns the command for a tool that runs to its end.
    pub(super) fn command(self, name: &str) -> Command {
        isolated(self.directory, self.tools.join(name))
    }

    /// Writes a file to the directory that the parts run in.
    pub(super) fn write(self, name: &str, content: impl AsRef<[u8]>) -> Result<(), Error> {
        let file = self.directory.join(name);
        fs::write(&file, content).map_err(Error::file("writing", &file))
    }
}
