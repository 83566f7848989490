//! A report as one page: it needs no other file and sends no request.
//!
//! The page is complete without scripts. Its script searches, marks tables that are wider than the
//! page, and opens what is folded before it is printed. A
//! Content-Security-Policy allows this script and this style by their hashes, and nothing else.

mod chart;
mod failures;
mod markup;
mod overview;
mod tables;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failures::failures;
use markup::Html;
use oci::Digest;
use overview::{headline, overview, runs};
use promote::Report;
use tables::{examined, hosts, notices, phases, projects, promoted, registries, scanned};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Returns the page of a report.
pub(crate) fn page(report: &Report) -> String {
    let mut html = Html::default();
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    html.markup("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // Hashes are base64, which is not changed by escaping; the quotes are, as in every attribute.
    html.markup("<meta http-equiv=\"Content-Security-Policy\"").attribute("content", &policy).markup(">\n");
    html.markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.markup("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    let title =
        format!("kpromo: {} on {}", headline(report).1, report.started.strftime("%Y-%m-%d %H:%M UTC"));
    html.element("<title>", &title, "</title>\n");
    html.markup("<style>").markup(STYLE).markup("</style>\n</head>\n<body>\n");
    overview(&mut html, report);
    html.markup("<main>\n");
    for section in [failures, runs, notices, projects, hosts, phases, registries, promoted, examined, scanned]
    {
        section(&mut html, report);
    }
    html.markup("</main>\n<script>").markup(SCRIPT).markup("</script>\n</body>\n</html>\n");
    html.into_text()
}

/// Returns a source of a Content-Security-Policy that allows this text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Digest::of(text.as_bytes()).hash()))
}
