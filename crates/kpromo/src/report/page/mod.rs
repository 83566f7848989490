//! A report as one page: it needs no other file and sends no request.
//!
//! The page is complete without scripts. Its script searches, marks tables that are wider than the
//! page, and opens what is folded before it is printed. A
//! Content-Security-Policy allows this script and this style by their hashes, and nothing else.
//!
//! `images` has the page of `kpromo cip`, and `files` that of `kpromo run files`. The other modules have what both consist of.

mod chart;
mod failures;
mod files;
mod images;
mod markup;
mod overview;
mod sections;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub(crate) use files::files_page;
pub(crate) use images::images_page;
use markup::Html;
use oci::Digest;
use overview::Overview;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Returns a page with this top and these sections.
fn page(top: &Overview<'_>, sections: &Html) -> String {
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
    html.element("<title>", &top.title(), "</title>\n");
    html.markup("<style>").markup(STYLE).markup("</style>\n</head>\n<body>\n");
    top.write(&mut html);
    html.markup("<main>\n").append(sections).markup("</main>\n<script>").markup(SCRIPT);
    html.markup("</script>\n</body>\n</html>\n");
    html.into_text()
}

/// Returns a source of a Content-Security-Policy that allows this text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Digest::of(text.as_bytes()).hash()))
}
