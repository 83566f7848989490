//! The section of failures: each reason once, with all affected items.

use std::collections::HashMap;

use super::markup::{Html, note};
use crate::render::{count, counted};

/// The maximum number of reasons.
const REASONS_MAX: usize = 500;
/// The maximum number of items for one reason.
const ITEMS_MAX: usize = 500;
/// The number of items above which a list is folded.
const FOLDED: usize = 10;

/// An item, and why it failed.
pub(super) struct Failed {
    /// The item, as the page shows it. Empty if the error names it.
    pub(super) item: Html,
    /// The error.
    pub(super) error: String,
    /// How to resolve it, if that is known.
    pub(super) advice: Option<String>,
    /// What went wrong, if it can be the same for several items with different errors.
    pub(super) cause: Option<String>,
}

/// The failures of a run, in the order in which the page shows them.
pub(super) struct Failures {
    /// What the run promotes, in the singular: `image`.
    noun: &'static str,
    html: Html,
}

impl Failures {
    /// Creates a section without failures.
    pub(super) fn new(noun: &'static str) -> Self {
        Self { noun, html: Html::default() }
    }

    /// Adds errors of the run as a whole, if there are any.
    pub(super) fn of_run(&mut self, title: &'static str, errors: &[String], advice: Option<&str>) {
        let [first, others @ ..] = errors else { return };
        self.html.markup("<article class=\"reason\" data-group data-row>").element("<h3>", title, "</h3>");
        self.error(first);
        others.iter().for_each(|error| self.error(error));
        self.advice(advice);
        self.html.markup("</article>\n");
    }

    /// Adds failures of one kind, by reason.
    pub(super) fn of_items(&mut self, title: &'static str, all: &[Failed]) {
        if all.is_empty() {
            return;
        }
        self.html.element("<h3>", &format!("{title}: {}", count(all.len() as u64)), "</h3>\n");
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut reasons: Vec<Vec<&Failed>> = Vec::new();
        for failed in all {
            let cause = failed.cause.as_ref().unwrap_or(&failed.error);
            let place = *places.entry(cause).or_insert_with(|| {
                reasons.push(Vec::new());
                reasons.len() - 1
            });
            reasons[place].push(failed);
        }
        // Reasons that affect the most items come first.
        reasons.sort_by_key(|all| std::cmp::Reverse(all.len()));
        reasons.iter().take(REASONS_MAX).for_each(|all| self.reason(all));
        note(&mut self.html, reasons.len(), REASONS_MAX, "reasons");
    }

    /// Adds a reason with all its items, one at least.
    fn reason(&mut self, all: &[&Failed]) {
        let Some(first) = all.first() else { return };
        // One error stands for all: they differ only in the names of items and requests.
        let is_same = all.iter().all(|failed| failed.error == first.error);
        let shared = first.cause.as_deref().filter(|_| !is_same);
        let items: Vec<&Html> =
            all.iter().map(|failed| &failed.item).filter(|item| !item.is_empty()).collect();
        // A reason without items is found by its own text.
        self.html.markup(if items.is_empty() {
            "<article class=\"reason\" data-group data-row>"
        } else {
            "<article class=\"reason\" data-group>"
        });
        self.error(shared.unwrap_or(&first.error));
        self.advice(first.advice.as_deref());
        let html = &mut self.html;
        if shared.is_some() {
            html.element("<p class=\"first\"><strong>First error:</strong> ", &first.error, "</p>");
        }
        if items.len() > FOLDED {
            html.element("<details><summary>", &counted(items.len(), self.noun), "</summary>");
        }
        if !items.is_empty() {
            html.markup("<ul>");
            for item in items.iter().take(ITEMS_MAX) {
                html.markup("<li data-row>").append(item).markup("</li>");
            }
            html.markup("</ul>");
            note(html, items.len(), ITEMS_MAX, &format!("{}s", self.noun));
        }
        html.markup(if items.len() > FOLDED { "</details></article>\n" } else { "</article>\n" });
    }

    fn error(&mut self, error: &str) {
        self.html.element("<p class=\"error\" data-common>", error, "</p>");
    }

    fn advice(&mut self, advice: Option<&str>) {
        if let Some(advice) = advice {
            self.html.element("<p class=\"advice\"><strong>What to do:</strong> ", advice, "</p>");
        }
    }

    /// Adds the section to a page. It says if nothing failed.
    pub(super) fn write(self, html: &mut Html) {
        html.markup("<section class=\"failures\"><h2>Failures</h2>\n");
        if self.html.is_empty() {
            html.markup("<p>Nothing failed.</p>\n");
        }
        html.append(&self.html).markup("</section>\n");
    }
}
