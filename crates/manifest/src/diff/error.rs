//! The errors of a run over a diff.

use std::path::PathBuf;

/// The reason why a run cannot be limited to what changed.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The type of the job has no known base.
    #[error(
        "JOB_TYPE is {0}: the base is known only for `presubmit`, `batch` and `postsubmit` jobs; \
         otherwise use --diff-base"
    )]
    JobType(String),
    /// The job does not name a base commit.
    #[error("PULL_BASE_SHA is not set: a `presubmit` or `batch` job is compared with that commit")]
    NoBase,
    /// `git` cannot be run.
    #[error("cannot run `git`, which must be in the PATH to find out what changed: {0}")]
    Git(#[source] std::io::Error),
    /// The manifests are in no repository, so there is no earlier state.
    #[error("{} is not in a git repository, so it is not known what changed", .0.display())]
    NotARepository(PathBuf),
    /// The commit does not exist in the repository.
    #[error("the repository of {} has no commit `{revision}` to compare with{}", .directory.display(), shallow(*.is_shallow))]
    UnknownRevision {
        /// The requested revision.
        revision: String,
        /// The directory of the manifests.
        directory: PathBuf,
        /// Whether the clone is shallow. If so, the commit may exist in the remote repository.
        is_shallow: bool,
    },
    /// The history of the clone ends before the base.
    #[error("the parent {parent} of commit {commit} is not in this clone{}", shallow(true))]
    NoParent {
        /// The oldest commit of the period.
        commit: String,
        /// Its parent, which is the base.
        parent: String,
    },
    /// The time is in the future, or git does not understand it.
    #[error("`{0}` is not a time in the past that git understands, such as `7 days` or `2026-01-31`")]
    NotPast(String),
    /// The repository belongs to another user, and git does not read it.
    #[error(
        "the git repository {0} belongs to another user, so git does not read it: if you trust it, run `git config --global --add \
         safe.directory {0}`"
    )]
    OtherOwner(String),
    /// `git` failed.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// The arguments of `git`.
        command: String,
        /// The error output of `git`.
        message: String,
    },
    /// The output of `git` is too large.
    #[error("`git {command}` gave more than {most} bytes")]
    TooMuch {
        /// The arguments of `git`.
        command: String,
        /// The maximum size, in bytes.
        most: u64,
    },
    /// The directory of manifests cannot be read at the base commit.
    #[error("commit {commit:.12} has no directory `{directory}` that can be compared with: {problem}")]
    Unreadable {
        /// The base commit.
        commit: String,
        /// The directory.
        directory: &'static str,
        /// The reason.
        problem: &'static str,
    },
    /// `git` returned unexpected output.
    #[error(
        "`git {command}` gave an unreadable answer: check the repository with `git fsck`, and fetch all \
         objects of a partial clone"
    )]
    Unexpected {
        /// The command of `git`.
        command: String,
    },
}

fn shallow(is_shallow: bool) -> &'static str {
    if is_shallow {
        ": the clone is shallow, deepen it with `git fetch --deepen=N` or `--unshallow`"
    } else {
        ""
    }
}
