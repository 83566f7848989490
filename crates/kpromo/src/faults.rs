//! Faults of files on standard error: with their lines for people, each as a line of JSON for programs.

use std::collections::BTreeSet;

use manifest::{Diagnostic, Diagnostics};
use oci_types::text::counted;

use crate::color;
use crate::terminal::{ErrorLine, error_width, is_json, print_error};

/// Prints the faults of files.
pub(crate) fn print_faults(faults: &Diagnostics) {
    print_faults_within(faults, "");
}

/// Prints the faults of files, and leaves out the beginning `directory` of their names.
pub(crate) fn print_faults_within(faults: &Diagnostics, directory: &str) {
    if !is_json() {
        let text = faults.render_within(error_width(), color::on_stderr());
        print_error(if directory.is_empty() { text } else { text.replace(directory, "") }.trim_end());
        return;
    }
    faults.iter().for_each(|fault| print_fault(fault, directory));
    let more = faults.count() - faults.iter().count();
    if more > 0 {
        ErrorLine { is_part: true, ..ErrorLine::new(&format!("and {more} more")) }.print();
    }
}

fn print_fault(fault: &Diagnostic, directory: &str) {
    let file = fault.file().strip_prefix(directory).unwrap_or(fault.file());
    let (line, column) = fault.position().map(|at| (at.line, at.column)).unzip();
    let message = fault.message().replace(directory, "");
    let error = if directory.is_empty() { fault.message() } else { &message };
    ErrorLine { file: Some(file), line, column, advice: fault.advice(), ..ErrorLine::new(error) }.print();
}

/// Returns the number of faults and of the files that have them: `3 errors in 2 files`.
pub(crate) fn total(faults: &Diagnostics) -> String {
    let files: BTreeSet<&str> = faults.iter().map(Diagnostic::file).collect();
    format!("{} in {}", counted(faults.count(), "error"), counted(files.len(), "file"))
}
