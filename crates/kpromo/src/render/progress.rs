//! Progress: bars on a terminal, sober lines in a log.

use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use promote::{Event, Examination, Observer, Problem};

use super::human::{bytes, duration};

/// One bar for the phase that runs.
pub(crate) struct Bars {
    screen: MultiProgress,
    current: Mutex<Option<Current>>,
}

struct Current {
    bar: ProgressBar,
    sent: u64,
}

impl Bars {
    /// Bars on a screen that log lines are printed above.
    pub(crate) fn new(screen: MultiProgress) -> Self {
        Self { screen, current: Mutex::default() }
    }

    fn start(&self, phase: promote::Phase) -> Current {
        // A template of ours, so it is well-formed; if it were not, the default bar would do.
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {msg}  {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = self.screen.add(ProgressBar::new(0)).with_style(style).with_prefix(phase.to_string());
        Current { bar, sent: 0 }
    }
}

impl Observer for Bars {
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

/// A line in the log for what is worth one.
pub(crate) struct Lines;

impl Observer for Lines {
    fn observe(&self, event: &Event) {
        match event {
            Event::Started(phase) => tracing::debug!(%phase, "begins"),
            Event::Ended { phase, elapsed } => tracing::info!(%phase, took = duration(*elapsed), "done"),
            Event::Skipped { phase, why } => tracing::debug!(%phase, why, "skipped"),
            Event::Work { units, more } => tracing::debug!(units, more, "to do"),
            Event::Warned(text) => tracing::warn!("{text}"),
            Event::Lost(text) => tracing::error!("{text}"),
            Event::Blob { destination, size, sent } => tracing::trace!(%destination, size, sent, "blob"),
            Event::Tagged(reference) => tracing::debug!(%reference, "tagged"),
            Event::Promoted(promotion, copied) => {
                tracing::info!(sent = bytes(copied.bytes_sent), "promoted {promotion}");
            }
            Event::Failed(promotion, error) => {
                tracing::error!("{promotion} failed: {}", Problem::from(&**error));
            }
            Event::Withheld(promotion, why) => tracing::error!("{promotion} is not promoted: {why}"),
            Event::Examined(examination) if examination.is_worth_telling() => {
                let Examination { image, judgement, signed_by, .. } = &**examination;
                let signed: Vec<String> = signed_by.iter().map(ToString::to_string).collect();
                tracing::info!(%image, signed_by = signed.join(", "), "attached in staging: {judgement}");
            }
            Event::Examined(examination) => {
                tracing::debug!(image = %examination.image, "nothing is attached");
            }
            Event::Signed(image) => tracing::debug!("signed {image}"),
            Event::Unsigned(image, problem) => tracing::error!("{image} is not signed: {problem}"),
            Event::Recorded(image) => tracing::debug!("recorded the promotion of {image}"),
            Event::Unrecorded(image, problem) => {
                tracing::error!("the promotion of {image} is not recorded: {problem}");
            }
            Event::Worked => {}
        }
    }
}
