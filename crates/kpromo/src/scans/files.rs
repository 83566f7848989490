//! Files of reports and of VEX documents.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trust::scan::report::{Document, REPORT_MAX, read};
use trust::scan::{ReportFiles, Sourced, VexStatement};

use crate::config::InvalidConfig;

/// The maximum number of reports in a directory.
const FILES_MAX: usize = 10_000;
/// The maximum total size of the reports in a directory, in bytes.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The file extensions of reports.
const ENDINGS: [&str; 2] = ["json", "sarif"];

/// Reads a report, or all reports in a directory. Ignores subdirectories and files other than `*.json` and `*.sarif` (in any
/// case).
///
/// # Errors
/// Returns an error if a file cannot be read or used, or if there is none.
pub(super) fn reports(path: &Path, max_age: Option<Duration>) -> Result<ReportFiles, InvalidConfig> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let files = if metadata.is_dir() { listed(path)? } else { vec![path.to_owned()] };
    let mut documents = Vec::new();
    let mut left = BYTES_MAX;
    for file in files {
        let bytes = bytes(&file)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            InvalidConfig::new(path, format!("its reports have more than {BYTES_MAX} bytes in total"))
        })?;
        documents.push((file.display().to_string(), document(&file, &bytes)?));
    }
    ReportFiles::new(path.display().to_string(), documents, max_age)
        .map_err(|error| InvalidConfig::flag("scan reports", error.to_string()))
}

/// Reads the statements of a VEX document.
///
/// # Errors
/// Returns an error if the file cannot be read or used, or if it is no VEX document.
pub(super) fn statements(path: &Path) -> Result<Vec<Sourced<VexStatement>>, InvalidConfig> {
    let Document { vex, .. } = document(path, &bytes(path)?)?;
    if vex.is_empty() {
        return Err(InvalidConfig::new(path, "it has no VEX statement".to_owned()));
    }
    let source = path.display().to_string();
    Ok(vex.into_iter().map(|content| Sourced { source: source.as_str().into(), content }).collect())
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, InvalidConfig> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| unreadable(directory, &error))? {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)) && !is_directory(&path)? {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(InvalidConfig::new(directory, format!("it has more than {FILES_MAX} reports")));
        }
    }
    if files.is_empty() {
        return Err(InvalidConfig::new(directory, "it has no report (*.json, *.sarif)".to_owned()));
    }
    files.sort();
    Ok(files)
}

/// Returns whether a path is a directory. A broken link is an error, because it may have pointed to a report.
fn is_directory(path: &Path) -> Result<bool, InvalidConfig> {
    fs::metadata(path).map(|metadata| metadata.is_dir()).map_err(|error| unreadable(path, &error))
}

fn document(path: &Path, bytes: &[u8]) -> Result<Document, InvalidConfig> {
    read(bytes).map_err(|error| InvalidConfig::new(path, error.to_string()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, InvalidConfig> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() || metadata.len() > REPORT_MAX {
        return Err(InvalidConfig::new(path, format!("not a regular file of at most {REPORT_MAX} bytes")));
    }
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> InvalidConfig {
    InvalidConfig::new(path, format!("cannot be read: {error}"))
}
