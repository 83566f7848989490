//! Parts of the benchmark that run as separate processes.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::error::Error;

/// How long a part has to exit after its input has ended.
const GRACE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// A running part. When it is dropped, its input ends, and it exits or is killed.
pub(crate) struct Process {
    part: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a part of this program.
    pub(crate) fn start(program: &Path, part: &'static str) -> Result<Self, Error> {
        let mut child = Command::new(program)
            .arg(part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Its own process group: the terminal sends an interrupt only to the driver, which then stops the parts in order.
            .process_group(0)
            .spawn()
            .map_err(Error::file("starting", program))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or(Error::Gone { part })?;
        Ok(Self { part, child, input, output: BufReader::new(output).lines() })
    }

    /// Writes one line.
    pub(crate) async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        let part = self.part;
        let mut line = serde_json::to_vec(message).map_err(|source| Error::Garbled { part, source })?;
        line.push(b'\n');
        let input = self.input.as_mut().ok_or(Error::Gone { part })?;
        input.write_all(&line).await.map_err(|_| Error::Gone { part })
    }

    /// Reads one line.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let part = self.part;
        let line = self.output.next_line().await.map_err(Error::io("waiting for an answer"))?;
        let line = line.ok_or(Error::Gone { part })?;
        serde_json::from_str(&line).map_err(|source| Error::Garbled { part, source })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // Blocks on purpose: the files that the part uses are removed afterwards.
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < GRACE {
            std::thread::sleep(PAUSE);
        }
    }
}
