//! Grafeas, the open-source server of the Container Analysis protocol.

use std::fs;

use oci::Host;
use serde_json::Value;
use tempfile::TempDir;

use crate::loopback::post;
use crate::process::Process;

/// A running Grafeas server, version v1beta1 of the API, with its store in memory. It stops when it is dropped.
#[derive(Debug)]
pub struct Grafeas {
    process: Process,
    host: Host,
    _directory: TempDir,
}

impl Grafeas {
    /// Starts a server and waits until it listens.
    ///
    /// # Panics
    /// If the server is not installed, or if it exits before it listens. The message has its log.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory for Grafeas");
        let configuration = directory.path().join("config.yaml");
        let text = "grafeas:\n  api:\n    address: \"127.0.0.1:0\"\n  storage_type: memstore\n";
        fs::write(&configuration, text).expect("the configuration of Grafeas can be written");
        let mut process = Process::spawn("grafeas", directory.path().join("log"), |command| {
            command.arg("--config").arg(configuration);
        });
        let host = process.wait_for_host(Process::listening_host);
        Self { process, host, _directory: directory }
    }

    /// Returns the URL of the API.
    pub fn url(&self) -> String {
        format!("http://{}/v1beta1", self.host)
    }

    /// Creates a note or an occurrence below a project: `path` is `notes?noteId=…` or `occurrences`.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn create(&self, project: &str, path: &str, content: &Value) {
        post(&format!("{}/projects/{project}/{path}", self.url()), &content.to_string());
    }

    /// Creates a project.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn create_project(&self, project: &str) {
        let content = serde_json::json!({ "name": format!("projects/{project}") });
        post(&format!("{}/projects", self.url()), &content.to_string());
    }

    /// Returns the log so far, for the message of an assertion.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
