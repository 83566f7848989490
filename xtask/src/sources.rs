//! The sources of a release: their commit, their time, and copies of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::environment;
use crate::error::Error;
use crate::step::output;
use crate::workspace::Workspace;

/// The commit and the time in a release. They replace everything that would differ from build to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The commit, abbreviated to twelve digits, with `-dirty` if files have changed since.
    pub(crate) commit: String,
    /// The time of the release in seconds since 1970: `SOURCE_DATE_EPOCH`, or else the time of the commit.
    pub(crate) epoch: u64,
}

/// The suffix of the commit if files have changed since.
pub(crate) const DIRTY: &str = "-dirty";

impl Stamp {
    /// Reads the commit of the checkout, and its time. `KPROMO_GIT_COMMIT` and `SOURCE_DATE_EPOCH` take precedence over git, and
    /// are required if there is no repository.
    ///
    /// # Errors
    /// If git fails, or if `SOURCE_DATE_EPOCH` is not a number.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self, Error> {
        let commit = match environment::git_commit() {
            Some(commit) => commit,
            None => ask(workspace, &["describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"])?,
        };
        let epoch = match environment::source_date_epoch() {
            Some(text) => text,
            None => ask(workspace, &["show", "--no-patch", "--format=%ct", "HEAD"])?,
        };
        let epoch = epoch.parse().map_err(|_| Error::Epoch { text: epoch })?;
        Ok(Self { commit, epoch })
    }

    /// Returns the time in the format of RFC 3339, in UTC.
    pub(crate) fn time(&self) -> String {
        let seconds = i64::try_from(self.epoch).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
    }
}

/// Copies the sources to another directory: the files that git tracks, and new files that it does not ignore. Without a
/// repository, copies all files except those in build directories.
///
/// # Errors
/// If git cannot list them, or if a file cannot be copied.
pub(crate) fn copy(workspace: &Workspace, to: &Path) -> Result<(), Error> {
    let names = if workspace.root().join(".git").exists() {
        let list = ask(workspace, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        list.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    } else {
        let mut names = Vec::new();
        walk(workspace.root(), "", &mut names)?;
        names
    };
    for name in &names {
        let (from, to) = (workspace.root().join(name), to.join(name));
        // A deleted file is listed until the deletion is committed.
        if !from.is_file() {
            continue;
        }
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).map_err(Error::file("making the directory", directory))?;
        }
        fs::copy(&from, &to).map_err(Error::file("copying to", to))?;
    }
    Ok(())
}

/// Lists the files below a directory of the checkout, without build directories.
fn walk(root: &Path, below: &str, names: &mut Vec<String>) -> Result<(), Error> {
    let directory = root.join(below);
    for entry in fs::read_dir(&directory).map_err(Error::file("listing", &directory))? {
        let entry = entry.map_err(Error::file("listing", &directory))?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(Error::file("reading", entry.path()))?;
        if kind.is_file() {
            names.push(name);
        } else if kind.is_dir() && entry.file_name() != "target" {
            walk(root, &format!("{name}/"), names)?;
        }
    }
    Ok(())
}

fn ask(workspace: &Workspace, arguments: &[&str]) -> Result<String, Error> {
    let mut git = Command::new("git");
    git.current_dir(workspace.root()).args(arguments);
    Ok(output("querying git about the sources", &mut git)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_release_is_in_utc() {
        let at = |epoch| Stamp { commit: String::new(), epoch }.time();
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_795_000_000), "2026-11-18T11:06:40Z");
    }

    #[test]
    fn a_copy_has_the_sources_and_nothing_that_git_ignores() {
        let workspace = Workspace::locate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        copy(&workspace, directory.path()).unwrap();
        let own = |root: &Path| fs::read(root.join("xtask/src/sources.rs")).unwrap();
        assert_eq!(own(directory.path()), own(workspace.root()));
        assert!(directory.path().join("Cargo.lock").is_file());
        assert!(!directory.path().join("target").exists() && !directory.path().join(".git").exists());
    }

    #[test]
    fn sources_without_a_repository_are_all_files_except_build_output() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["Cargo.toml", "crates/one/src/lib.rs", "target/debug/one", "fuzz/target/two"] {
            let file = directory.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let mut names = Vec::new();
        walk(directory.path(), "", &mut names).unwrap();
        names.sort();
        assert_eq!(names, ["Cargo.toml", "crates/one/src/lib.rs"]);
    }
}
