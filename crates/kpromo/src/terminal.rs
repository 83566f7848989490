//! Standard output, standard error and signals.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
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

/// Set where standard error has one JSON object per line (`--log-format json`).
static JSON: OnceLock<()> = OnceLock::new();

/// Makes every line of standard error a JSON object from here on.
pub(crate) fn use_json() {
    let _ = JSON.set(());
}

/// Returns whether every line of standard error is a JSON object.
pub(crate) fn is_json() -> bool {
    JSON.get().is_some()
}

/// An error, with what a program needs to know about it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorLine<'a> {
    /// What was tried, and what the result was.
    pub(crate) error: &'a str,
    /// The image that the error is about. As text it precedes the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<&'a str>,
    /// The host of the registry that the error is about. It is left out of texts, whose errors name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registry: Option<&'a str>,
    /// What the user can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<&'a str>,
    /// The exit code of the process, if the error decides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u8>,
}

/// The fields of an error in the form of the log's lines.
#[derive(Serialize)]
struct Fields<'a> {
    message: String,
    #[serde(flatten)]
    error: ErrorLine<'a>,
}

/// A line of the log, as JSON.
#[derive(Serialize)]
struct LogLine<'a> {
    timestamp: String,
    level: &'static str,
    fields: Fields<'a>,
}

impl<'a> ErrorLine<'a> {
    /// An error about nothing in particular.
    pub(crate) fn new(error: &'a str) -> Self {
        Self { error, ..Self::default() }
    }

    /// Prints the error: as text with its advice on a second line, or as one line of JSON.
    pub(crate) fn print(self) {
        let message = match self.image {
            Some(image) => format!("{image}: {}", self.error),
            None => self.error.to_owned(),
        };
        let mut stderr = io::stderr().lock();
        if is_json() {
            let timestamp = format!("{:.6}", Timestamp::now());
            let line = LogLine { timestamp, level: "ERROR", fields: Fields { message, error: self } };
            // Texts and numbers become JSON in any case. A closed standard error ends no run.
            let _ = serde_json::to_string(&line).map(|line| writeln!(stderr, "{line}"));
            return;
        }
        let _ = writeln!(stderr, "error: {message}");
        if let Some(advice) = self.advice {
            let _ = writeln!(stderr, "help: {advice}");
        }
    }
}

/// Prints an error.
pub(crate) fn print_error(text: &str) {
    ErrorLine::new(text).print();
}

/// Prints advice about printed errors, on a separate line.
pub(crate) fn print_help(advice: &str) {
    if is_json() {
        tracing::error!(advice, "{advice}");
    } else {
        let _ = writeln!(io::stderr().lock(), "help: {advice}");
    }
}

/// The time that running operations may take after a first interrupt.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// Requests to stop, from the user or the system: SIGINT (Ctrl-C) and SIGTERM.
pub(crate) struct Interrupts {
    signals: Vec<Signal>,
}

/// Returns whether the process ignores a signal, as far as the system says it.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    (mask >> (kind.as_raw_value() - 1)) & 1 == 1
}

impl Interrupts {
    /// Starts to listen. If a handler cannot be installed, the signal's default action remains.
    pub(crate) fn new() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self { signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    /// Starts to listen, also to SIGQUIT, and to SIGHUP unless the process was told to ignore it, as by `nohup`.
    pub(crate) fn with_hangups() -> Self {
        let mut this = Self::new();
        let more = [SignalKind::quit(), SignalKind::hangup()];
        let more = more.into_iter().filter(|kind| !is_ignored(*kind));
        this.signals.extend(more.filter_map(|kind| signal(kind).ok()));
        this
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
