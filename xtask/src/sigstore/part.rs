//! A part as a separate process.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::environment;
use crate::error::Error;
use crate::step::not_started;

/// The maximum time until a part is ready. It usually takes seconds, and minutes only if the machine stalls.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// The maximum time for each read of a response.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a log an error shows, in bytes.
const LOG: usize = 3000;

/// Returns a command in `directory` without the settings of the user. The kernel ends it when this process ends, even if
/// this process is killed. `setpriv` requests that from the kernel, because code between fork and exec needs `unsafe`.
pub(super) fn isolated(directory: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command.current_dir(directory).env_clear().env("HOME", directory).env("PATH", environment::path());
    command.stdin(Stdio::null());
    command
}

/// A running part. It is killed when dropped, because its state is removed with it.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts `program` in `directory`, with a log in the directory `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start<A: AsRef<OsStr>>(
        directory: &Path,
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, Error> {
        let logs = directory.join("log");
        let log = logs.join(name);
        fs::create_dir_all(&logs).map_err(Error::file("making the directory of logs", &logs))?;
        let file = File::create(&log).map_err(Error::file("making the log", &log))?;
        let duplicate = file.try_clone().map_err(Error::file("making the log", &log))?;
        let mut command = isolated(directory, program);
        command.args(arguments).stdout(file).stderr(duplicate);
        let child = command.spawn().map_err(|source| not_started(name, &command, source))?;
        Ok(Self { name, child, log })
    }

    /// Waits until `is_ready` returns true.
    ///
    /// # Errors
    /// If the part exits before that, or takes too long.
    pub(super) fn wait(&mut self, is_ready: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(error) = self.ended() {
                return Err(error);
            }
            if is_ready() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.error(format!("was not ready after {} s", READY_TIMEOUT.as_secs())));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the error for a part that has exited.
    pub(super) fn ended(&mut self) -> Option<Error> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(self.error(format!("ended with {status}"))),
            Err(error) => Some(self.error(format!("cannot be checked: {error}"))),
        }
    }

    fn error(&self, happened: String) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG)..];
        Error::Part { part: self.name, happened, log: String::from_utf8_lossy(end).into_owned() }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail only if the part has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns whether a process listens on a loopback port.
pub(super) fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns the content at `path` on a loopback port, or `None` if there is no server yet or its status is not 200.
pub(super) fn get(port: u16, path: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(READ_TIMEOUT)).ok()?;
    // A response in HTTP/1.0 is not chunked, and it ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer).ok()?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let good = answer.split(|byte| *byte == b' ').nth(1) == Some(b"200");
    good.then(|| answer.split_off(head + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(directory: &Path, script: &str) -> Part {
        Part::start(directory, "sh", Path::new("sh"), ["-c", script]).unwrap()
    }

    #[test]
    fn the_error_of_a_part_that_exits_early_has_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut part = sh(directory.path(), "echo the port is taken; exit 7");
        let error = part.wait(|| false).unwrap_err().to_string();
        assert!(error.contains("sh, a part of") && error.contains("exit status: 7"), "{error}");
        assert!(error.ends_with("the port is taken\n"), "{error}");
    }

    #[test]
    fn a_part_is_waited_for_and_killed_when_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let mut part = sh(directory.path(), "touch ready; exec sleep 1000");
        part.wait(|| directory.path().join("ready").exists()).unwrap();
        let process = PathBuf::from(format!("/proc/{}", part.child.id()));
        assert!(process.is_dir());
        drop(part);
        assert!(!process.exists());
    }

    #[test]
    fn a_part_does_not_see_the_settings_of_the_user() {
        let directory = tempfile::tempdir().unwrap();
        let mut part = sh(directory.path(), "env >seen; pwd >where; touch ready; exec sleep 1000");
        part.wait(|| directory.path().join("ready").exists()).unwrap();
        let seen = fs::read_to_string(directory.path().join("seen")).unwrap();
        assert!(seen.contains(&format!("HOME={}\n", directory.path().display())), "{seen}");
        assert!(!seen.contains("CARGO"), "{seen}");
        assert!(directory.path().join("where").exists());
    }
}
