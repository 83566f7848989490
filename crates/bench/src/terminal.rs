//! Output to the terminal while the benchmark runs.

use crate::error::Error;

/// Prints progress.
#[expect(clippy::print_stdout, reason = "the one place where progress is shown")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Prints an error.
#[expect(clippy::print_stderr, reason = "the one place where a failure is shown")]
pub(crate) fn print_error(error: &Error) {
    eprintln!("error: {error}");
}
