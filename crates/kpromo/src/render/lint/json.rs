//! Findings as JSON.

use manifest::Position;
use manifest::lint::{Edit, Finding};
use serde::Serialize;

use super::LintResult;

/// The version of the JSON schema.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: u32,
    version: &'static str,
    exit_code: u8,
    bases: &'a [String],
    summary: Summary,
    findings: Vec<Entry<'a>>,
    fixed: Vec<FixedEntry<'a>>,
}

#[derive(Serialize)]
struct Summary {
    files: usize,
    errors: usize,
    warnings: usize,
    fixable: usize,
}

#[derive(Serialize)]
struct Entry<'a> {
    rule: &'static str,
    severity: &'static str,
    #[serde(flatten)]
    place: Location<'a>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<RelatedEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fix: Vec<EditEntry<'a>>,
}

#[derive(Serialize)]
struct Location<'a> {
    file: &'a str,
    #[serde(flatten)]
    position: Option<Point>,
}

#[derive(Serialize)]
struct RelatedEntry<'a> {
    #[serde(flatten)]
    place: Location<'a>,
    message: &'a str,
}

#[derive(Serialize)]
struct EditEntry<'a> {
    start: Point,
    end: Point,
    text: &'a str,
}

#[derive(Serialize)]
struct Point {
    line: u32,
    column: u32,
}

#[derive(Serialize)]
struct FixedEntry<'a> {
    file: &'a str,
    corrections: usize,
}

impl From<Position> for Point {
    fn from(Position { line, column }: Position) -> Self {
        Self { line, column }
    }
}

/// Returns all findings as JSON.
pub(crate) fn lint_json(result: &LintResult) -> String {
    let fixable = result.findings.iter().filter(|finding| !finding.fix.is_empty()).count();
    let document = Document {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        exit_code: result.exit_code,
        bases: &result.bases,
        summary: Summary { files: result.files, errors: result.errors, warnings: result.warnings, fixable },
        findings: result.findings.iter().map(entry).collect(),
        fixed: result
            .fixed
            .iter()
            .map(|(file, corrections)| FixedEntry { file, corrections: *corrections })
            .collect(),
    };
    // Strings, numbers and lists always serialize to JSON.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn entry(finding: &Finding) -> Entry<'_> {
    let diagnostic = &finding.diagnostic;
    let related = finding.related.iter().map(|related| RelatedEntry {
        place: Location { file: &related.file, position: Some(related.position.into()) },
        message: &related.message,
    });
    Entry {
        rule: finding.rule.name(),
        severity: if finding.is_error() { "error" } else { "warning" },
        place: Location { file: diagnostic.file(), position: diagnostic.position().map(Point::from) },
        message: diagnostic.message(),
        help: diagnostic.advice(),
        related: related.collect(),
        fix: finding.fix.iter().map(edited).collect(),
    }
}

fn edited(edit: &Edit) -> EditEntry<'_> {
    EditEntry { start: edit.start.into(), end: edit.end.into(), text: &edit.text }
}
