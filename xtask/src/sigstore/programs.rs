//! The programs that parts are started from, and the folder that they run in.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::part::{Part, isolated};
use crate::error::Error;

/// What all parts are started with.
#[derive(Clone, Copy)]
pub(super) struct Programs<'a> {
    /// The folder of the tools.
    pub(super) tools: &'a Path,
    /// The folder that parts run in, with the files that they share.
    pub(super) folder: &'a Path,
}

impl Programs<'_> {
    /// One of the tools as a part, its arguments in one line.
    pub(super) fn part(self, name: &'static str, line: &str) -> Result<Part, Error> {
        Part::start(self.folder, name, &self.tools.join(name), line.split_ascii_whitespace())
    }

    /// One of the tools as a command that ends.
    pub(super) fn command(self, name: &str) -> Command {
        isolated(self.folder, self.tools.join(name))
    }

    /// Writes a file to the folder that parts run in.
    pub(super) fn write(self, name: &str, content: impl AsRef<[u8]>) -> Result<(), Error> {
        let file = self.folder.join(name);
        fs::write(&file, content).map_err(Error::file("writing", &file))
    }
}
