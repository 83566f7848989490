//! `cargo xtask size`: the size of the release binary, and the duration of its build.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::step::{say, step};
use crate::workspace::Workspace;

/// The maximum size of the release binary, in bytes. It had 20.9 MB with `cip` and `verify` alone, 24.4 MB with snapshots, lint,
/// scans, file promotion and pull requests, 26.6 MB with GitHub releases, pages of reports, traces and manual pages, and has
/// 27.3 MB with JSON Schemas. The published binary is built by `cargo xtask dist`, with one codegen unit, and is smaller.
const LIMIT: u64 = 28_000_000;

/// The maximum size of the binary that `cargo xtask dist` builds, in bytes.
const RELEASE_LIMIT: u64 = 24_000_000;

/// Measures the binary of a release.
///
/// # Errors
/// If it is too large.
pub(crate) fn check_release(binary: &Path) -> Result<(), Error> {
    let size = fs::metadata(binary).map_err(Error::file("measuring", binary))?.len();
    say(&format!("    kpromo has {:.1} MB ({size} bytes)", megabytes(size)));
    within(size, RELEASE_LIMIT)
}

/// Builds the release binary and measures it. With `cold`, builds it in an empty directory.
///
/// # Errors
/// If it cannot be built, or if it is too large.
pub(crate) fn run(workspace: &Workspace, cold: bool) -> Result<(), Error> {
    if cold {
        let empty =
            tempfile::tempdir().map_err(Error::file("making a directory in", std::env::temp_dir()))?;
        // Fetched first, so that the measured time is for compiling and not for the network.
        step("fetching sources", &mut workspace.cargo(["fetch"]))?;
        return build_and_measure(workspace, empty.path(), "cold release build");
    }
    build_and_measure(workspace, workspace.target(), "release build")
}

fn build_and_measure(workspace: &Workspace, target: &Path, name: &str) -> Result<(), Error> {
    let mut build = workspace.cargo(["build", "--release", "--package", "kpromo"]);
    step(name, build.arg("--target-dir").arg(target))?;
    let binary = target.join("release").join("kpromo");
    let size = fs::metadata(&binary).map_err(Error::file("measuring", binary))?.len();
    say(&format!("    kpromo has {:.1} MB ({size} bytes), limit {} MB", megabytes(size), LIMIT / 1_000_000));
    within_limit(size)
}

fn within_limit(size: u64) -> Result<(), Error> {
    within(size, LIMIT)
}

fn within(size: u64, limit: u64) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { size, limit }) } else { Ok(()) }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal place")]
fn megabytes(size: u64) -> f64 {
    size as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_binary_above_the_limit_has_its_size() {
        within_limit(LIMIT).unwrap();
        let error = within_limit(LIMIT + 1).unwrap_err().to_string();
        let above = format!("{} bytes", LIMIT + 1);
        assert!(error.contains(&above) && error.contains(&LIMIT.to_string()), "{error}");
    }
}
