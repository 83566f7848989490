//! The documents that the binary makes of itself: manual pages, completion scripts and JSON Schemas.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::step::output;

/// The shells that get a script, with the name under which each of them looks for one.
pub(crate) const SHELLS: &[(&str, &str)] = &[
    ("bash", "kpromo"),
    ("elvish", "kpromo.elv"),
    ("fish", "kpromo.fish"),
    ("powershell", "_kpromo.ps1"),
    ("zsh", "_kpromo"),
];

/// Writes a manual page for each command of `kpromo` to `folder`, which is made.
///
/// # Errors
/// If the binary cannot write them.
pub(crate) fn pages(kpromo: &Path, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::file("making the directory", folder))?;
    output("writing manual pages", Command::new(kpromo).args(["reference", "man"]).arg(folder))?;
    Ok(())
}

/// Writes the JSON Schemas of what `kpromo` reads and writes to `folder`, which is made.
///
/// # Errors
/// If the binary cannot write them.
pub(crate) fn schemas(kpromo: &Path, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::file("making the directory", folder))?;
    output("writing JSON Schemas", Command::new(kpromo).args(["reference", "schemas"]).arg(folder))?;
    Ok(())
}

/// Writes the completion scripts to `folder`, one folder for each shell.
///
/// # Errors
/// If the binary cannot print one, or if it cannot be written.
pub(crate) fn completions(kpromo: &Path, folder: &Path) -> Result<(), Error> {
    for (shell, name) in SHELLS {
        let script =
            output("printing a completion script", Command::new(kpromo).args(["completion", shell]))?;
        let folder = folder.join(shell);
        fs::create_dir_all(&folder).map_err(Error::file("making the directory", &folder))?;
        let file = folder.join(name);
        fs::write(&file, script).map_err(Error::file("writing", file))?;
    }
    Ok(())
}
