//! Errors of tasks. A message has the operation, its result and, if there is one, a remedy.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// An error that stops a task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{name} failed after {:.1} s: `{command}` ended with {status}", took.as_secs_f64())]
    StepFailed { name: String, command: String, status: ExitStatus, took: Duration },

    #[error("failed: {}", names.join(", "))]
    Failed { names: Vec<String> },

    #[error("{name}: `{command}` ended with {status}:\n{stderr}")]
    CommandFailed { name: String, command: String, status: ExitStatus, stderr: String },

    #[error("{part}, a part of the tests' Sigstore, {happened}. The end of its log:\n{log}")]
    Part { part: &'static str, happened: String, log: String },

    #[error("the tests' Sigstore needs {wanted} free ports on loopback from {first} on: {source}")]
    Ports { wanted: usize, first: u16, source: io::Error },

    #[error("{name}: `{command}` could not be started: {source}. Is `{program}` installed, and on PATH?")]
    NotStarted { name: String, command: String, program: String, source: io::Error },

    #[error("{doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },

    #[error("cannot get the workspace from cargo: {0}")]
    Metadata(#[from] cargo_metadata::Error),

    #[error(
        "there is no directory for tools: set KPROMO_TOOLS to one outside of the checkout (or XDG_CACHE_HOME, or HOME)"
    )]
    NoCache,

    #[error(
        "{commands} {verb} required but not on PATH, and {obstacle}. Install {packages} (names of Debian \
         packages) and run this again"
    )]
    Packages { commands: String, verb: &'static str, obstacle: &'static str, packages: String },

    #[error(
        "{tool} is built with Go, and `go` is not on PATH: install Go 1.26 or later (https://go.dev/dl) and run this again"
    )]
    NoGo { tool: &'static str },

    #[error("building {tool} succeeded, but did not produce {}: was the program renamed upstream?", path.display())]
    NothingBuilt { tool: String, path: PathBuf },

    #[error("not up to date: {}. Run `cargo xtask docs`", files.join(", "))]
    Stale { files: Vec<String> },

    #[error("broken links in the book:\n    {}", links.join("\n    "))]
    BrokenLinks { links: Vec<String> },

    #[error(
        "the release binary has {size} bytes, more than the limit of {limit}: which dependency did the \
         last change add?"
    )]
    TooLarge { size: u64, limit: u64 },

    #[error("SOURCE_DATE_EPOCH is `{text}`: it must be a number of seconds since 1970")]
    Epoch { text: String },

    #[error("cargo did not report its target platform: `cargo --version --verbose` has no line `host:`")]
    NoPlatform,

    #[error(
        "the release contains the path {path} of this machine, so a build elsewhere would differ: \
         find the compiler that wrote it"
    )]
    PathInBinary { path: String },

    #[error(
        "two builds of {name} differ from byte {place} on (they have {} and {} bytes): something in \
         the build depends on the directory or the time",
        sizes.0, sizes.1
    )]
    Differs { name: String, place: usize, sizes: (usize, usize) },

    #[error("{} is not a bill of materials: {reason}", path.display())]
    Bom { path: PathBuf, reason: String },

    #[error("the loader does not find a library of the binary (`{line}`): install it, and run this again")]
    NoLibrary { line: String },

    #[error(
        "{} belongs to no Debian package, so its version is unknown: build images on Debian, from files of its packages",
        path.display()
    )]
    NoPackage { path: PathBuf },

    #[error("{} is not an OCI layout, so it is not replaced: remove it, or choose another directory \
     with --output", path.display())]
    NoLayout { path: PathBuf },
}

impl Error {
    /// Returns a function for `map_err` on errors of the file system.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
