//! A registry's process: started, waited for until it listens, ended.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use oci::Host;

use crate::tool::{tool, variable};

/// How long a registry may take to listen. It takes a few milliseconds, minutes only where the machine has stalled.
const PATIENCE: Duration = Duration::from_secs(60);
/// The state of a socket that listens, in the kernel's table of sockets.
const LISTEN: &str = "0A";

/// The process, and the file it logs to. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    program: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the tool `program`, which logs to the file `log`. `prepare` adds arguments and variables; of ours, the program
    /// sees `PATH` alone.
    pub(crate) fn spawn(program: &str, log: PathBuf, prepare: impl FnOnce(&mut Command)) -> Self {
        let file = File::create(&log).expect("the registry's log can be written");
        let mut command = Command::new(tool(program));
        // Variables such as `REGISTRY_…` would override the configuration.
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

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `find` tells where it listens.
    pub(crate) fn wait_for_host(&mut self, find: impl Fn(&Self) -> Option<Host>) -> Host {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Asked before the log is read, so that the log of a process that has ended is whole.
            let ended = self.child.try_wait().expect("the state of a child process can be read");
            if let Some(host) = find(self) {
                return host;
            }
            let program = &self.program;
            if let Some(status) = ended {
                panic!("`{program}` ended with {status} before it listened:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "`{program}` does not listen:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The loopback address that it listens on, as the kernel knows it; `None` while it listens on none. For programs that
    /// let the system choose the port and do not log which it was.
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
        // Both fail only where the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The inode in the link of a descriptor that is a socket: `socket:[12345]`.
fn socket_inode(link: &str) -> Option<&str> {
    link.strip_prefix("socket:[")?.strip_suffix(']')
}

/// The port in a line of the kernel's table of TCP sockets, where the socket listens and its inode is one of `sockets`.
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
    fn only_a_listening_socket_of_the_process_tells_its_port() {
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
