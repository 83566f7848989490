//! `bench measure`: runs commands and measures what they use, in a process without other children.
//!
//! The first line of its input is the [`Job`]. If the input ends before the job does, the driver has exited, and the commands
//! are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::terminal::print_error;

const PART: &str = "measure";
/// The maximum number of failed commands whose error messages are reported.
const ERRORS_MAX: usize = 3;
/// How much of the end of a command's output is searched for its error message, in bytes.
const TAIL: usize = 4096;
/// The maximum length of a reported error message, in characters.
const MESSAGE_MAX: usize = 300;

/// Commands to measure together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Program and arguments of each command.
    pub(crate) commands: Vec<Vec<String>>,
    /// How many commands run at once.
    pub(crate) parallel: usize,
    /// The complete environment of the commands.
    pub(crate) environment: BTreeMap<String, String>,
    /// The working directory of the commands, which also stores their output.
    pub(crate) directory: PathBuf,
}

/// What a job used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// From the start of the first command to the end of the last.
    pub(crate) wall_seconds: f64,
    /// User and system time of all commands.
    pub(crate) cpu_seconds: f64,
    /// The peak memory of the process with the highest peak.
    pub(crate) peak_memory_bytes: u64,
    /// How often each exit code occurred. A command killed by a signal counts as -1.
    pub(crate) exits: BTreeMap<i32, usize>,
    /// The error messages of the first few failed commands.
    pub(crate) errors: Vec<String>,
}

impl Measured {
    /// Returns how many commands have ended.
    pub(crate) fn commands(&self) -> usize {
        self.exits.values().sum()
    }

    /// Returns how many commands have failed.
    pub(crate) fn failures(&self) -> usize {
        self.exits.iter().filter(|(code, _)| **code != 0).map(|(_, count)| count).sum()
    }
}

/// The running commands.
#[derive(Default)]
struct Running {
    processes: Mutex<BTreeSet<i32>>,
}

impl Running {
    fn start(&self, command: &mut Command) -> Result<(Child, Pid), Error> {
        let mut processes = self.processes();
        let child = command.spawn().map_err(Error::file("starting", command.get_program()))?;
        #[expect(clippy::cast_possible_wrap, reason = "process numbers are positive and small")]
        let pid = Pid::from_raw(child.id() as i32);
        processes.insert(pid.as_raw());
        Ok((child, pid))
    }

    fn wait(&self, mut child: Child, pid: Pid) -> Result<ExitStatus, Error> {
        // The process number is not reused before `wait`, so `end` cannot kill another process.
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        self.processes().remove(&pid.as_raw());
        child.wait().map_err(Error::io("waiting for a command"))
    }

    /// Kills the running commands, and ends this process before it starts any other command.
    fn end(&self) -> ! {
        let processes = self.processes();
        for pid in processes.iter() {
            // A command that has just exited needs no signal.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(*pid), None);
        }
        std::process::exit(1)
    }

    fn processes(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the job in the input and writes what it used.
///
/// # Errors
/// If a command cannot be started, or if the input does not parse.
pub(crate) fn run() -> Result<(), Error> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(Error::io("reading the job"))?;
    let job: Job = serde_json::from_str(&line).map_err(|source| Error::Garbled { part: PART, source })?;
    let running: &'static Running = Box::leak(Box::default());
    std::thread::spawn(move || {
        // Further input is ignored. Only its end matters.
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        running.end()
    });
    let measured = match measure(&job, running) {
        Ok(measured) => measured,
        Err(error) => {
            print_error(&error);
            running.end()
        }
    };
    let line = serde_json::to_string(&measured).map_err(|source| Error::Garbled { part: PART, source })?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(Error::io("answering"))
}

fn measure(job: &Job, running: &Running) -> Result<Measured, Error> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let work = || -> Result<Vec<(usize, ExitStatus)>, Error> {
        let mut ended = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(words) = job.commands.get(number) else { return Ok(ended) };
            let (child, pid) = running.start(&mut command(job, number, words)?)?;
            ended.push((number, running.wait(child, pid)?));
        }
    };
    let ended = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..job.parallel.clamp(1, job.commands.len().max(1))).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect::<Result<Vec<_>, Error>>()
    })?;
    let wall_seconds = begun.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    let mut ended: Vec<_> = ended.into_iter().flatten().collect();
    ended.sort_unstable_by_key(|(number, _)| *number);
    let mut exits = BTreeMap::new();
    for (_, status) in &ended {
        *exits.entry(status.code().unwrap_or(-1)).or_default() += 1;
    }
    let failed = ended.iter().filter(|(_, status)| !status.success()).take(ERRORS_MAX);
    Ok(Measured {
        wall_seconds,
        #[expect(clippy::cast_precision_loss, reason = "shown with two decimal places")]
        cpu_seconds: cpu.num_microseconds() as f64 / 1e6,
        // Linux reports it in units of 1024 bytes.
        peak_memory_bytes: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
        exits,
        errors: failed
            .map(|(number, _)| error_message(&written(&job.directory, *number, "stderr")))
            .collect(),
    })
}

fn written(directory: &Path, number: usize, stream: &str) -> PathBuf {
    directory.join(format!("{number}.{stream}"))
}

fn command(job: &Job, number: usize, words: &[String]) -> Result<Command, Error> {
    let file = |stream| {
        let path = written(&job.directory, number, stream);
        File::create(&path).map_err(Error::file("making", path))
    };
    let (program, arguments) = words.split_first().ok_or_else(|| Error::Io {
        doing: "starting a command",
        source: std::io::ErrorKind::InvalidInput.into(),
    })?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&job.environment).current_dir(&job.directory);
    command.stdin(Stdio::null()).stdout(file("stdout")?).stderr(file("stderr")?);
    Ok(command)
}

/// Returns the last line of a file with an error, or else with a warning, or else the last line that is not empty.
fn error_message(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL)..]).into_owned();
    let last = |word: &str| {
        let mut lines = tail.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.rfind(|line| line.to_lowercase().contains(word))
    };
    let words = last("error").or_else(|| last("warn")).or_else(|| last("")).unwrap_or_default();
    words.chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(directory: &Path, scripts: &[&str], parallel: usize) -> Job {
        let commands = scripts.iter().map(|script| ["/bin/sh", "-c", script].map(str::to_owned).to_vec());
        let commands = commands.collect();
        Job { commands, parallel, environment: BTreeMap::new(), directory: directory.to_owned() }
    }

    #[test]
    fn exits_are_counted_and_error_messages_are_reported() {
        let directory = tempfile::tempdir().unwrap();
        let job = job(
            directory.path(),
            &["exit 0", "echo error: no such image >&2; echo done >&2; exit 3", "kill -9 $$"],
            2,
        );
        let measured = measure(&job, &Running::default()).unwrap();
        assert_eq!(measured.exits, BTreeMap::from([(0, 1), (3, 1), (-1, 1)]));
        assert_eq!(measured.failures(), 2);
        assert_eq!(measured.errors, ["error: no such image", ""]);
    }

    #[test]
    fn commands_run_in_parallel_up_to_the_limit() {
        // Each command waits for the file of the other, so they never end if they run one after the other.
        let directory = tempfile::tempdir().unwrap();
        let meet = |mine: &str, other: &str| format!("touch {mine}; until [ -e {other} ]; do :; done");
        let (first, second) = (meet("a", "b"), meet("b", "a"));
        let measured = measure(&job(directory.path(), &[&first, &second], 2), &Running::default()).unwrap();
        assert_eq!(measured.exits, BTreeMap::from([(0, 2)]));
    }

    #[test]
    fn the_error_names_a_program_that_does_not_exist() {
        let directory = tempfile::tempdir().unwrap();
        let mut job = job(directory.path(), &[], 1);
        job.commands.push(vec!["/no/such/program".to_owned()]);
        let error = measure(&job, &Running::default()).unwrap_err().to_string();
        assert!(error.contains("/no/such/program"), "{error}");
    }
}
