//! Debian packages, which are installed if their programs are missing.

use std::process::Command;

use crate::environment;
use crate::error::Error;
use crate::step::{say, step};

/// A program from a Debian package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// The name of the program on PATH.
    pub(crate) command: &'static str,
    /// The package that contains it.
    pub(crate) package: &'static str,
}

/// Installs the packages whose programs are missing.
///
/// # Errors
/// If a program is missing and this process may not install packages, or if apt fails.
pub(crate) fn install(packages: &[Package]) -> Result<(), Error> {
    let missing: Vec<Package> =
        packages.iter().copied().filter(|package| !environment::on_path(package.command)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let commands = joined(&missing, |package| package.command, ", ");
    let names = joined(&missing, |package| package.package, " ");
    say(&format!("not on PATH: {commands}"));
    let prefix = privileges().map_err(|obstacle| Error::Packages {
        commands,
        verb: if missing.len() == 1 { "is" } else { "are" },
        obstacle,
        packages: names.clone(),
    })?;
    step("apt-get update", apt(prefix).arg("update"))?;
    let mut install = apt(prefix);
    install.args(["install", "--yes", "--no-install-recommends"]);
    step(&format!("apt-get install {names}"), install.args(missing.iter().map(|package| package.package)))?;
    Ok(())
}

fn joined(packages: &[Package], name: impl Fn(&Package) -> &'static str, separator: &str) -> String {
    packages.iter().map(name).collect::<Vec<_>>().join(separator)
}

/// Returns the command prefix with which `apt-get` may install packages, or the reason why there is none.
fn privileges() -> Result<&'static [&'static str], &'static str> {
    if !environment::on_path("apt-get") {
        return Err("apt-get is not available to install them");
    }
    if environment::is_root() {
        return Ok(&[]);
    }
    // `-n`: without it, a task in a pipeline waits forever for a password.
    let allowed =
        Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if allowed { Ok(&["sudo", "-n"]) } else { Err("installing needs root, or sudo without a password") }
}

/// Returns an `apt-get` command that asks no questions and waits while another process installs. `env` sets the variable,
/// because sudo drops the environment.
fn apt(prefix: &[&str]) -> Command {
    let words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--option=DPkg::Lock::Timeout=300"];
    let mut words = prefix.iter().chain(&words);
    let mut command = Command::new(words.next().copied().unwrap_or("env"));
    command.args(words);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<&str> {
        std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|w| w.to_str().unwrap())
            .collect()
    }

    #[test]
    fn apt_asks_no_questions_with_and_without_sudo() {
        let apt_get =
            ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--option=DPkg::Lock::Timeout=300"];
        assert_eq!(words(&apt(&[])), apt_get);
        assert_eq!(words(&apt(&["sudo", "-n"])), [&["sudo", "-n"], &apt_get[..]].concat());
    }

    #[test]
    fn nothing_is_installed_if_nothing_is_missing() {
        // The package does not exist, so an attempt to install it fails.
        install(&[Package { command: "sh", package: "kpromo-no-such-package" }]).unwrap();
    }
}
