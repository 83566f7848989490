//! What running `crane` and running `skopeo` have in common.

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
pub(crate) fn output(mut command: Command) -> Vec<u8> {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    assert!(
        status.success(),
        "`{}` ended with {status}:\n{}",
        spelled(&command),
        String::from_utf8_lossy(&stderr)
    );
    stdout
}

/// Program and arguments. Credentials are in files, so there are none to hide.
fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
