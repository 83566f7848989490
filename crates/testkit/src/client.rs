//! Running the clients of other projects.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::credential::DockerConfig;
use crate::tool::{tool, variable};

/// Returns a command with the credentials of `config`. Of the user's environment it has only `PATH`.
pub(crate) fn isolated(program: &str, config: &DockerConfig) -> Command {
    let mut command = Command::new(tool(program));
    command
        .env_clear()
        .envs(variable("PATH").map(|path| ("PATH", path)))
        .env("HOME", config.directory())
        .env("DOCKER_CONFIG", config.directory())
        .stdin(Stdio::null());
    command
}

/// Runs a command and returns its standard output.
///
/// # Panics
/// If the command cannot be started or fails. The message has its standard error.
pub(crate) fn output(command: Command) -> Vec<u8> {
    attempt(command).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a command that may fail and returns its standard output.
///
/// # Errors
/// If the command fails. The error has the command, its exit status and its standard error.
///
/// # Panics
/// If the command cannot be started.
pub(crate) fn attempt(mut command: Command) -> Result<Vec<u8>, String> {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("starting {}: {error}", command_line(&command)));
    if status.success() {
        return Ok(stdout);
    }
    Err(format!("`{}` ended with {status}:\n{}", command_line(&command), String::from_utf8_lossy(&stderr)))
}

/// Returns program and arguments. Credentials are in files, so the arguments have no secrets.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
