//! Flags that name manifests, and limit them to a change.

use std::ffi::OsString;
use std::path::PathBuf;

use super::value::path;

/// The location of the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManifestSource {
    /// One plain manifest.
    Plain(PathBuf),
    /// A directory of thin manifests.
    Thin(PathBuf),
}

/// The limit of a run to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Everything.
    None,
    /// Additions in the change of a Prow job.
    ProwChange,
    /// Additions since a time.
    Since(String),
    /// Additions since a git revision.
    Revision(String),
}

/// Returns the location of the manifests, if any.
pub(super) fn manifests(
    plain: Option<OsString>,
    thin: Option<OsString>,
) -> Result<Option<ManifestSource>, String> {
    match (path(plain), path(thin)) {
        (Some(file), None) => Ok(Some(ManifestSource::Plain(file))),
        (None, Some(directory)) => Ok(Some(ManifestSource::Thin(directory))),
        (Some(_), Some(_)) => Err("--manifest and --thin-manifest-dir cannot be used together".to_owned()),
        (None, None) => Ok(None),
    }
}

/// Returns the limit of the run, or an error if flags contradict each other.
pub(super) fn limit(prow: bool, since: String, base: Option<String>) -> Result<Limit, String> {
    match (prow, Some(since).filter(|when| !when.is_empty()), base) {
        (false, None, None) => Ok(Limit::None),
        (true, None, None) => Ok(Limit::ProwChange),
        (false, Some(when), None) => Ok(Limit::Since(when)),
        (false, None, Some(revision)) => Ok(Limit::Revision(revision)),
        (true, Some(_), None) => Err(excluding("--use-prow-manifest-diff", "--manifest-diff-since")),
        (true, _, Some(_)) => Err(excluding("--use-prow-manifest-diff", "--diff-base")),
        (false, Some(_), Some(_)) => Err(excluding("--manifest-diff-since", "--diff-base")),
    }
}

fn excluding(one: &str, other: &str) -> String {
    format!("{one} and {other} cannot be used together")
}
