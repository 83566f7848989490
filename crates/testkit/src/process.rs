//! The process of an external server.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use oci::Host;

use crate::tool::{tool, variable};

/// The maximum time until a server listens. It usually takes a few milliseconds, and minutes only if the machine stalls.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The interval between checks. Each check reads the kernel's whole table of sockets, which takes about a millisecond.
const POLL: Duration = Duration::from_millis(20);
/// The state of a listening socket in the kernel's table of sockets.
const LISTEN: &str = "0A";

/// A process and its log file. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    program: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the tool `program`, which logs to the file `log`. `prepare` adds arguments and variables. Of the test's own
    /// environment, the program gets only `PATH`.
    pub(crate) fn spawn(program: &str, log: PathBuf, prepare: impl FnOnce(&mut Command)) -> Self {
        let file = File::create(&log).expect("the log can be written");
        let mut command = Command::new(tool(program));
        // Variables such as `REGISTRY_…` override the configuration.
        command.env_clear().envs(variable("PATH").map(|path| ("PATH", path)));
        prepare(&mut command);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("starting `{program}`: {error}"));
        Self { program: program.to_owned(), child, log }
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `find` returns the host that the process listens on.
    pub(crate) fn wait_for_host(&mut self, find: impl Fn(&Self) -> Option<Host>) -> Host {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // Checked before the log is read, so that the log of an exited process is complete.
            let ended = self.child.try_wait().expect("the state of a child process can be read");
            if let Some(host) = find(self) {
                return host;
            }
            let program = &self.program;
            if let Some(status) = ended {
                panic!("`{program}` ended with {status} before it listened:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "`{program}` does not listen:\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    /// Returns the loopback address that the process listens on, from the kernel's tables, or `None` if there is none yet. This
    /// is for programs that let the system choose the port and do not log it.
    pub(crate) fn listening_host(&self) -> Option<Host> {
        let process = PathBuf::from("/proc").join(self.child.id().to_string());
        let sockets = fs::read_dir(process.join("fd")).ok()?;
        let sockets: HashSet<String> = sockets
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|link| Some(socket_inode(link.to_str()?)?.to_owned()))
            .collect();
        let table = fs::read_to_string(process.join("net/tcp")).ok()?;
        let port = table.lines().find_map(|line| listening_port(line, &sockets))?;
        format!("127.0.0.1:{port}").parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the inode in the link of a descriptor, if it is a socket: `socket:[12345]`.
fn socket_inode(link: &str) -> Option<&str> {
    link.strip_prefix("socket:[")?.strip_suffix(']')
}

/// Returns the port in a line of the kernel's table of TCP sockets, if the socket listens and its inode is in `sockets`.
fn listening_port(line: &str, sockets: &HashSet<String>) -> Option<u16> {
    let mut columns = line.split_whitespace();
    let address = columns.nth(1)?;
    let state = columns.nth(1)?;
    let inode = columns.nth(5)?;
    let (_, port) = address.split_once(':')?;
    (state == LISTEN && sockets.contains(inode)).then(|| u16::from_str_radix(port, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_a_listening_socket_of_the_process() {
        let ours = HashSet::from(["77".to_owned()]);
        let line =
            "   0: 0100007F:A7FD 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 77 1 0 100 0";
        assert_eq!(listening_port(line, &ours), Some(43005));
        assert_eq!(listening_port(&line.replace(" 0A ", " 01 "), &ours), None, "a connection");
        assert_eq!(
            listening_port(&line.replace(" 77 ", " 78 "), &ours),
            None,
            "the socket of another process"
        );
        assert_eq!(listening_port("  sl  local_address rem_address   st tx_queue rx_queue", &ours), None);
    }

    #[test]
    fn only_links_to_sockets_have_the_inode_of_a_socket() {
        assert_eq!(socket_inode("socket:[77]"), Some("77"));
        assert_eq!(socket_inode("/dev/null"), None);
    }
}
