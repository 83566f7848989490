//! VersityGW, a store with the API of S3.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::process::Process;

/// A running VersityGW over a directory. It stops when it is dropped.
#[derive(Debug)]
pub struct VersityGw {
    process: Process,
    host: String,
    directory: TempDir,
}

impl VersityGw {
    /// The access key ID.
    pub const KEY_ID: &str = "test-key";
    /// The secret access key.
    pub const SECRET: &str = "test-secret-key";

    /// Starts a store with empty buckets in a region and waits until it listens.
    ///
    /// # Panics
    /// If it is not installed, or if it exits before it listens.
    pub fn start(buckets: &[&str], region: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory for objects");
        let root = directory.path().join("buckets");
        fs::create_dir_all(&root).expect("a directory for buckets");
        for bucket in buckets {
            fs::create_dir_all(root.join(bucket)).expect("a directory for a bucket");
        }
        let sidecar = directory.path().join("metadata");
        fs::create_dir_all(&sidecar).expect("a directory for metadata");
        let mut process = Process::spawn("versitygw", directory.path().join("log"), |command| {
            command.args(["--access", Self::KEY_ID, "--secret", Self::SECRET, "--region", region]);
            command.args(["--port", "127.0.0.1:0", "--quiet", "posix", "--sidecar"]).arg(sidecar).arg(root);
            command.current_dir(directory.path());
        });
        let host = process.wait_for_host(Process::listening_host).to_string();
        Self { process, host, directory }
    }

    /// Returns `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the stored bytes of an object, or `None` if there is none.
    pub fn get(&self, bucket: &str, name: &str) -> Option<Vec<u8>> {
        fs::read(self.bucket(bucket).join(name)).ok()
    }

    /// Returns the directory of a bucket.
    pub fn bucket(&self, bucket: &str) -> PathBuf {
        self.directory.path().join("buckets").join(bucket)
    }

    /// Returns the number of files of a bucket that are not objects: parts of uploads.
    pub fn parts(&self, bucket: &str) -> usize {
        fn files(directory: PathBuf) -> usize {
            let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
            entries.map(|entry| if entry.path().is_dir() { files(entry.path()) } else { 1 }).sum()
        }
        files(self.bucket(bucket).join(".sgwtmp"))
    }
}
