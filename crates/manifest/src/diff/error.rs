//! Why a run cannot be limited to what changed.

use std::path::PathBuf;

/// Why a run cannot be limited to what changed.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The job's type does not say what to compare with.
    #[error(
        "JOB_TYPE is {0}: what changed is known of `presubmit`, `batch` and `postsubmit` jobs; elsewhere name a time \
         with --manifest-diff-since"
    )]
    JobType(String),
    /// The job names no commit to compare with.
    #[error("PULL_BASE_SHA is not set: a `presubmit` or `batch` job is compared with that commit")]
    NoBase,
    /// `git` cannot be run.
    #[error("cannot run `git`, which must be in the PATH to find out what changed: {0}")]
    Git(#[source] std::io::Error),
    /// There is no repository, and so no earlier state.
    #[error("{} is in no git repository, so it is not known what changed", .0.display())]
    NotARepository(PathBuf),
    /// There is no such commit.
    #[error("the repository of {} has no commit `{revision}` to compare with{}", .folder.display(), shallow(*.is_shallow))]
    UnknownRevision {
        /// What was to be compared with.
        revision: String,
        /// Where the manifests are.
        folder: PathBuf,
        /// Whether the clone lacks history, so that the commit may exist elsewhere.
        is_shallow: bool,
    },
    /// The history ends before the base.
    #[error("the parent {parent} of commit {commit} is not in this clone{}", shallow(true))]
    NoParent {
        /// The oldest commit that is to be looked at.
        commit: String,
        /// What it would be compared with.
        parent: String,
    },
    /// The time is none that git knows, or lies ahead.
    #[error("`{0}` is no time in the past that git understands: use the like of `7 days` or `2026-01-31`")]
    NotPast(String),
    /// `git` failed.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// What it was to do.
        command: String,
        /// What it said.
        message: String,
    },
    /// `git` gave more than is worth reading.
    #[error("`git {command}` gave more than {most} bytes")]
    TooMuch {
        /// What it was to do.
        command: String,
        /// The most that is read.
        most: u64,
    },
    /// The earlier manifests are somewhere else.
    #[error("commit {commit:.12} has no folder `{folder}` that can be compared with: {problem}")]
    Unreadable {
        /// The commit that is compared with.
        commit: String,
        /// The folder.
        folder: &'static str,
        /// What it is instead.
        problem: &'static str,
    },
    /// `git` said something that it should not.
    #[error(
        "`git {command}` gave no answer that can be read: check the repository with `git fsck`, and fetch all of it where it \
         is a partial clone"
    )]
    Unexpected {
        /// What it was to do.
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
