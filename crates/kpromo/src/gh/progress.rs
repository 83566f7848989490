//! A progress bar on a terminal.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::render::bytes;

/// The progress of copying.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    sent: AtomicU64,
}

impl Progress {
    /// Creates the bar on a screen. It shows nothing if the screen is not a terminal.
    pub(super) fn new(screen: &MultiProgress) -> Self {
        // The template is a constant and well-formed. If it were not, the default bar would be used.
        let style = ProgressStyle::with_template("      copy [{bar:30}] {pos}/{len} {msg}  {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = (!screen.is_hidden()).then(|| screen.add(ProgressBar::new(0)).with_style(style));
        Self { bar, sent: AtomicU64::new(0) }
    }

    pub(super) fn begin(&self, assets: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(assets as u64);
            bar.set_message("files");
        }
    }

    /// Records that an asset of this size has been processed.
    pub(super) fn worked(&self, size: u64) {
        let sent = self.sent.fetch_add(size, Relaxed) + size;
        if let Some(bar) = &self.bar {
            bar.inc(1);
            bar.set_message(format!("files, {}", bytes(sent)));
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
