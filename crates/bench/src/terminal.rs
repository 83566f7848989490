//! What a person sees while the benchmark runs.

use crate::error::Error;

/// Shows progress.
#[expect(clippy::print_stdout, reason = "the one place where progress is shown")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Shows a failure.
#[expect(clippy::print_stderr, reason = "the one place where a failure is shown")]
pub(crate) fn print_error(error: &Error) {
    eprintln!("error: {error}");
}
