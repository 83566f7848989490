//! Object stores to measure against: VersityGW in temporary directories, which count their requests in an access log.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::error::Error;
use crate::tools::Peer;

/// The name of the bucket in each store.
pub(crate) const BUCKET: &str = "files";
/// The access key ID and the secret of each store.
const KEY: (&str, &str) = ("bench", "bench-secret");
/// The maximum time until a store listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running store. It stops when it is dropped.
pub(crate) struct ObjectStore {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl ObjectStore {
    /// Starts an empty store and waits until it listens.
    pub(crate) fn start(program: &Peer, directory: TempDir) -> Result<Self, Error> {
        let (root, metadata) = (directory.path().join("buckets"), directory.path().join("metadata"));
        for path in [root.join(BUCKET), metadata.clone()] {
            fs::create_dir_all(&path).map_err(Error::file("making", path))?;
        }
        let port = free_port()?;
        let mut command = Command::new(&program.path);
        command.args([
            "--access",
            KEY.0,
            "--secret",
            KEY.1,
            "--port",
            &format!("127.0.0.1:{port}"),
            "--quiet",
        ]);
        command
            .arg("--access-log")
            .arg(log(directory.path()))
            .args(["posix", "--sidecar"])
            .arg(metadata)
            .arg(root);
        command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().map_err(Error::file("starting", &program.path))?;
        let store = Self { child, directory, port };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                let (what, seconds) = ("the start of VersityGW".to_owned(), START_TIMEOUT.as_secs());
                return Err(Error::TooLong { what, seconds });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(store)
    }

    /// Returns the URL of the store.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the number of requests so far.
    pub(crate) fn requests(&self) -> Result<u64, Error> {
        let path = log(self.directory.path());
        // The log does not exist before the first request.
        let Ok(file) = File::open(&path) else { return Ok(0) };
        let lines = BufReader::new(file).lines();
        Ok(lines.map_while(Result::ok).filter(|line| !line.is_empty()).count() as u64)
    }

    /// Returns the number of objects below a directory of the bucket.
    pub(crate) fn objects(&self, below: &str) -> usize {
        count_files(&self.directory.path().join("buckets").join(BUCKET).join(below))
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        // Both fail only if the process has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(directory: &Path) -> PathBuf {
    directory.join("access.log")
}

/// Returns a port that nothing listens on.
fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("finding a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("finding a free port"))?.port())
}

fn count_files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

/// The environment of kpromo and of the Go tool for a store.
pub(crate) fn aws_environment(url: &str) -> BTreeMap<String, String> {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", KEY.0),
        ("AWS_SECRET_ACCESS_KEY", KEY.1),
        ("AWS_REGION", "us-east-1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The environment of rclone, in which the store is the remote `store`.
pub(crate) fn rclone_environment(url: &str) -> BTreeMap<String, String> {
    [
        ("TYPE", "s3"),
        ("PROVIDER", "Other"),
        ("ENDPOINT", url),
        ("ACCESS_KEY_ID", KEY.0),
        ("SECRET_ACCESS_KEY", KEY.1),
        ("REGION", "us-east-1"),
    ]
    .map(|(name, value)| (format!("RCLONE_CONFIG_STORE_{name}"), value.to_owned()))
    .into()
}
