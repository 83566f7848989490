//! olareg, a registry that keeps OCI layouts.

use std::path::PathBuf;

use oci::Host;
use tempfile::TempDir;

use crate::process::Process;

/// A running olareg. It has a referrers API, stores each repository as an OCI layout and asks for no credentials. It ends
/// when this is dropped.
#[derive(Debug)]
pub struct Olareg {
    process: Process,
    host: Host,
    folder: TempDir,
}

impl Olareg {
    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// When it is not installed, or ends instead of listening; with what it logged.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder for a registry");
        let mut process = Process::spawn("olareg", folder.path().join("log"), |command| {
            command.args(["serve", "--addr", "127.0.0.1", "--port", "0", "--dir"]);
            command.arg(folder.path().join("storage"));
        });
        let host = process.wait_for_host(Process::listening_host);
        Self { process, host, folder }
    }

    /// Where it listens.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The folder that it keeps its data in, an OCI layout a repository.
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// What it has logged so far, for the message of an assertion.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
