//! The paths of external programs.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Returns the path of the program `name`, from the directory in `KPROMO_TEST_TOOLS` or else from `PATH`.
///
/// A command with a path starts faster: for a program name with a changed `PATH`, the standard library forks instead of using
/// `posix_spawn`.
///
/// # Panics
/// If it is in neither. The message has the command that installs it.
pub fn tool(name: &str) -> PathBuf {
    find(name, variable("KPROMO_TEST_TOOLS"), variable("PATH")).unwrap_or_else(|| {
        panic!(
            "`{name}` is neither in the directory that KPROMO_TEST_TOOLS names nor on PATH: \
             run this test with `cargo xtask test`, which installs `{name}` and sets the variable"
        )
    })
}

/// Returns a variable of the test's own environment.
#[expect(clippy::disallowed_methods, reason = "tests have no binary that reads the environment for them")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// Returns the first file `name` in `tools`, which is one directory, or in `path`, which is a list of directories.
fn find(name: &str, tools: Option<OsString>, path: Option<OsString>) -> Option<PathBuf> {
    let path = path.unwrap_or_default();
    let directories = tools.map(PathBuf::from).into_iter().chain(env::split_paths(&path));
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn directory_with(name: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), "").unwrap();
        directory
    }

    fn path(directories: &[&Path]) -> Option<OsString> {
        Some(env::join_paths(directories).unwrap())
    }

    #[test]
    fn the_directory_of_tools_comes_before_the_path() {
        let (tools, system) = (directory_with("crane"), directory_with("crane"));
        let found = find("crane", Some(tools.path().into()), path(&[system.path()]));
        assert_eq!(found, Some(tools.path().join("crane")));
    }

    #[test]
    fn a_tool_that_the_directory_lacks_is_taken_from_the_path() {
        let (tools, other, system) =
            (directory_with("crane"), directory_with("git"), directory_with("skopeo"));
        let found = find("skopeo", Some(tools.path().into()), path(&[other.path(), system.path()]));
        assert_eq!(found, Some(system.path().join("skopeo")));
        assert_eq!(find("skopeo", None, path(&[system.path()])), Some(system.path().join("skopeo")));
    }

    #[test]
    fn missing_programs_and_directories_are_not_found() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("crane")).unwrap();
        assert_eq!(find("crane", Some(directory.path().into()), path(&[directory.path()])), None);
        assert_eq!(find("skopeo", None, None), None);
    }
}
