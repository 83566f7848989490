//! What running other people's clients has in common.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::credential::DockerConfig;
use crate::tool::{tool, variable};

/// A command that sees `config` for credentials and nothing else of its user.
pub(crate) fn isolated(program: &str, config: &DockerConfig) -> Command {
    let mut command = Command::new(tool(program));
    command
        .env_clear()
        .envs(variable("PATH").map(|path| ("PATH", path)))
        .env("HOME", config.folder())
        .env("DOCKER_CONFIG", config.folder())
        .stdin(Stdio::null());
    command
}

/// Runs a command and gives what it wrote to its standard output.
///
/// # Panics
/// When it cannot be started or fails; with what it wrote to its standard error.
pub(crate) fn output(command: Command) -> Vec<u8> {
    attempt(command).unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// The same for a command that may well fail: what it wrote to its standard error then is the error.
///
/// # Errors
/// When it fails; with the command, how it ended and what it complained of.
///
/// # Panics
/// When it cannot be started.
pub(crate) fn attempt(mut command: Command) -> Result<Vec<u8>, String> {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("starting {}: {error}", spelled(&command)));
    if status.success() {
        return Ok(stdout);
    }
    Err(format!("`{}` ended with {status}:\n{}", spelled(&command), String::from_utf8_lossy(&stderr)))
}

/// Program and arguments. Credentials are in files, so there are none to hide.
fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
