//! Sections of every page: the warnings, the phases, and the requests to hosts.

use std::collections::BTreeMap;

use promote::{HostTraffic, ReportTimeline};

use super::chart::{phase_bar, timeline};
use super::markup::{Cell, Html, Table, note};
use super::overview::seconds;
use crate::render::{bytes, count, counted};

/// The maximum number of warnings.
const WARNINGS_MAX: usize = 500;

/// Adds the warnings.
pub(super) fn warnings(html: &mut Html, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>Warnings</h2>\n<ul class=\"warnings\">\n");
    for warning in warnings.iter().take(WARNINGS_MAX) {
        html.element("<li data-row>", warning, "</li>\n");
    }
    html.markup("</ul>\n");
    note(html, warnings.len(), WARNINGS_MAX, "warnings");
    html.markup("</section>\n");
}

/// A phase of a run.
pub(super) struct PhaseRow<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its duration in seconds, if it ran.
    pub(super) seconds: Option<f64>,
    /// What it has done, or why it was skipped.
    pub(super) result: String,
}

/// Adds the phases, in their order.
pub(super) fn phases(html: &mut Html, phases: Vec<PhaseRow<'_>>) {
    if phases.is_empty() {
        return;
    }
    html.markup("<section data-group><h2>By phase</h2>\n");
    let longest = phases.iter().filter_map(|phase| phase.seconds).fold(0.0, f64::max);
    let table = Table { caption: "Phases in their order", columns: &["phase", "took", "share", "result"] };
    table.write(
        html,
        phases.into_iter().map(|phase| {
            vec![
                Cell::Name(phase.name.to_owned()),
                Cell::Amount(phase.seconds.map_or_else(|| "–".to_owned(), seconds)),
                Cell::Part(phase_bar(phase.seconds.unwrap_or_default(), longest)),
                Cell::Text(phase.result),
            ]
        }),
    );
    html.markup("</section>\n");
}

/// Returns the parts of a result that are not 0, as one text: `2 images promoted, 1 failed`.
pub(super) fn list(parts: &[(usize, String)]) -> String {
    let parts: Vec<&str> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(_, text)| text.as_str()).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// Returns a part of a result that is a counted noun: `2 images promoted`.
pub(super) fn noun(number: usize, one: &str, rest: &str) -> (usize, String) {
    (number, format!("{}{rest}", counted(number, one)))
}

/// Returns a part of a result that has the same form for any number: `2 failed`.
pub(super) fn state(number: usize, what: &str) -> (usize, String) {
    (number, format!("{} {what}", count(number as u64)))
}

/// How a page names the hosts of a run.
pub(super) struct HostWords {
    /// The heading of the section.
    pub(super) heading: &'static str,
    /// The caption of the table.
    pub(super) caption: &'static str,
    /// The title of the first column.
    pub(super) one: &'static str,
    /// The plural.
    pub(super) many: &'static str,
}

/// Adds the requests to each host, and their timeline.
pub(super) fn hosts(
    html: &mut Html,
    words: &HostWords,
    hosts: &BTreeMap<String, HostTraffic>,
    over_time: Option<&ReportTimeline>,
) {
    if hosts.is_empty() {
        return;
    }
    html.markup("<section data-group>").element("<h2>", words.heading, "</h2>\n");
    let columns =
        [words.one, "requests", "refused", "faults", "no answer", "retried", "received", "sent", "time"];
    let table = Table { caption: words.caption, columns: &columns };
    let mut rows: Vec<(&String, &HostTraffic)> = hosts.iter().collect();
    rows.sort_by_key(|(name, traffic)| {
        (traffic.faults == 0 && traffic.unanswered == 0, traffic.refused == 0, *name)
    });
    table.write(
        html,
        rows.into_iter().map(|(name, traffic)| {
            vec![
                Cell::Name(name.clone()),
                Cell::Number(traffic.total()),
                Cell::Warning(traffic.refused),
                Cell::Bad(traffic.faults),
                Cell::Bad(traffic.unanswered),
                Cell::Number(traffic.retried),
                Cell::Amount(bytes(traffic.received)),
                Cell::Amount(bytes(traffic.sent)),
                Cell::Amount(seconds(traffic.milliseconds as f64 / 1000.0)),
            ]
        }),
    );
    if let Some(all) = over_time {
        timeline(html, all, words.many);
    }
    html.markup("</section>\n");
}
