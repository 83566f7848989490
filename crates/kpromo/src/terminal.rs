//! Standard output, standard error and signals.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::color::{self, Paint};

/// Whether results go to standard error because a flag writes a document to standard output.
static RESULTS_ON_STDERR: AtomicBool = AtomicBool::new(false);

/// Prints results to standard error from now on, because standard output receives a document.
pub(crate) fn keep_stdout_free() {
    RESULTS_ON_STDERR.store(true, Relaxed);
}

/// Returns whether results go to a terminal.
pub(crate) fn is_result_on_terminal() -> bool {
    match RESULTS_ON_STDERR.load(Relaxed) {
        true => io::stderr().is_terminal(),
        false => io::stdout().is_terminal(),
    }
}

/// Returns whether results have colors.
pub(crate) fn has_result_color() -> bool {
    if RESULTS_ON_STDERR.load(Relaxed) { color::on_stderr() } else { color::on_stdout() }
}

/// Returns the width of the terminal on which results are read, in columns. `None` if they are not read on one.
pub(crate) fn result_width() -> Option<usize> {
    let terminal = match RESULTS_ON_STDERR.load(Relaxed) {
        true => console::Term::stderr(),
        false => console::Term::stdout(),
    };
    let (_, columns) = terminal.size_checked()?;
    Some(usize::from(columns)).filter(|_| is_result_on_terminal())
}

/// Returns the width for errors, in columns: that of the terminal, or a width that suits a log.
pub(crate) fn error_width() -> usize {
    const OF_A_LOG: usize = 100;
    let size = console::Term::stderr().size_checked().filter(|_| io::stderr().is_terminal());
    size.map_or(OF_A_LOG, |(_, columns)| usize::from(columns))
}

/// Whether a result could not be printed.
static IS_INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Prints a result. A pipe that the reader has closed is not an error. Any other failure is printed as an error, once, and
/// the command does not succeed.
pub(crate) fn print(text: &str) {
    if RESULTS_ON_STDERR.load(Relaxed) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
        return;
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            if !IS_INCOMPLETE.swap(true, Relaxed) {
                print_error(&format!("standard output cannot be written: {error}"));
            }
        }
        Ok(()) | Err(_) => {}
    }
}

/// Returns whether a result could not be printed.
pub(crate) fn is_incomplete() -> bool {
    IS_INCOMPLETE.load(Relaxed)
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

/// An error with the fields for programs.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorLine<'a> {
    /// What was tried, and what the result was.
    pub(crate) error: &'a str,
    // In text output it precedes the error.
    /// The affected image. Absent if the error is not about an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<&'a str>,
    // Text output omits it, because the error already contains it.
    /// The host of the affected registry. Absent if the error is not about an image in a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registry: Option<&'a str>,
    // As text it precedes the error, with the position.
    /// The file that the error is about, such as a manifest. Absent if the error is not about a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<&'a str>,
    /// The line in the file, from 1. Absent if the error is not about a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    /// The column in the line, in characters from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u32>,
    /// How to resolve the error. Absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<&'a str>,
    /// Whether the error is one of many, so that it does not say how the command ended. Errors about an image or a file are.
    #[serde(skip)]
    pub(crate) is_part: bool,
    /// The exit code of the process. Absent unless the error decides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u8>,
}

/// The message and the fields of a line. Lines that are not about an error may have other fields.
#[derive(Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
struct Fields<'a> {
    /// The message for people.
    message: String,
    // A line of the log has none of these.
    #[serde(flatten)]
    #[schemars(with = "Option<ErrorLine<'_>>")]
    error: ErrorLine<'a>,
}

/// A line of standard error (`--log-format json`).
#[derive(Serialize, JsonSchema)]
pub(crate) struct LogLine<'a> {
    /// The time.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    /// The level.
    #[schemars(extend("enum" = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]))]
    level: &'static str,
    /// The message and what belongs to it.
    fields: Fields<'a>,
}

impl<'a> ErrorLine<'a> {
    /// An error about nothing in particular.
    pub(crate) fn new(error: &'a str) -> Self {
        Self { error, ..Self::default() }
    }

    /// Prints the error: as text with its advice on a second line, or as one line of JSON.
    pub(crate) fn print(self) {
        let message = self.message();
        let mut stderr = io::stderr().lock();
        if is_json() {
            self.remember();
            let timestamp = format!("{:.6}", Timestamp::now());
            let line = LogLine { timestamp, level: "ERROR", fields: Fields { message, error: self } };
            // Texts and numbers become JSON in any case. A closed standard error ends no run.
            let _ = serde_json::to_string(&line).map(|line| writeln!(stderr, "{line}"));
            return;
        }
        let _ = writeln!(stderr, "{}", titled("error", Paint::Error, &message));
        if let Some(advice) = self.advice {
            let _ = writeln!(stderr, "{}", titled("help", Paint::Help, advice));
        }
    }

    /// Returns the error after what it is about.
    fn message(&self) -> String {
        let at = |number: Option<u32>| number.map_or_else(String::new, |number| format!(":{number}"));
        match (self.image, self.file) {
            (Some(image), _) => format!("{image}: {}", self.error),
            // An error about a whole file may name it.
            (None, Some(file)) if self.line.is_none() && self.error.contains(file) => self.error.to_owned(),
            (None, Some(file)) => format!("{file}{}{}: {}", at(self.line), at(self.column), self.error),
            (None, None) => self.error.to_owned(),
        }
    }

    /// Remembers the first error that says how the command ends.
    fn remember(&self) {
        if self.is_part || self.image.is_some() || self.file.is_some() {
            return;
        }
        let mut last = last_words();
        if last.error.is_none() {
            last.error = Some(self.error.to_owned());
            last.advice.extend(self.advice.map(str::to_owned));
        }
    }
}

/// What the last line of the log says, if it is for programs.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    /// The error that ends the command.
    pub(crate) error: Option<String>,
    /// What the user can do, each as a sentence.
    pub(crate) advice: Vec<String>,
}

/// Returns what the last line of the log is to say.
pub(crate) fn last_words() -> std::sync::MutexGuard<'static, LastWords> {
    static LAST: Mutex<LastWords> = Mutex::new(LastWords { error: None, advice: Vec::new() });
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints an error. A text that begins with its level, such as a rendered diagnostic, is printed as it is.
pub(crate) fn print_error(text: &str) {
    ErrorLine::new(text).print();
}

/// Prints advice about printed errors, on a separate line. In a log for programs, the last line has it.
pub(crate) fn print_help(advice: &str) {
    if is_json() {
        last_words().advice.push(advice.to_owned());
    } else {
        let _ = writeln!(io::stderr().lock(), "{}", titled("help", Paint::Help, advice));
    }
}

/// Returns a text behind its level, unless it begins with one.
fn titled(level: &str, paint: Paint, text: &str) -> String {
    const LEVELS: [&str; 4] = ["error", "warning", "note", "help"];
    /// The number of characters in which a level ends, with control sequences.
    const BEGINNING: usize = 60;
    let beginning = without_colors(text.chars().take(BEGINNING));
    let is_titled = LEVELS.iter().any(|level| {
        // A rule may follow the level: `error[name]: `.
        beginning.strip_prefix(level).is_some_and(|rest| rest.starts_with(": ") || rest.starts_with('['))
    });
    match is_titled {
        true => text.to_owned(),
        false => format!("{}: {text}", paint.on(color::on_stderr(), level)),
    }
}

/// Returns a text without the control sequences of colors.
fn without_colors(mut text: impl Iterator<Item = char>) -> String {
    let mut plain = String::new();
    while let Some(c) = text.next() {
        if c == '\u{1b}' {
            text.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The reason why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// A signal.
    Interrupted,
    /// The time of `--timeout` is over.
    TimedOut(Duration),
}

/// Writes the reason, as the beginning of a sentence.
impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::TimedOut(timeout) => {
                write!(f, "timed out: the run took longer than --timeout allows ({timeout:?})")
            }
        }
    }
}

/// What stopped the run of this process. The first reason holds.
static STOPPED: OnceLock<Stopped> = OnceLock::new();

/// Returns what stopped the run, if anything has.
pub(crate) fn stopped() -> Option<Stopped> {
    STOPPED.get().copied()
}

/// Remembers what stopped the run, for its report and the exit of the process.
pub(crate) fn remember_stop(why: Stopped) {
    let _ = STOPPED.set(why);
}

/// The reason why a run was stopped, shared with the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Why(Arc<OnceLock<Stopped>>);

impl Why {
    /// Returns what stopped the run; before that, an interrupt.
    pub(crate) fn get(&self) -> Stopped {
        self.0.get().copied().unwrap_or(Stopped::Interrupted)
    }
}

/// The time that running operations may take after a first interrupt.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// Requests to stop, from the user or the system: SIGINT (Ctrl-C) and SIGTERM.
pub(crate) struct Interrupts {
    signals: Vec<Signal>,
    why: Why,
}

/// Returns whether the process ignores a signal, as far as the system says it.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    (mask >> (kind.as_raw_value() - 1)) & 1 == 1
}

impl Interrupts {
    /// Starts to listen to SIGINT, SIGTERM, SIGQUIT, and to SIGHUP unless the process was told to ignore it, as by `nohup`. If a
    /// handler cannot be installed, the signal's default action remains.
    pub(crate) fn new() -> Self {
        let always = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
        let hangup = Some(SignalKind::hangup()).filter(|kind| !is_ignored(*kind));
        let signals = always.into_iter().chain(hangup).filter_map(|kind| signal(kind).ok()).collect();
        Self { signals, why: Why::default() }
    }

    /// Returns the shared reason for the run.
    pub(crate) fn why(&self) -> Why {
        self.why.clone()
    }

    /// Completes at the next interrupt.
    pub(crate) async fn next(&mut self) {
        if self.signals.is_empty() {
            return std::future::pending().await;
        }
        let each = self.signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(each).await;
    }

    /// Completes at the next interrupt, or when the timeout has passed.
    pub(crate) async fn next_or_timeout(&mut self, timeout: Option<Duration>) -> Stopped {
        let interrupted = self.next();
        let Some(timeout) = timeout else {
            interrupted.await;
            return Stopped::Interrupted;
        };
        match tokio::time::timeout(timeout, interrupted).await {
            Ok(()) => Stopped::Interrupted,
            Err(_) => Stopped::TimedOut(timeout),
        }
    }

    /// Waits for an interrupt or the run's timeout, and completes when running operations must be abandoned: at once if writing
    /// has not started, otherwise when [`GRACE`] is over or at a second interrupt. Cancels `stop` at the first. `finishing` says what
    /// the run still does in between.
    pub(crate) async fn until_abandoned(
        mut self,
        timeout: Option<Duration>,
        stop: &CancellationToken,
        has_writing_begun: impl Fn() -> bool,
        finishing: &str,
    ) {
        let why = self.next_or_timeout(timeout).await;
        // This is the only place that sets it.
        let _ = self.why.0.set(why);
        remember_stop(why);
        stop.cancel();
        tracing::warn!("{why}");
        if !has_writing_begun() {
            return;
        }
        tracing::warn!("{finishing}; interrupt again to stop at once");
        // After the grace time and after a second interrupt alike, the run is abandoned.
        let _ = tokio::time::timeout(GRACE, self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_written_once() {
        for text in ["error: a", "error[rule]: a", "warning: a", "\u{1b}[1m\u{1b}[91merror\u{1b}[0m: a"] {
            assert_eq!(titled("error", Paint::Error, text), text);
        }
        for text in ["errors: a", "a: error: b", "", "errör"] {
            assert_eq!(titled("error", Paint::Error, text), format!("error: {text}"));
        }
    }

    #[test]
    fn a_timeout_is_called_one() {
        let text = Stopped::TimedOut(Duration::from_secs(90)).to_string();
        assert_eq!(text, "timed out: the run took longer than --timeout allows (90s)");
        let interrupts = Why::default();
        assert_eq!(interrupts.get(), Stopped::Interrupted);
        interrupts.0.set(Stopped::TimedOut(Duration::from_secs(1))).unwrap();
        assert_eq!(interrupts.clone().get(), Stopped::TimedOut(Duration::from_secs(1)));
    }
}
