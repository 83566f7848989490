//! Flags that name manifests, and limit them to a change.

use std::ffi::OsString;
use std::path::PathBuf;

use super::value::path;

/// Where the manifests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManifestSource {
    /// One plain manifest.
    Plain(PathBuf),
    /// A folder of thin ones.
    Thin(PathBuf),
}

/// What a run is limited to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Everything.
    None,
    /// What a Prow job's change has added.
    ProwChange,
    /// What was added since then.
    Since(String),
    /// What was added since a git revision.
    Revision(String),
}

/// Where the manifests are, if the flags say so.
pub(super) fn manifests(
    plain: Option<OsString>,
    thin: Option<OsString>,
) -> Result<Option<ManifestSource>, String> {
    match (path(plain), path(thin)) {
        (Some(file), None) => Ok(Some(ManifestSource::Plain(file))),
        (None, Some(folder)) => Ok(Some(ManifestSource::Thin(folder))),
        (Some(_), Some(_)) => Err("--manifest and --thin-manifest-dir cannot be used together".to_owned()),
        (None, None) => Ok(None),
    }
}

/// What a run is limited to, if the flags do not contradict each other.
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
