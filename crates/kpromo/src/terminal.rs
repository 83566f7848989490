//! Standard output, standard error and signals.

use std::io::{self, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Prints a result. A pipe that the reader has closed is not an error. Any other failure is printed as an error.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("standard output cannot be written: {error}"));
        }
        Ok(()) | Err(_) => {}
    }
}

/// Prints an error.
pub(crate) fn print_error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {text}");
}

/// Prints advice about a printed error, on a separate line.
pub(crate) fn print_help(advice: &str) {
    let _ = writeln!(io::stderr().lock(), "help: {advice}");
}

/// Requests to stop, from the user or the system: SIGINT (Ctrl-C) and SIGTERM.
pub(crate) struct Interrupts {
    signals: Vec<Signal>,
}

impl Interrupts {
    /// Starts to listen. If a handler cannot be installed, the signal's default action remains.
    pub(crate) fn new() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self { signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    /// Completes at the next interrupt.
    pub(crate) async fn next(&mut self) {
        if self.signals.is_empty() {
            return std::future::pending().await;
        }
        let each = self.signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(each).await;
    }
}
