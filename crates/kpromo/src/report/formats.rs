//! The formats of a report. The file name determines the format.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::args::ReportArgs;
use crate::output::{check_file, write_file};

/// Checks that the reports of a run can be written.
///
/// # Errors
/// Returns the reason with the file's name if one cannot be written.
pub(crate) fn check(args: &ReportArgs) -> Result<(), String> {
    args.reports.iter().try_for_each(|path| check_file(path, "report"))?;
    args.metrics.as_deref().map_or(Ok(()), |path| check_file(path, "metrics"))
}

/// Writes a report to each of these files. Returns why some could not be written, with their names.
pub(crate) fn write_reports<R: Serialize>(
    paths: &[PathBuf],
    report: &R,
    page: impl Fn(&R) -> String,
) -> Vec<String> {
    paths.iter().filter_map(|path| write_report(path, report, &page).err()).collect()
}

/// Writes a report to a file: as a page if its name ends in `.html`, otherwise as JSON.
///
/// # Errors
/// Returns the reason with the file's name if it cannot be written.
pub(super) fn write_report<R: Serialize>(
    path: &Path,
    report: &R,
    page: impl Fn(&R) -> String,
) -> Result<(), String> {
    write_file(path, "report", |to| match is_page(path) {
        true => to.write_all(page(report).as_bytes()),
        false => write_json(to, report),
    })
}

/// Writes a report as JSON.
///
/// # Errors
/// If the writer fails.
pub(super) fn write_json(mut to: &mut dyn Write, report: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut to, report)?;
    to.write_all(b"\n")
}

/// Returns whether the name of a file is that of a page.
pub(super) fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("html"))
}
