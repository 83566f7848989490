//! Commands as steps of a task: each has a name and a duration, and its failure stops the task.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the only place that prints progress")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Runs `command` with the output streams of this process, and prints how long it took.
///
/// # Errors
/// If it cannot be started or fails.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<Duration, Error> {
    say(&format!("==> {name}"));
    let begun = Instant::now();
    let status = command.status().map_err(|source| not_started(name, command, source))?;
    finish(name, command, status, begun.elapsed())
}

fn finish(name: &str, command: &Command, status: ExitStatus, took: Duration) -> Result<Duration, Error> {
    if status.success() {
        say(&format!("    {name}: {:.1} s", took.as_secs_f64()));
        return Ok(took);
    }
    Err(Error::StepFailed { name: name.to_owned(), command: command_line(command), status, took })
}

/// Runs `command` silently and returns its output.
///
/// # Errors
/// If it cannot be started or fails. The error has its error output.
pub(crate) fn output(name: &str, command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|source| not_started(name, command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::CommandFailed {
        name: name.to_owned(),
        command: command_line(command),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
    })
}

/// Returns the error for a command that could not be started.
pub(crate) fn not_started(name: &str, command: &Command, source: io::Error) -> Error {
    Error::NotStarted {
        name: name.to_owned(),
        command: command_line(command),
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

/// Returns program and arguments as a user would type them.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_a_command_that_fails() {
        let error = step("the gate", Command::new("sh").args(["-c", "exit 7"])).unwrap_err().to_string();
        assert!(error.starts_with("the gate failed after "), "{error}");
        assert!(error.ends_with("`sh -c exit 7` ended with exit status: 7"), "{error}");
    }

    #[test]
    fn the_error_names_a_command_that_does_not_exist() {
        let error = step("the gate", &mut Command::new("/no/such/program")).unwrap_err().to_string();
        assert!(error.contains("`/no/such/program` could not be started"), "{error}");
    }

    #[test]
    fn the_output_of_a_silent_command_is_returned_and_its_error_output_is_in_the_error() {
        assert_eq!(output("the question", Command::new("echo").arg("yes")).unwrap(), "yes\n");
        let mut fails = Command::new("sh");
        let error = output("the question", fails.args(["-c", "echo no >&2; exit 7"])).unwrap_err();
        assert!(error.to_string().ends_with("exit status: 7:\nno"), "{error}");
    }

    #[test]
    fn a_command_that_succeeds_completes_a_step() {
        step("the gate", &mut Command::new("true")).unwrap();
    }
}
