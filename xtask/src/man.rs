//! The documents that the binary generates about itself: manual pages, completion scripts and JSON Schemas.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::step::output;

/// The shells with a completion script, each with the file name that it looks for.
pub(crate) const SHELLS: &[(&str, &str)] = &[
    ("bash", "kpromo"),
    ("elvish", "kpromo.elv"),
    ("fish", "kpromo.fish"),
    ("powershell", "_kpromo.ps1"),
    ("zsh", "_kpromo"),
];

/// Writes a manual page for each command of `kpromo` to `directory`, which is created.
///
/// # Errors
/// If the binary cannot write them.
pub(crate) fn pages(kpromo: &Path, directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(Error::file("making the directory", directory))?;
    output("writing manual pages", Command::new(kpromo).args(["reference", "man"]).arg(directory))?;
    Ok(())
}

/// Writes the completion scripts to `directory`, one directory for each shell.
///
/// # Errors
/// If the binary cannot print one, or if it cannot be written.
pub(crate) fn completions(kpromo: &Path, directory: &Path) -> Result<(), Error> {
    for (shell, name) in SHELLS {
        let script =
            output("printing a completion script", Command::new(kpromo).args(["completion", shell]))?;
        let directory = directory.join(shell);
        fs::create_dir_all(&directory).map_err(Error::file("making the directory", &directory))?;
        let file = directory.join(name);
        fs::write(&file, script).map_err(Error::file("writing", file))?;
    }
    Ok(())
}
