//! The registry of go-containerregistry, as `crane registry serve` runs it.

use oci::Host;
use tempfile::TempDir;

use crate::process::Process;

/// The text in its log before the port, once it listens.
const LISTENING: &str = "serving on port ";

/// A running `crane registry serve`, which the tests of many projects use. It stores everything in memory, has no referrers
/// API and requires no credentials. It stops when it is dropped.
#[derive(Debug)]
pub struct CraneRegistry {
    process: Process,
    host: Host,
    /// Holds the log.
    _directory: TempDir,
}

impl CraneRegistry {
    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// If the registry is not installed, or if it exits before it listens. The message has its log.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory for a registry");
        let mut process = Process::spawn("crane", directory.path().join("log"), |command| {
            command.args(["registry", "serve", "--address", "127.0.0.1:0"]);
        });
        let host = process.wait_for_host(|process| logged_host(&process.log()));
        Self { process, host, _directory: directory }
    }

    /// Returns the host that the registry listens on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the log so far, for the message of an assertion. It has every request.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Returns the address in the log, or `None` if the line with the port is not complete yet.
fn logged_host(log: &str) -> Option<Host> {
    let (_, rest) = log.split_once(LISTENING)?;
    let (port, _) = rest.split_once('\n')?;
    format!("127.0.0.1:{port}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_log_once_the_line_is_complete() {
        let log = "2026/11/26 22:21:35 serving on port 36209\n";
        assert_eq!(logged_host(log), Some("127.0.0.1:36209".parse().unwrap()));
        assert_eq!(logged_host(&log[..log.len() - 3]), None, "the port is incomplete");
        assert_eq!(logged_host(""), None);
    }
}
