//! The top of the page: the run and its totals.

use std::time::Duration;

use promote::{Report, ShardRun};

use super::markup::{Cell, Html, Table};
use crate::render::{bytes, count, duration};

/// Returns the class of the style of an outcome, and its words.
pub(super) fn headline(report: &Report) -> (&'static str, &'static str) {
    let (class, words) = match (&*report.outcome, &report.error) {
        ("interrupted", Some(error)) if error.starts_with("timed out") => ("warning", "timed out"),
        (word, _) => outcome(word),
    };
    match report.exit_code {
        // The run may have succeeded although its report could not be written.
        0 if class == "bad" => ("warning", words),
        0 => (class, words),
        _ if class == "good" => ("bad", words),
        _ => (class, words),
    }
}

fn outcome(word: &str) -> (&'static str, &'static str) {
    match word {
        "done" => ("good", "promoted"),
        "nothing-to-do" => ("good", "nothing to do"),
        "dry-run" => ("good", "dry run"),
        "scanned" => ("good", "scanned, all images pass"),
        "unsigned" => ("warning", "not everything is signed and recorded"),
        "interrupted" => ("warning", "interrupted"),
        "unavailable" => ("bad", "unavailable, nothing was promoted"),
        "refused" => ("bad", "refused"),
        "failed" => ("bad", "failed"),
        "incomplete" => ("bad", "incomplete: not the reports of a whole promotion"),
        _ => ("bad", "ended in a way that this version of kpromo does not know"),
    }
}

/// Adds the headline, the numbers and the search.
pub(super) fn overview(html: &mut Html, report: &Report) {
    let (class, words) = headline(report);
    html.markup("<header>\n<p class=\"product\">kpromo</p>\n<h1><span class=\"outcome ").markup(class);
    html.element("\">", &capitalized(words), "</span></h1>\n<p class=\"facts\">");
    let started = report.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let confirmed = if report.confirmed { "confirmed run" } else { "without --confirm: nothing was written" };
    html.text("Started ").element("<time>", &started, "</time>");
    html.text(&format!(
        ", took {} · {confirmed} · exit code {} · version {}",
        seconds(report.elapsed_seconds),
        report.exit_code,
        report.version
    ));
    html.markup("</p>\n<dl class=\"tiles\">\n");
    let totals = report.totals;
    let number = |number: usize| count(number as u64);
    let lost = report.plan.as_ref().map_or(0, |plan| plan.total.lost);
    let lacking = totals.unsigned.saturating_add(totals.unrecorded);
    let refused = report.examined_totals.blocked.saturating_add(report.scan_totals.refused);
    for (name, value, class) in [
        ("promoted images", number(totals.promoted), ""),
        ("tags written", number(totals.tagged), ""),
        ("uploaded", bytes(totals.bytes_sent), ""),
        ("signed", number(totals.signed), ""),
        ("recorded", number(totals.recorded), ""),
        ("failed", number(totals.failed), if totals.failed > 0 { "bad" } else { "" }),
        ("refused by policy", number(refused), if refused > 0 { "bad" } else { "" }),
        ("not signed or recorded", number(lacking), if lacking > 0 { "warning" } else { "" }),
        ("lost edges", number(lost), if lost > 0 { "warning" } else { "" }),
    ] {
        html.markup("<div><dt>").text(name).markup("</dt><dd class=\"").markup(class);
        html.element("\">", &value, "</dd></div>\n");
    }
    let missing = totals.unfinished.saturating_add(totals.not_begun);
    if missing > 0 {
        html.markup("<div><dt>not finished or begun</dt>");
        html.element("<dd class=\"warning\">", &number(missing), "</dd></div>\n");
    }
    html.markup("</dl>\n");
    html.markup(
        "<div class=\"search\" role=\"search\" hidden><label for=\"search\">Search images, registries and errors</label>\
         <input id=\"search\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\">\
         <span id=\"found\" role=\"status\"></span></div>\n</header>\n",
    );
}

/// Adds the runs of a merged report, the worst first.
pub(super) fn runs(html: &mut Html, report: &Report) {
    if report.shards.len() < 2 {
        return;
    }
    html.markup("<section data-group><h2>Runs</h2>\n");
    let table = Table {
        caption: "The runs that this report consists of",
        columns: &["report", "shard", "outcome", "exit code", "started", "took"],
    };
    let mut shards: Vec<&ShardRun> = report.shards.iter().collect();
    shards.sort_by_key(|shard| (shard.exit_code == 0, shard.exit_code != report.exit_code));
    table.write(
        html,
        shards.into_iter().map(|shard| {
            let (class, words) = outcome(&shard.outcome);
            let again = if shard.was_run_again(&report.shards) { "; run again later" } else { "" };
            vec![
                Cell::Name(shard.name.clone()),
                Cell::Text(shard.shard.clone().unwrap_or_default()),
                Cell::State(class, format!("{words}{again}")),
                Cell::Bad(shard.exit_code.into()),
                Cell::Amount(shard.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
                Cell::Amount(seconds(shard.elapsed_seconds)),
            ]
        }),
    );
    html.markup("</section>\n");
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
