//! The environment of xtask. No other module reads it.

#![expect(
    clippy::disallowed_methods,
    reason = "xtask is a separate program; only this module reads its environment"
)]

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Returns the cache of built tools, outside any checkout so that all checkouts share it. Returns `None` if there is no location.
pub(crate) fn tools_cache() -> Option<PathBuf> {
    cache_directory(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

fn cache_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let below = |name: &str, path: &str| variable(name).map(|directory| PathBuf::from(directory).join(path));
    below("KPROMO_TOOLS", "")
        .or_else(|| below("XDG_CACHE_HOME", "kpromo/tools"))
        .or_else(|| below("HOME", ".cache/kpromo/tools"))
        // Builds run in other directories, where a relative path resolves to another location.
        .and_then(|directory| std::path::absolute(directory).ok())
}

/// The variable that gives the tests the directory of programs.
pub(crate) const TOOLS: &str = "KPROMO_TEST_TOOLS";
/// The variable that gives the tests the directory of a running Sigstore.
pub(crate) const SIGSTORE: &str = "KPROMO_TEST_SIGSTORE";
/// The variable that limits the requests in flight at each host, in debug builds.
pub(crate) const CONCURRENCY: &str = "KPROMO_TEST_CONCURRENCY";

/// Returns whether the tests are to use a Sigstore that is already running.
pub(crate) fn has_sigstore() -> bool {
    env::var_os(SIGSTORE).is_some_and(|directory| !directory.is_empty())
}

/// Returns the search path for programs: PATH, and Debian's directories for servers, which a user's PATH may lack.
pub(crate) fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin");
    path
}

/// Returns the cargo that runs xtask, or else the one on PATH.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns `KPROMO_GIT_COMMIT`, which a packager sets to the commit of sources without a repository.
pub(crate) fn git_commit() -> Option<String> {
    env::var("KPROMO_GIT_COMMIT").ok().filter(|text| !text.is_empty())
}

/// Returns `SOURCE_DATE_EPOCH`, which a packager sets to the time of a release.
pub(crate) fn source_date_epoch() -> Option<String> {
    env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty())
}

/// Returns the directory in which cargo keeps the sources of crates.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("CARGO_HOME").or_else(|| Some(variable("HOME")?.join(".cargo")))
}

/// Returns whether there is a program with this name on PATH.
pub(crate) fn on_path(program: &str) -> bool {
    env::split_paths(&path()).any(|directory| is_program(&directory.join(program)))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Returns whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // The owner of a process's entry is its effective user.
    Path::new("/proc/self").metadata().is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let variables = std::collections::HashMap::<_, _>::from_iter(variables.iter().copied());
        cache_directory(|name| variables.get(name).map(OsString::from))
    }

    #[test]
    fn the_most_specific_variable_selects_the_cache_of_tools() {
        let all = [("KPROMO_TOOLS", "/t"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(directory(&all), Some("/t".into()));
        assert_eq!(directory(&all[1..]), Some("/x/kpromo/tools".into()));
        assert_eq!(directory(&all[2..]), Some("/h/.cache/kpromo/tools".into()));
        assert_eq!(directory(&[]), None);
    }

    #[test]
    fn a_relative_directory_is_made_absolute() {
        assert!(directory(&[("KPROMO_TOOLS", "tools")]).unwrap().is_absolute());
    }

    #[test]
    fn only_files_that_can_be_run_are_programs() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("crane");
        assert!(!is_program(&file), "absent");
        assert!(!is_program(directory.path()), "a directory");
        std::fs::write(&file, "").unwrap();
        assert!(!is_program(&file), "not executable");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_program(&file));
    }
}
