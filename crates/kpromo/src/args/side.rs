//! The two sides of a snapshot comparison: files or registries.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use oci::{RegistryRoot, visible};

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    File(PathBuf),
    Registry(RegistryRoot),
}

/// Returns whether two paths lead to the same file, whose content is gone once it is read.
pub(super) fn is_same_pipe(first: &Path, second: &Path) -> bool {
    let (Ok(first), Ok(second)) = (first.metadata(), second.metadata()) else { return false };
    let is_same = (first.dev(), first.ino()) == (second.dev(), second.ino());
    is_same && !first.is_file() && !first.is_dir()
}

/// A file if one of that name exists, otherwise a registry.
pub(super) fn side(text: &OsString) -> Result<Side, String> {
    let path = Path::new(text);
    if path.exists() {
        return Ok(Side::File(path.to_owned()));
    }
    let shown = visible(&path.display().to_string());
    let is_path = [".yaml", ".yml", ".csv", ".json"].iter().any(|end| shown.ends_with(end))
        || path.is_absolute()
        || path.starts_with(".")
        || path.starts_with("..");
    if is_path {
        return Err(format!("the file {shown} does not exist"));
    }
    let registry = text.to_str().ok_or_else(|| format!("the file {shown} does not exist"))?;
    let registry = self::registry(registry);
    registry.map(Side::Registry).map_err(|error| {
        let error = visible(&error);
        format!("the file {shown} does not exist, and {error}")
    })
}

/// A registry. Its path may end with slashes, as in the Go tool.
pub(super) fn registry(text: &str) -> Result<RegistryRoot, String> {
    text.trim_end_matches('/').parse().map_err(|error: oci::InvalidName| error.to_string())
}
