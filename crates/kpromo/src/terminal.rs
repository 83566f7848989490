//! Standard output, standard error and signals.

use std::io::{self, Write};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

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

/// The time that running operations may take after a first interrupt.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

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

    /// Waits for an interrupt or the run's timeout, and completes when running operations must be abandoned: at once if writing
    /// has not begun, otherwise when [`GRACE`] is over or at a second interrupt. Cancels `stop` at the first. `finishing` says what
    /// the run still does in between.
    pub(crate) async fn until_abandoned(
        mut self,
        timeout: Option<Duration>,
        stop: &CancellationToken,
        has_writing_begun: impl Fn() -> bool,
        finishing: &str,
    ) {
        let time_is_over = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            () = self.next() => "interrupted",
            () = time_is_over => "the time of --timeout is over",
        };
        stop.cancel();
        tracing::warn!("{why}");
        if !has_writing_begun() {
            return;
        }
        tracing::warn!("{finishing}; an interrupt ends this at once");
        // After the grace time and after a second interrupt alike, the run is abandoned.
        let _ = tokio::time::timeout(GRACE, self.next()).await;
    }
}
