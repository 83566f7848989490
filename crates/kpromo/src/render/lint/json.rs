//! Findings as JSON.

use manifest::Position;
use manifest::lint::{Edit, Finding};
use schemars::JsonSchema;
use serde::Serialize;

use super::LintResult;
use crate::render::document::{Head, to_json};

/// The results of `kpromo lint --output json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    head: Head<1>,
    /// The commits that the manifests were compared with.
    bases: &'a [String],
    /// The counts of files and findings.
    summary: Summary,
    /// The findings, in the order of the arguments, by file and position.
    findings: Vec<Entry<'a>>,
    /// The files that `--fix` has corrected.
    fixed: Vec<FixedEntry<'a>>,
}

/// The counts of files and findings.
#[derive(Serialize, JsonSchema)]
struct Summary {
    /// Files that were read.
    files: usize,
    /// Errors, including those that are not in `findings`.
    errors: usize,
    /// Warnings, including those that are not in `findings`.
    warnings: usize,
    /// Findings that `--fix` can correct.
    fixable: usize,
}

/// A finding.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Finding", extend("dependentRequired" = { "line": ["column"], "column": ["line"] }))]
struct Entry<'a> {
    /// The rule.
    rule: &'static str,
    /// The severity.
    #[schemars(extend("enum" = ["error", "warning"]))]
    severity: &'static str,
    #[serde(flatten)]
    place: Location<'a>,
    /// What is wrong.
    message: &'a str,
    /// How to resolve it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    /// Other places that the finding is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<RelatedEntry<'a>>,
    /// The edits that `--fix` makes in the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fix: Vec<EditEntry<'a>>,
}

/// A place. It has no position if the finding is about a whole file.
#[derive(Serialize, JsonSchema)]
struct Location<'a> {
    /// The file.
    file: &'a str,
    #[serde(flatten)]
    position: Option<Point>,
}

/// Another place that a finding is about.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Related", extend("dependentRequired" = { "line": ["column"], "column": ["line"] }))]
struct RelatedEntry<'a> {
    #[serde(flatten)]
    place: Location<'a>,
    /// What is there.
    message: &'a str,
}

/// A replacement of text.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Edit")]
struct EditEntry<'a> {
    /// The start of the replaced text.
    start: Point,
    /// The end of the replaced text.
    end: Point,
    /// The new text.
    text: &'a str,
}

/// A position in a file.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Position")]
struct Point {
    /// The line, from 1.
    #[schemars(range(min = 1))]
    line: u32,
    /// The column in characters, from 1.
    #[schemars(range(min = 1))]
    column: u32,
}

/// A file that `--fix` has corrected.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Fixed")]
struct FixedEntry<'a> {
    /// The file.
    file: &'a str,
    /// The number of corrections.
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
        head: Head::new(result.exit_code),
        bases: &result.bases,
        summary: Summary { files: result.files, errors: result.errors, warnings: result.warnings, fixable },
        findings: result.findings.iter().map(entry).collect(),
        fixed: result
            .fixed
            .iter()
            .map(|(file, corrections)| FixedEntry { file, corrections: *corrections })
            .collect(),
    };
    to_json(&document)
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
