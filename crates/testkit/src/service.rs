//! A registry of the distribution project as a separate process.

use std::fs;
use std::path::{Path, PathBuf};

use oci::Host;
use tempfile::TempDir;

use crate::process::Process;

/// The text in the log of both versions before the address, once they listen.
const LISTENING: &str = "listening on ";

/// A running registry of the distribution project, in either version. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    process: Process,
    host: Host,
    directory: TempDir,
}

/// The parts of a configuration besides storage and address.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    /// Further entries of the `http` section: `, name: value`.
    pub(crate) http: String,
    /// Further sections, one a line.
    pub(crate) sections: String,
}

impl Service {
    /// Starts `program` on a free port and waits until it listens.
    ///
    /// The system chooses the port when the registry binds it, so no other process can take it in between. `extend` gets the
    /// directory and returns the further configuration.
    pub(crate) fn start(program: &str, extend: impl FnOnce(&Path) -> Extension) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory for a registry");
        let configuration = directory.path().join("config.yml");
        let text = configuration_text(&storage_of(directory.path()), &extend(directory.path()));
        fs::write(&configuration, text).expect("the registry's configuration can be written");
        let mut process = Process::spawn(program, directory.path().join("log"), |command| {
            // By default, version 3 sends its traces to a collector.
            command.arg("serve").arg(configuration).env("OTEL_TRACES_EXPORTER", "none");
        });
        let host = process.wait_for_host(|process| logged_host(&process.log()));
        Self { process, host, directory }
    }

    /// Returns the host that the registry listens on.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the directory with the registry's data.
    pub(crate) fn storage(&self) -> PathBuf {
        storage_of(self.directory.path())
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

fn storage_of(directory: &Path) -> PathBuf {
    directory.join("storage")
}

/// Returns a configuration that versions 2 and 3 accept. A JSON string is a valid YAML string for every path.
fn configuration_text(storage: &Path, extension: &Extension) -> String {
    let Extension { http, sections } = extension;
    let storage =
        serde_json::Value::from(storage.to_str().expect("temporary directories have names in UTF-8"));
    format!(
        "version: 0.1\n\
         log: {{level: info, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"127.0.0.1:0\", secret: testkit{http}}}\n\
         {sections}"
    )
}

/// Returns the address in the log line about the open socket, or `None` if the line is not complete yet.
fn logged_host(log: &str) -> Option<Host> {
    let (_, rest) = log.split_once(LISTENING)?;
    // With TLS, the line has `127.0.0.1:43005, tls`.
    let (address, _) = rest.split_once([',', '"'])?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_log_once_the_line_is_complete() {
        let before = "time=\"…\" level=info msg=\"redis not configured\"\n";
        let line = "time=\"…\" level=info msg=\"listening on 127.0.0.1:43005\" version=2.8.2\n";
        assert_eq!(logged_host(before), None);
        assert_eq!(logged_host(&format!("{before}{line}")), Some("127.0.0.1:43005".parse().unwrap()));
        let tls = line.replace("43005", "43005, tls");
        assert_eq!(logged_host(&tls), Some("127.0.0.1:43005".parse().unwrap()));
        let cut = line.find("005").unwrap();
        assert_eq!(logged_host(&line[..cut]), None, "the port is incomplete");
    }
}
