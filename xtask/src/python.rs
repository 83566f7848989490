//! Programs written in Python, installed with pinned dependencies into a directory that can be moved.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::step::{output, step};

/// The name of the script in the directory of a program that runs the program.
pub(crate) const RUN: &str = "run";

/// Installs `packages` into the directory `name` below `directory`, with a script that runs `module`. Returns the new directory.
///
/// # Errors
/// If pip is not installed, or if it cannot install a package.
pub(crate) fn install(
    name: &str,
    module: &str,
    packages: &[&str],
    directory: &Path,
) -> Result<PathBuf, Error> {
    let program = directory.join(name);
    let mut pip = Command::new("pip3");
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile", "--target"]);
    pip.arg(program.join("lib")).args(packages).current_dir(directory);
    step(&format!("installing {name}"), &mut pip)?;
    // Extension modules work only with the interpreter that pip has installed them for.
    let interpreter = output("finding the interpreter", Command::new("python3").args(["-c", INTERPRETER]))?;
    let script = program.join(RUN);
    fs::write(&script, script_of(interpreter.trim_end(), module))
        .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
        .map_err(Error::file("writing", script))?;
    Ok(program)
}

const INTERPRETER: &str = "import sys; print(sys.executable)";

fn script_of(interpreter: &str, module: &str) -> String {
    format!(
        "#!/bin/sh\n\
         directory=$(dirname \"$(readlink -f \"$0\")\")\n\
         PYTHONPATH=\"$directory/lib\" PYTHONDONTWRITEBYTECODE=1 exec '{interpreter}' -m {module} \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_program_finds_its_packages_through_a_link_and_after_a_move() {
        let directory = tempfile::tempdir().unwrap();
        let (first, moved) = (directory.path().join("building"), directory.path().join("cached"));
        fs::create_dir_all(first.join("lib")).unwrap();
        // An interpreter that prints its arguments.
        let interpreter = directory.path().join("interpreter");
        fs::write(&interpreter, "#!/bin/sh\necho \"$PYTHONPATH $*\"\n").unwrap();
        fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(first.join(RUN), script_of(interpreter.to_str().unwrap(), "module")).unwrap();
        fs::set_permissions(first.join(RUN), fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&first, &moved).unwrap();
        symlink(moved.join(RUN), directory.path().join("link")).unwrap();
        let shown =
            output("running", Command::new(directory.path().join("link")).args(["a b", "c"])).unwrap();
        let lib = moved.canonicalize().unwrap().join("lib");
        assert_eq!(shown, format!("{} -m module a b c\n", lib.display()));
    }
}
