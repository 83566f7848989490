//! Progress: a bar on a terminal, plain lines in a log.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use files::{Error, Event, Observer, Operation};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::render::{bytes, duration};
use crate::terminal::{ErrorLine, is_json};

/// A progress bar for the current phase.
pub(super) struct Bars {
    screen: MultiProgress,
    current: Mutex<Option<(ProgressBar, u64)>>,
}

impl Bars {
    /// Creates bars on a screen. Log lines are printed above them.
    pub(super) fn new(screen: MultiProgress) -> Self {
        Self { screen, current: Mutex::default() }
    }
}

impl Observer<Event> for Bars {
    fn observe(&self, event: &Event) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match (event, current.as_mut()) {
            (Event::Started(phase), _) => {
                // The template is a constant and well-formed. If it were not, the default bar would be used.
                let style =
                    ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {msg}  {elapsed}")
                        .unwrap_or_else(|_| ProgressStyle::default_bar())
                        .progress_chars("=> ");
                let bar =
                    self.screen.add(ProgressBar::new(0)).with_style(style).with_prefix(phase.to_string());
                *current = Some((bar, 0));
            }
            (Event::Ended { .. }, Some((bar, _))) => {
                bar.finish_and_clear();
                *current = None;
            }
            (Event::Work { units, more }, Some((bar, _))) => {
                bar.inc_length(*more as u64);
                bar.set_message(*units);
            }
            (Event::Worked, Some((bar, _))) => bar.inc(1),
            (Event::Copied { size, sent: true, .. }, Some((bar, sent))) => {
                *sent += size;
                bar.set_message(format!("files, {} sent", bytes(*sent)));
            }
            _ => {}
        }
    }
}

/// Progress as log lines. Advice is logged once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    advice: Mutex<HashSet<&'static str>>,
}

impl Lines {
    fn failed(&self, operation: &Operation, error: &Error) {
        if is_json() {
            let (error, advice) = (format!("{operation}: {error}"), error.advice());
            ErrorLine { advice, is_part: true, ..ErrorLine::new(&error) }.print();
            return;
        }
        let is_new =
            |advice: &&'static str| self.advice.lock().unwrap_or_else(PoisonError::into_inner).insert(advice);
        match error.advice().filter(is_new) {
            Some(advice) => tracing::error!("{operation}: {error}; {advice}"),
            None => tracing::error!("{operation}: {error}"),
        }
    }
}

impl Observer<Event> for Lines {
    fn observe(&self, event: &Event) {
        match event {
            Event::Started(phase) => tracing::debug!(%phase, "begins"),
            Event::Ended { phase, elapsed } => tracing::info!(%phase, took = duration(*elapsed), "done"),
            Event::Work { units, more } => tracing::debug!(units, more, "to do"),
            Event::Warned(text) => tracing::warn!("{text}"),
            Event::Lost(text) => tracing::error!("{text}"),
            Event::Read(size) => tracing::debug!(size, "read for its hash"),
            Event::Copied { operation, size, sent: true } => tracing::debug!(size, "done: {operation}"),
            Event::Copied { operation, .. } => tracing::info!("already there: {}", operation.destination),
            Event::Planned { failures, .. } => {
                failures.iter().for_each(|(operation, error)| self.failed(operation, error));
            }
            Event::Failed(operation, error) => self.failed(operation, error),
            Event::Begun(operation) => tracing::trace!("begins: {operation}"),
            Event::Worked => {}
        }
    }
}
