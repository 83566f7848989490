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
}

/// Where the manifests are, if the flags say so.
pub(super) fn manifests(
    plain: Option<OsString>,
    thin: Option<OsString>,
) -> Result<Option<ManifestSource>, String> {
    match (path(plain), path(thin)) {
        (Some(file), None) => Ok(Some(ManifestSource::Plain(file))),
        (None, Some(folder)) => Ok(Some(ManifestSource::Thin(folder))),
        (Some(_), Some(_)) => Err("--manifest and --thin-manifest-dir exclude each other".to_owned()),
        (None, None) => Ok(None),
    }
}

/// What a run is limited to, if the flags do not contradict each other.
pub(super) fn limit(prow: bool, since: String) -> Result<Limit, String> {
    match (prow, since.is_empty()) {
        (false, true) => Ok(Limit::None),
        (false, false) => Ok(Limit::Since(since)),
        (true, true) => Ok(Limit::ProwChange),
        (true, false) => {
            Err("--use-prow-manifest-diff and --manifest-diff-since exclude each other".to_owned())
        }
    }
}
