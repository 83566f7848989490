//! The output files of a run. A file is written completely or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::terminal::keep_stdout_free;

/// The mode of a new file. The process's umask applies.
const MODE: u32 = 0o666;

/// How to write a file.
enum Way {
    /// To a new file in this directory, which is then renamed to the path.
    Beside { directory: PathBuf, path: PathBuf },
    /// To the existing device or pipe, which must not be replaced.
    Direct,
    /// To standard output, which then contains nothing else.
    Standard,
}

/// Checks that a file can be written, without changing it.
///
/// # Errors
/// Returns the reason with the file's name if the file cannot be written.
pub(crate) fn check_file(path: &Path, what: &str) -> Result<(), String> {
    let checked = way(path).and_then(|way| match way {
        Way::Beside { directory, .. } => beside(&directory).map(drop),
        Way::Direct => Ok(()),
        Way::Standard => {
            keep_stdout_free();
            Ok(())
        }
    });
    checked.map_err(|error| cannot_write(path, what, &error))
}

/// Checks that files can be written to a directory.
///
/// # Errors
/// Returns the reason with the directory's name if files cannot be written.
pub(crate) fn check_directory(path: &Path, what: &str) -> Result<(), String> {
    beside(path).map(drop).map_err(|error| format!("{what} cannot be written in {}: {error}", path.display()))
}

/// Writes a complete file. If that fails, a previous file remains unchanged.
///
/// # Errors
/// Returns the reason with the file's name if the file cannot be written.
pub(crate) fn write_file(
    path: &Path,
    what: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), String> {
    let written = way(path).and_then(|way| match way {
        Way::Beside { directory, path } => replace(&directory, &path, write),
        Way::Direct => File::create(path).and_then(|file| fill(&file, write)),
        Way::Standard => fill(&io::stdout(), write),
    });
    written.map_err(|error| cannot_write(path, what, &error))
}

fn cannot_write(path: &Path, what: &str, error: &io::Error) -> String {
    format!("the {what} cannot be written to {}: {error}", path.display())
}

fn way(path: &Path) -> io::Result<Way> {
    if path == Path::new("-") {
        return Ok(Way::Standard);
    }
    let beside = |path: PathBuf| {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        Way::Beside { directory: directory.unwrap_or(Path::new(".")).to_owned(), path }
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // Standard output, named by a path such as `/dev/stdout`, may be a regular file, and must not be replaced.
        Ok(metadata) if !metadata.is_file() || path.starts_with("/dev") || path.starts_with("/proc") => {
            Ok(Way::Direct)
        }
        // A symbolic link remains, and the file that it refers to is replaced.
        Ok(_) => Ok(beside(fs::canonicalize(path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(beside(path.to_owned())),
        Err(error) => Err(error),
    }
}

/// Creates a temporary file in a directory. The file is deleted when it is dropped.
fn beside(directory: &Path) -> io::Result<NamedTempFile> {
    // Checked first, so that the error for a missing directory does not name the temporary file.
    fs::metadata(directory)?;
    Builder::new().prefix(".kpromo-").permissions(Permissions::from_mode(MODE)).tempfile_in(directory)
}

fn replace(
    directory: &Path,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let new = beside(directory)?;
    if let Ok(metadata) = fs::metadata(path) {
        new.as_file().set_permissions(metadata.permissions())?;
    }
    fill(new.as_file(), write)?;
    new.as_file().sync_all()?;
    new.persist(path).map(drop).map_err(|error| error.error)
}

fn fill(file: impl Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut to = BufWriter::new(file);
    write(&mut to)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        check_file(&path, "report").unwrap();
        assert!(!path.exists(), "a check leaves nothing");
        write_file(&path, "report", |to| to.write_all(b"one")).unwrap();
        let failed = write_file(&path, "report", |to| {
            to.write_all(b"tw").and_then(|()| Err(io::Error::other("the disk is full")))
        });
        assert!(failed.unwrap_err().contains("report.json: the disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_what_it_names() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("report.json"), directory.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_file(&link, "report", |to| to.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        check_file(Path::new("/dev/null"), "report").unwrap();
        write_file(Path::new("/dev/null"), "report", |to| to.write_all(b"x")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_is_told_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = directory.path().join("no/such/directory");
        let error = check_file(&nowhere.join("plan.json"), "plan").unwrap_err();
        assert!(
            error.contains("the plan cannot be written to") && error.contains("directory/plan.json: "),
            "{error}"
        );
        assert!(check_file(directory.path(), "plan").is_err(), "a directory is not a file");
        assert!(!error.contains(".kpromo-"), "{error}");
        assert!(check_directory(&nowhere, "blobs").unwrap_err().contains("no/such/directory: "));
        assert!(check_directory(directory.path(), "blobs").is_ok());
    }
}
