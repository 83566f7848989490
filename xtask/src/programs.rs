//! Programs of tests: built by cargo in one step, and run several at a time.
//!
//! Most tests wait for servers, pauses and timeouts. `cargo test` runs one program after another and leaves the processors idle for
//! a third of the time.

use std::collections::VecDeque;
use std::io::{BufReader, Read as _, pipe};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cargo_metadata::{Message, TargetKind};

use crate::environment;
use crate::error::Error;
use crate::step::{not_started, say};
use crate::workspace::Workspace;

/// A program of tests.
#[derive(Debug)]
pub(crate) struct TestProgram {
    /// Its crate and its target, such as `oci suite`.
    pub(crate) name: String,
    /// The directory name of its crate.
    pub(crate) crate_name: String,
    /// Whether it has integration tests.
    pub(crate) is_integration: bool,
    pub(crate) file: PathBuf,
    /// The directory of its crate, in which cargo runs tests.
    pub(crate) directory: PathBuf,
}

impl TestProgram {
    /// Returns the command that runs the program, `at_once` tests at a time, in the environment that cargo gives to tests. It is
    /// ended after `limit`.
    pub(crate) fn command(&self, limit: Duration, at_once: u8) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--foreground", "--kill-after", "5"]).arg(limit.as_secs().to_string()).arg(&self.file);
        command.arg("--test-threads").arg(at_once.to_string());
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory);
        command.env("CARGO", environment::cargo());
        command
    }
}

/// Builds the test programs of all crates. Returns them by name.
///
/// # Errors
/// If one cannot be built.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<TestProgram>, Error> {
    let name = "building the tests";
    say(&format!("==> {name}"));
    let begun = Instant::now();
    let mut command = workspace.cargo(["test", "--workspace", "--no-run", "--quiet"]);
    command.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let mut cargo = command.spawn().map_err(|source| not_started(name, &command, source))?;
    let mut programs = Vec::new();
    if let Some(stdout) = cargo.stdout.take() {
        for message in Message::parse_stream(BufReader::new(stdout)) {
            let message = message.map_err(Error::file("reading the messages of cargo from", "stdout"))?;
            programs.extend(program(message));
        }
    }
    let status = cargo.wait().map_err(|source| not_started(name, &command, source))?;
    finish(name, status, begun)?;
    // Cargo reports them in the order in which their builds ended.
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

fn program(message: Message) -> Option<TestProgram> {
    let Message::CompilerArtifact(artifact) = message else { return None };
    let file = artifact.executable.filter(|_| artifact.profile.test)?;
    let directory = artifact.manifest_path.parent()?;
    let crate_name = directory.file_name()?;
    Some(TestProgram {
        name: format!("{crate_name} {}", artifact.target.name),
        crate_name: crate_name.to_owned(),
        is_integration: artifact.target.kind.contains(&TargetKind::Test),
        file: file.into(),
        directory: directory.into(),
    })
}

fn finish(name: &str, status: ExitStatus, begun: Instant) -> Result<(), Error> {
    if !status.success() {
        return Err(Error::Failed { names: vec![name.to_owned()] });
    }
    say(&format!("    {name}: {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// A command of [`run_all`].
#[derive(Debug)]
pub(crate) struct Job {
    /// Its name in messages.
    pub(crate) name: String,
    /// The command. Its output is printed when it has ended.
    pub(crate) command: Command,
}

/// Runs commands, as many at a time as there are processors, in their order. Prints the output of each as a whole.
///
/// # Errors
/// If commands cannot be started or fail. The other commands are run nevertheless.
pub(crate) fn run_all(name: &str, jobs: Vec<Job>) -> Result<(), Error> {
    say(&format!("==> {name}"));
    let begun = Instant::now();
    let at_once = thread::available_parallelism().map_or(2, NonZero::get).max(2);
    let (queue, failed) = (Mutex::new(VecDeque::from(jobs)), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(Job { name, command }) = job else { return };
            if !run(&name, command) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            }
        }
    };
    thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    let mut names = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if names.is_empty() {
        say(&format!("    {name}: {:.1} s", begun.elapsed().as_secs_f64()));
        return Ok(());
    }
    names.sort_unstable();
    Err(Error::Failed { names })
}

/// Runs a command and prints its output. Returns whether it has succeeded.
fn run(name: &str, mut command: Command) -> bool {
    let begun = Instant::now();
    let mut output = Vec::new();
    let ended = pipe().and_then(|(mut reader, writer)| {
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn()?;
        // The command has copies of the writer. With these, the output would not end.
        drop(command);
        reader.read_to_end(&mut output)?;
        child.wait()
    });
    let took = begun.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output);
    let outcome = match &ended {
        Ok(status) if status.success() => format!("{took:.1} s"),
        Ok(status) => format!("FAILED after {took:.1} s: {status}"),
        Err(error) => format!("FAILED: {error}"),
    };
    say(&format!("    {name}\n{}\n    {name}: {outcome}\n", text.trim_end()));
    ended.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { name: name.to_owned(), command }
    }

    #[test]
    fn all_commands_run_and_the_failed_ones_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ran");
        let last = shell("last", &format!("touch {}", file.display()));
        let jobs =
            vec![shell("one", "echo text; exit 3"), shell("two", "true"), shell("three", "exit 1"), last];
        let error = run_all("commands", jobs).unwrap_err().to_string();
        assert!(error.contains("one, three") && !error.contains("two"), "{error}");
        assert!(file.is_file());
    }

    #[test]
    fn commands_run_at_the_same_time() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // Each waits for the other.
        let jobs = vec![
            shell("reader", &format!("cat {}", fifo.display())),
            shell("writer", &format!("echo > {}", fifo.display())),
        ];
        run_all("commands", jobs).unwrap();
    }

    #[test]
    fn a_command_that_does_not_exist_is_a_failure() {
        let job = Job { name: "gone".to_owned(), command: Command::new("/no/such/program") };
        assert!(run_all("commands", vec![job]).unwrap_err().to_string().contains("gone"));
    }
}
