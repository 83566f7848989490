//! Output to the terminal while the benchmark runs.

use crate::error::Error;

/// Prints progress.
#[expect(clippy::print_stdout, reason = "the only place that prints progress")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Prints an error.
#[expect(clippy::print_stderr, reason = "the only place that prints errors")]
pub(crate) fn print_error(error: &Error) {
    eprintln!("error: {error}");
}
