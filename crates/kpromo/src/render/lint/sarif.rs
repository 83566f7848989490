//! Findings in the Static Analysis Results Interchange Format (OASIS SARIF 2.1.0), which code scanning services read.

use std::path::Path;

use manifest::lint::{Edit, Finding, Related, Rule};
use manifest::{Position, Severity};
use serde::Serialize;

use super::{LintResult, relative};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    /// Columns count characters, as in the diagnostics of the other formats.
    column_kind: &'static str,
    results: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
    rules: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: &'static str,
    short_description: Message<'static>,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    text: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Message<'a>,
    locations: [Location<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<Fix<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Clone, Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fix<'a> {
    artifact_changes: [ArtifactChange<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactChange<'a> {
    artifact_location: Artifact,
    replacements: Vec<Replacement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement<'a> {
    deleted_region: Region,
    inserted_content: Message<'a>,
}

/// Returns all findings as a SARIF log. Files below `directory` are named relative to it.
pub(crate) fn lint_sarif(result: &LintResult, directory: Option<&Path>) -> String {
    let driver = Driver {
        name: "kpromo lint",
        version: env!("CARGO_PKG_VERSION"),
        rules: Rule::ALL.into_iter().map(descriptor).collect(),
    };
    let results = result.findings.iter().map(|finding| entry(finding, directory)).collect();
    let run = Run { tool: Tool { driver }, column_kind: "unicodeCodePoints", results };
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run] };
    // Strings, numbers and lists always serialize to JSON.
    serde_json::to_string_pretty(&log).unwrap_or_default() + "\n"
}

fn descriptor(rule: Rule) -> Descriptor {
    let level = match rule.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    Descriptor {
        id: rule.name(),
        short_description: message(rule.summary()),
        default_configuration: Configuration { level },
    }
}

fn message(text: &str) -> Message<'_> {
    Message { text: text.into() }
}

fn entry<'a>(finding: &'a Finding, directory: Option<&Path>) -> Entry<'a> {
    let diagnostic = &finding.diagnostic;
    let text = match diagnostic.advice() {
        Some(advice) => Message { text: format!("{}\n{advice}", diagnostic.message()).into() },
        None => message(diagnostic.message()),
    };
    let place = physical(diagnostic.file(), diagnostic.position(), directory);
    let related = |(at, related): (usize, &'a Related)| Location {
        id: Some(at + 1),
        physical_location: physical(&related.file, Some(related.position), directory),
        message: Some(message(&related.message)),
    };
    let change = |edits: &'a [Edit]| ArtifactChange {
        artifact_location: place.artifact_location.clone(),
        replacements: edits.iter().map(replacement).collect(),
    };
    let fixes = match &finding.fix[..] {
        [] => Vec::new(),
        edits => vec![Fix { artifact_changes: [change(edits)] }],
    };
    Entry {
        rule_id: finding.rule.name(),
        rule_index: Rule::ALL.iter().position(|rule| *rule == finding.rule).unwrap_or_default(),
        level: if finding.is_error() { "error" } else { "warning" },
        message: text,
        related_locations: finding.related.iter().enumerate().map(related).collect(),
        fixes,
        locations: [Location { id: None, physical_location: place, message: None }],
    }
}

/// Returns a place. A finding about a whole file is at its first line, because code scanning services require a line.
fn physical(file: &str, position: Option<Position>, directory: Option<&Path>) -> Physical {
    let region = Region {
        start_line: position.map_or(1, |position| position.line),
        start_column: position.map(|position| position.column),
        end_line: None,
        end_column: None,
    };
    Physical { artifact_location: Artifact { uri: uri(relative(file, directory)) }, region }
}

fn replacement(edit: &Edit) -> Replacement<'_> {
    Replacement {
        deleted_region: Region {
            start_line: edit.start.line,
            start_column: Some(edit.start.column),
            end_line: Some(edit.end.line),
            end_column: Some(edit.end.column),
        },
        inserted_content: message(&edit.text),
    }
}

/// Returns a path as a URI reference (RFC 3986). An absolute path gets the scheme `file`.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        // A colon in a relative path could be read as a scheme.
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri("images/a b/ü:1%.yaml"), "images/a%20b/%C3%BC%3A1%25.yaml");
        assert_eq!(uri("/srv/images.yaml"), "file:///srv/images.yaml");
    }
}
