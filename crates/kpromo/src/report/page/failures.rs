//! Failures, each reason once with all affected items.

use std::collections::HashMap;

use promote::{Report, ReportedScan};

use super::markup::{Html, image, note};
use super::overview::capitalized;
use crate::render::{count, counted, not_done};
use crate::report::GAPS_ADVICE;

/// The maximum number of reasons.
const REASONS_MAX: usize = 500;
/// The maximum number of items for one reason.
const ITEMS_MAX: usize = 500;
/// The number of items above which a list is folded.
const FOLDED: usize = 10;

/// An item, and why it failed.
struct Failed {
    item: String,
    error: String,
    advice: Option<String>,
    /// What went wrong, if it can be the same for several items with different errors.
    cause: Option<String>,
}

/// Adds all failures, or a note that there are none.
pub(super) fn failures(html: &mut Html, report: &Report) {
    let mut section = Html::default();
    let gaps = report.gaps();
    if !gaps.is_empty() {
        section.markup("<article class=\"reason\" data-group data-row><h3>The report is incomplete</h3>");
        gaps.iter().for_each(|gap| reason(&mut section, &capitalized(gap), None));
        section.element(
            "<p class=\"advice\"><strong>What to do:</strong> ",
            &capitalized(GAPS_ADVICE),
            "</p>",
        );
        section.markup("</article>\n");
    }
    if let Some(error) = &report.error {
        section.markup("<article class=\"reason\" data-group data-row><h3>The run stopped early</h3>");
        reason(&mut section, error, report.advice.as_deref());
        section.markup("</article>\n");
    }
    // A run that was not stopped has asked again, and says why that failed.
    let late =
        report.plan.as_ref().filter(|_| report.outcome == "interrupted").map_or(0, |plan| plan.total.late);
    let missing = not_done(&report.totals, late);
    if !missing.is_empty() {
        section
            .markup("<article class=\"reason\" data-group data-row><h3>Not done when the run stopped</h3>");
        missing.iter().for_each(|line| reason(&mut section, &capitalized(line), None));
        section.markup("</article>\n");
    }
    let failed = report.failed.iter().map(|failed| Failed {
        item: promotion(&failed.source, &failed.destination, &failed.tags),
        error: failed.error.clone(),
        advice: failed.advice.clone(),
        cause: failed.cause.clone(),
    });
    let lacking = |list: &[promote::UnsignedImage]| -> Vec<Failed> {
        let item = |unsigned: &promote::UnsignedImage| Failed {
            item: unsigned.image.clone(),
            error: unsigned.error.clone(),
            advice: unsigned.advice.clone(),
            cause: unsigned.cause.clone(),
        };
        list.iter().map(item).collect()
    };
    let refused = report.examined.iter().filter(|image| !image.passes).map(|image| Failed {
        item: image.image.clone(),
        error: [&image.faults[..], &image.refused_signatures[..]].concat().join("\n"),
        advice: None,
        cause: None,
    });
    let vulnerable = report.scanned.iter().filter(|scan| !scan.passes).map(|scan| Failed {
        item: scan.image.clone(),
        error: vulnerabilities(scan),
        advice: None,
        cause: None,
    });
    let lost = report.lost.iter().map(|lost| Failed {
        item: lost.clone(),
        error: "Neither staging nor production has the image.".to_owned(),
        advice: None,
        cause: None,
    });
    let rejected = report.rejected.iter().map(|rejected| Failed {
        item: String::new(),
        error: rejected.clone(),
        advice: None,
        cause: None,
    });
    for (title, all) in [
        ("Not promoted", failed.collect()),
        ("Refused by a policy", refused.collect()),
        ("Refused for vulnerabilities", vulnerable.collect()),
        ("Not signed", lacking(&report.unsigned)),
        ("Not recorded", lacking(&report.unrecorded)),
        ("Lost", lost.collect()),
        ("Invalid entries of manifests", rejected.collect::<Vec<Failed>>()),
    ] {
        listed(&mut section, title, &all);
    }
    html.markup("<section class=\"failures\"><h2>Failures</h2>\n");
    if section.is_empty() {
        html.markup("<p>Nothing failed.</p>\n");
    }
    html.append(&section).markup("</section>\n");
}

/// Returns the promotion of an image to a repository, as a text for a person.
fn promotion(source: &str, destination: &str, tags: &[String]) -> String {
    let tags = if tags.is_empty() { String::new() } else { format!(" ({})", tags.join(", ")) };
    format!("{destination}{tags} from {source}")
}

/// Returns why an image does not pass the vulnerability gate.
fn vulnerabilities(scan: &ReportedScan) -> String {
    if let Some(error) = &scan.error {
        return error.clone();
    }
    let mut lines = Vec::new();
    for part in scan.parts.iter().filter(|part| !part.passes) {
        let platform = part.platform.as_deref().unwrap_or(&part.digest);
        let violations = part.findings.iter().filter(|finding| finding.status == "violates");
        lines.extend(violations.map(|finding| {
            format!(
                "{platform}: {} ({}) in {} {}",
                finding.id, finding.severity, finding.package, finding.installed
            )
        }));
        if part.scanned_by.is_empty() {
            lines.push(format!("{platform}: no finished scan"));
        }
        lines.extend(part.unscanned.iter().map(|why| format!("{platform}: {why}")));
    }
    lines.join("\n")
}

/// Adds failures of one kind, by reason.
fn listed(html: &mut Html, title: &'static str, all: &[Failed]) {
    if all.is_empty() {
        return;
    }
    html.element("<h3>", &format!("{title}: {}", count(all.len() as u64)), "</h3>\n");
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut reasons: Vec<(&Failed, Vec<&Failed>)> = Vec::new();
    for failed in all {
        let cause = failed.cause.as_ref().unwrap_or(&failed.error);
        let place = *places.entry(cause).or_insert_with(|| {
            reasons.push((failed, Vec::new()));
            reasons.len() - 1
        });
        reasons[place].1.push(failed);
    }
    // Reasons that affect the most images come first.
    reasons.sort_by_key(|(_, items)| std::cmp::Reverse(items.len()));
    for (first, all) in reasons.iter().take(REASONS_MAX) {
        // One error stands for all: they differ only in the names of images and requests.
        let is_same = all.iter().all(|failed| failed.error == first.error);
        let shared = first.cause.as_deref().filter(|_| !is_same);
        let items: Vec<&str> =
            all.iter().map(|failed| &*failed.item).filter(|item| !item.is_empty()).collect();
        // A reason without items is found by its own text.
        html.markup(if items.is_empty() {
            "<article class=\"reason\" data-group data-row>"
        } else {
            "<article class=\"reason\" data-group>"
        });
        match shared {
            None => reason(html, &first.error, first.advice.as_deref()),
            Some(cause) => {
                reason(html, cause, first.advice.as_deref());
                html.element("<p class=\"first\"><strong>First error:</strong> ", &first.error, "</p>");
            }
        }
        if items.len() > FOLDED {
            html.element("<details><summary>", &counted(items.len(), "image"), "</summary>");
        }
        if !items.is_empty() {
            html.markup("<ul>");
            for item in items.iter().take(ITEMS_MAX) {
                html.markup("<li data-row>");
                item_of(html, item);
                html.markup("</li>");
            }
            html.markup("</ul>");
            note(html, items.len(), ITEMS_MAX, "images");
        }
        html.markup(if items.len() > FOLDED { "</details></article>\n" } else { "</article>\n" });
    }
    note(html, reasons.len(), REASONS_MAX, "reasons");
}

/// Adds an item, with the names of images as such.
fn item_of(html: &mut Html, item: &str) {
    match item.split_once(" from ") {
        Some((destination, source)) => {
            html.element("<code>", destination, "</code>").markup(" <span class=\"from\">from ");
            image(html, source);
            html.markup("</span>");
        }
        None => image(html, item),
    }
}

/// Adds an error and its advice.
fn reason(html: &mut Html, error: &str, advice: Option<&str>) {
    html.element("<p class=\"error\" data-common>", error, "</p>");
    if let Some(advice) = advice {
        html.element("<p class=\"advice\"><strong>What to do:</strong> ", advice, "</p>");
    }
}
