//! Errors of the benchmark.

use std::io;
use std::path::PathBuf;

/// An error that stops the benchmark.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },

    #[error("{doing}: {source}")]
    Io { doing: &'static str, source: io::Error },

    #[error("{}: invalid content: {source}", path.display())]
    Invalid { path: PathBuf, source: serde_json::Error },

    #[error("`bench {part}` printed unexpected output: {source}")]
    Garbled { part: &'static str, source: serde_json::Error },

    #[error("`bench {part}` exited without an answer; its last output is above")]
    Gone { part: &'static str },

    #[error("`bench {part}` sent an unexpected answer: {answer}")]
    Unexpected { part: &'static str, answer: String },

    #[error("{what} took longer than {seconds} s and was stopped")]
    TooLong { what: String, seconds: u64 },

    #[error("a registry did not start: {0}")]
    Registry(#[from] registry::StartError),

    #[error("a registry could not be filled: {0}")]
    Store(#[from] registry::StoreError),

    #[error("a generated name is invalid: {0}")]
    Name(#[from] oci::InvalidName),

    #[error(
        "the scenario `sign` needs a Sigstore: `cargo xtask bench` starts one and passes it with --sigstore"
    )]
    NoSigstore,

    #[error(
        "the scenario `files` needs an object store: `cargo xtask bench` builds one and passes it with --versitygw"
    )]
    NoStore,

    #[error("the Sigstore in {}: {why}", directory.display())]
    Sigstore { directory: PathBuf, why: String },

    #[error("the images to sign could not be promoted: {0}")]
    NotPromoted(String),

    #[error("waiting for a process: {0}")]
    Process(#[from] nix::Error),

    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),

    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns a function for `map_err` on errors of the file system.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// Returns a function for `map_err` on errors of a pipe or of the system.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
