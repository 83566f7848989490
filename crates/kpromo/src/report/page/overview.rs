//! The top of a page: the run, its totals and the search.

use std::time::Duration;

use jiff::Timestamp;

use super::markup::Html;
use crate::render::{bytes, count, duration};

/// The top of a page.
pub(super) struct Overview<'a> {
    /// The outcome of the run, as one word.
    pub(super) outcome: &'a str,
    /// Why the run stopped early, if it did.
    pub(super) error: Option<&'a str>,
    /// The exit code of the process.
    pub(super) exit_code: u8,
    /// Whether `--confirm` was given.
    pub(super) confirmed: bool,
    /// The version of kpromo.
    pub(super) version: &'a str,
    /// When the run started.
    pub(super) started: Timestamp,
    /// The duration of the run, in seconds.
    pub(super) elapsed_seconds: f64,
    /// The totals.
    pub(super) tiles: Vec<Tile>,
    /// The label of the search.
    pub(super) search: &'static str,
}

/// A total: its name, its value, and the class of its style.
pub(super) struct Tile {
    name: &'static str,
    value: String,
    class: &'static str,
}

impl Tile {
    /// Creates a neutral number.
    pub(super) fn number(name: &'static str, number: usize) -> Self {
        Self { name, value: count(number as u64), class: "" }
    }

    /// Creates a number of bytes.
    pub(super) fn bytes(name: &'static str, number: u64) -> Self {
        Self { name, value: bytes(number), class: "" }
    }

    /// Creates a number of problems, highlighted if it is not 0.
    pub(super) fn bad(name: &'static str, number: usize) -> Self {
        Self { class: if number > 0 { "bad" } else { "" }, ..Self::number(name, number) }
    }

    /// Creates a number that may need attention, highlighted if it is not 0.
    pub(super) fn warning(name: &'static str, number: usize) -> Self {
        Self { class: if number > 0 { "warning" } else { "" }, ..Self::number(name, number) }
    }
}

impl Overview<'_> {
    /// Returns the title of the page.
    pub(super) fn title(&self) -> String {
        format!("kpromo: {} on {}", self.headline().1, self.started.strftime("%Y-%m-%d %H:%M UTC"))
    }

    /// Returns the class of the style of the outcome, and its words.
    fn headline(&self) -> (&'static str, &'static str) {
        let (class, words) = match (self.outcome, self.error) {
            ("interrupted", Some(error)) if error.starts_with("timed out") => ("warning", "timed out"),
            (word, _) => outcome(word),
        };
        match self.exit_code {
            // The run may have succeeded although its report could not be written.
            0 if class == "bad" => ("warning", words),
            0 => (class, words),
            _ if class == "good" => ("bad", words),
            _ => (class, words),
        }
    }

    /// Adds the headline, the totals and the search.
    pub(super) fn write(&self, html: &mut Html) {
        let (class, words) = self.headline();
        html.markup("<header>\n<p class=\"product\">kpromo</p>\n<h1><span class=\"outcome ").markup(class);
        html.element("\">", &capitalized(words), "</span></h1>\n<p class=\"facts\">");
        let started = self.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let confirmed =
            if self.confirmed { "confirmed run" } else { "without --confirm: nothing was written" };
        html.text("Started ").element("<time>", &started, "</time>");
        html.text(&format!(
            ", took {} · {confirmed} · exit code {} · version {}",
            seconds(self.elapsed_seconds),
            self.exit_code,
            self.version
        ));
        html.markup("</p>\n<dl class=\"tiles\">\n");
        for Tile { name, value, class } in &self.tiles {
            html.markup("<div><dt>").text(name).markup("</dt><dd class=\"").markup(class);
            html.element("\">", value, "</dd></div>\n");
        }
        html.markup("</dl>\n");
        html.markup("<div class=\"search\" role=\"search\" hidden>");
        html.element("<label for=\"search\">", self.search, "</label>");
        html.markup(
            "<input id=\"search\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\">\
             <span id=\"found\" role=\"status\"></span></div>\n</header>\n",
        );
    }
}

/// Returns the class of the style of an outcome, and its words.
pub(super) fn outcome(word: &str) -> (&'static str, &'static str) {
    match word {
        "done" => ("good", "promoted"),
        "nothing-to-do" => ("good", "nothing to do"),
        "dry-run" => ("good", "dry run"),
        "scanned" => ("good", "scanned, all images pass"),
        "unsigned" => ("warning", "not everything is signed and recorded"),
        "interrupted" => ("warning", "interrupted"),
        "unavailable" => ("bad", "unavailable"),
        "refused" => ("bad", "refused"),
        "failed" => ("bad", "failed"),
        "incomplete" => ("bad", "incomplete: not the reports of a whole promotion"),
        _ => ("bad", "ended in a way that this version of kpromo does not know"),
    }
}

/// Returns a number of seconds, as a text for a person.
pub(super) fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

pub(super) fn capitalized(words: &str) -> String {
    let mut characters = words.chars();
    characters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + characters.as_str())
        .unwrap_or_default()
}
