//! The registry that is part of go-containerregistry, as `crane registry serve` runs it.

use oci::Host;
use tempfile::TempDir;

use crate::process::Process;

/// What it logs when its socket is open, before the port.
const LISTENING: &str = "serving on port ";

/// A running `crane registry serve`, which many tests of other projects use. It keeps everything in memory, knows no
/// referrers API and asks for no credentials. It ends when this is dropped.
#[derive(Debug)]
pub struct CraneRegistry {
    process: Process,
    host: Host,
    /// Where the log is.
    _folder: TempDir,
}

impl CraneRegistry {
    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// When it is not installed, or ends instead of listening; with what it logged.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder for a registry");
        let mut process = Process::spawn("crane", folder.path().join("log"), |command| {
            command.args(["registry", "serve", "--address", "127.0.0.1:0"]);
        });
        let host = process.wait_for_host(|process| logged_host(&process.log()));
        Self { process, host, _folder: folder }
    }

    /// Where it listens.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What it has logged so far, which is each request, for the message of an assertion.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The address in the log; `None` while the line that tells the port is not all there.
fn logged_host(log: &str) -> Option<Host> {
    let (_, rest) = log.split_once(LISTENING)?;
    let (port, _) = rest.split_once('\n')?;
    format!("127.0.0.1:{port}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_log_once_the_line_is_there() {
        let log = "2026/11/26 22:21:35 serving on port 36209\n";
        assert_eq!(logged_host(log), Some("127.0.0.1:36209".parse().unwrap()));
        assert_eq!(logged_host(&log[..log.len() - 3]), None, "half a port is no port");
        assert_eq!(logged_host(""), None);
    }
}
