//! olareg, a registry that stores OCI layouts.

use std::path::PathBuf;

use oci::Host;
use tempfile::TempDir;

use crate::process::Process;

/// A running olareg. It has a referrers API, stores each repository as an OCI layout and requires no credentials. It stops
/// when it is dropped.
#[derive(Debug)]
pub struct Olareg {
    process: Process,
    host: Host,
    directory: TempDir,
}

impl Olareg {
    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// If the registry is not installed, or if it exits before it listens. The message has its log.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory for a registry");
        let mut process = Process::spawn("olareg", directory.path().join("log"), |command| {
            command.args(["serve", "--addr", "127.0.0.1", "--port", "0", "--dir"]);
            command.arg(directory.path().join("storage"));
        });
        let host = process.wait_for_host(Process::listening_host);
        Self { process, host, directory }
    }

    /// Returns the host that the registry listens on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the directory with the registry's data, one OCI layout for each repository.
    pub fn storage(&self) -> PathBuf {
        self.directory.path().join("storage")
    }

    /// Returns the log so far, for the message of an assertion.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
