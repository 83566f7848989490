//! Progress: bars on a terminal, plain lines in a log.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use oci::{DigestReference, Host};
use promote::{Event, Examination, Observer};
use trust::Problem;

use super::human::{bytes, count, duration};
use crate::terminal::{ErrorLine, is_json};

/// A progress bar for the current phase.
pub(crate) struct Bars {
    screen: MultiProgress,
    current: Mutex<Option<Current>>,
}

struct Current {
    bar: ProgressBar,
    sent: u64,
}

impl Bars {
    /// Creates bars on a screen. Log lines are printed above them.
    pub(crate) fn new(screen: MultiProgress) -> Self {
        Self { screen, current: Mutex::default() }
    }

    fn start(&self, phase: promote::Phase) -> Current {
        // The template is a constant and well-formed. If it were not, the default bar would be used.
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {msg}  {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = self.screen.add(ProgressBar::new(0)).with_style(style).with_prefix(phase.to_string());
        Current { bar, sent: 0 }
    }
}

impl Observer<Event> for Bars {
    fn observe(&self, event: &Event) {
        let mut place = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match (event, place.as_mut()) {
            (Event::Started(phase), _) => *place = Some(self.start(*phase)),
            (Event::Ended { .. }, Some(current)) => {
                current.bar.finish_and_clear();
                *place = None;
            }
            (Event::Work { units, more }, Some(Current { bar, .. })) => {
                bar.inc_length(*more as u64);
                bar.set_message(*units);
            }
            (Event::Worked, Some(Current { bar, .. })) => bar.inc(1),
            (Event::Blob { size, sent: true, .. }, Some(current)) => {
                current.sent += size;
                current.bar.set_message(format!("images, {} sent", bytes(current.sent)));
            }
            _ => {}
        }
    }
}

/// Progress as log lines. Of identical failures the first one is logged when it happens. The number of further ones is logged at
/// the end of the phase.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    shown: Mutex<Shown>,
}

/// The failures and advice that have been logged.
#[derive(Debug, Default)]
struct Shown {
    /// The number of unreported repetitions of each failure, by the kind of operation and the error.
    repeated: BTreeMap<(&'static str, String), usize>,
    advice: HashSet<String>,
}

impl Shown {
    /// Returns the failure to log, or `None` if an identical one was logged. Advice that was logged is removed.
    fn first(&mut self, kind: &'static str, problem: &Problem) -> Option<Problem> {
        match self.repeated.entry((kind, problem.error.clone())) {
            Entry::Occupied(mut repeated) => {
                *repeated.get_mut() += 1;
                None
            }
            Entry::Vacant(new) => {
                new.insert(0);
                let advice = problem.advice.clone().filter(|advice| self.advice.insert(advice.clone()));
                Some(Problem { advice, ..problem.clone() })
            }
        }
    }

    /// Returns the number of repetitions of each failure since the last report.
    fn more(&mut self) -> Vec<String> {
        let repeated = self.repeated.iter_mut().filter(|(_, number)| **number > 0);
        let text = |((kind, error), number): (&(&str, String), &mut usize)| {
            format!("{} more {kind}: {error}", count(std::mem::take(number) as u64))
        };
        repeated.map(text).collect()
    }
}

impl Lines {
    /// Logs a failure of an image at a registry.
    fn failed(&self, kind: &'static str, what: &str, problem: &Problem, image: &DigestReference, at: &Host) {
        if is_json() {
            // Programs need each failure with its fields.
            let (image, advice) = (image.to_string(), problem.advice.as_deref());
            let (image, registry) = (Some(&*image), Some(at.as_str()));
            ErrorLine { image, registry, advice, ..ErrorLine::new(&problem.error) }.print();
            return;
        }
        match self.shown().first(kind, problem) {
            Some(problem) => tracing::error!("{what}: {problem}"),
            None => tracing::debug!("{what}: {}", problem.error),
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer<Event> for Lines {
    fn observe(&self, event: &Event) {
        match event {
            Event::Started(phase) => tracing::debug!(%phase, "begins"),
            Event::Ended { phase, elapsed } => {
                self.shown().more().iter().for_each(|text| tracing::error!("{text}"));
                tracing::info!(%phase, took = duration(*elapsed), "done");
            }
            Event::Skipped { phase, why } => tracing::debug!(%phase, why, "skipped"),
            Event::Work { units, more } => tracing::debug!(units, more, "to do"),
            Event::Warned(text) => tracing::warn!("{text}"),
            Event::Lost(text) => tracing::error!("{text}"),
            Event::Blob { destination, size, sent } => tracing::trace!(%destination, size, sent, "blob"),
            Event::Tagged(reference) => tracing::debug!(%reference, "tagged"),
            Event::Begun(promotion) => tracing::trace!("promoting {promotion}"),
            Event::Promoted(promotion, copied) => {
                tracing::info!(sent = bytes(copied.bytes_sent), "promoted {promotion}");
            }
            Event::Failed(promotion, error) => {
                let what = format!("{promotion} failed");
                let (image, at) = (&promotion.source, &promotion.destination.host);
                self.failed("images failed", &what, &Problem::from(&**error), image, at);
            }
            Event::Withheld(promotion, why) => {
                let (what, why) = (format!("{promotion} is not promoted"), why.clone());
                let (image, at) = (&promotion.source, &promotion.destination.host);
                let problem = Problem { error: why, advice: None };
                self.failed("images are not promoted", &what, &problem, image, at);
            }
            Event::Examined(examination) if examination.is_worth_telling() => {
                let Examination { image, judgement, signed_by, .. } = &**examination;
                let signed: Vec<String> = signed_by.iter().map(ToString::to_string).collect();
                tracing::info!(%image, signed_by = signed.join(", "), "attached in staging: {judgement}");
            }
            Event::Examined(examination) => {
                tracing::debug!(image = %examination.image, "nothing is attached");
            }
            Event::Scanned(scanned) => {
                tracing::debug!(image = %scanned.image, passes = scanned.passes(), "scanned");
            }
            Event::Signed(image) => tracing::debug!("signed {image}"),
            Event::Unsigned(image, problem) => {
                let (what, at) = (format!("{image} is not signed"), &image.repository.host);
                self.failed("manifests are not signed", &what, problem, image, at);
            }
            Event::Recorded(image) => tracing::debug!("recorded the promotion of {image}"),
            Event::Unrecorded(image, problem) => {
                let (what, at) =
                    (format!("the promotion of {image} is not recorded"), &image.repository.host);
                self.failed("promotions are not recorded", &what, problem, image, at);
            }
            Event::Worked => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_are_alike_are_told_once_and_then_counted() {
        let problem = |error: &str| Problem { error: error.to_owned(), advice: Some("log in".to_owned()) };
        let mut shown = Shown::default();
        assert_eq!(shown.first("images failed", &problem("a")), Some(problem("a")));
        let without_advice = Problem { advice: None, ..problem("b") };
        assert_eq!(shown.first("images failed", &problem("b")), Some(without_advice), "advice is given once");
        assert_eq!(shown.more(), Vec::<String>::new());
        for _ in 0..8 {
            assert_eq!(shown.first("images failed", &problem("a")), None);
        }
        assert!(shown.first("manifests are not signed", &problem("a")).is_some(), "of another kind");
        assert_eq!(shown.more(), ["8 more images failed: a"]);
        assert_eq!(shown.more(), Vec::<String>::new());
    }
}
