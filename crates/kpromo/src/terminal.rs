//! Standard output, standard error and signals.

use std::io::{self, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Prints a result. That the reader has closed the pipe is no error; anything else that prevents it is printed as one.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("standard output cannot be written: {error}"));
        }
        Ok(()) | Err(_) => {}
    }
}

/// Prints what went wrong.
pub(crate) fn print_error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {text}");
}

/// Prints what the user can do about an error that was printed, on a line of its own.
pub(crate) fn print_help(advice: &str) {
    let _ = writeln!(io::stderr().lock(), "help: {advice}");
}

/// Requests to stop, by the user or by the system: Ctrl-C and SIGTERM.
pub(crate) struct Interrupts {
    signals: Vec<Signal>,
}

impl Interrupts {
    /// Begins to listen. Where that cannot be, the system's own way to stop us remains.
    pub(crate) fn new() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self { signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    /// Ends at the next interrupt.
    pub(crate) async fn next(&mut self) {
        if self.signals.is_empty() {
            return std::future::pending().await;
        }
        let each = self.signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(each).await;
    }
}
