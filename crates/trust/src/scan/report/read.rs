//! Recognises the format of a document and reads it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::input::{Document, Input, InvalidReport};
use super::{cosign, cyclonedx, grype, openvex, sarif, trivy};

/// The maximum size of a document, in bytes.
pub const REPORT_MAX: u64 = 64 * 1024 * 1024;

/// The members that distinguish the formats.
#[derive(Deserialize)]
struct Members {
    /// Trivy.
    #[serde(rename = "SchemaVersion")]
    schema_version: Option<IgnoredAny>,
    /// Grype.
    matches: Option<IgnoredAny>,
    descriptor: Option<IgnoredAny>,
    /// SARIF.
    runs: Option<IgnoredAny>,
    /// CycloneDX.
    #[serde(rename = "bomFormat")]
    bom_format: Option<IgnoredAny>,
    /// OpenVEX.
    #[serde(rename = "@context")]
    context: Option<Value>,
    /// cosign's predicate for vulnerabilities.
    scanner: Option<IgnoredAny>,
    /// cosign's predicate for custom content.
    #[serde(rename = "Data")]
    data: Option<Value>,
}

/// Reads a document.
///
/// # Errors
/// If it is too large, in no supported format, not about the scan of an image, or broken.
pub fn read(bytes: &[u8]) -> Result<Document, InvalidReport> {
    if bytes.len() as u64 > REPORT_MAX {
        return Err(InvalidReport::TooLarge(REPORT_MAX));
    }
    // Some editors write a byte order mark at the start of a file.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    read_input(Input::Bytes(bytes), true)
}

/// Reads a document that is the predicate of a statement.
///
/// # Errors
/// The same as [`read`].
pub fn read_value(value: &Value) -> Result<Document, InvalidReport> {
    read_input(Input::Value(value), true)
}

/// Reads a document. Only the outermost document may be a predicate of cosign, which contains another document.
fn read_input(input: Input<'_>, is_outermost: bool) -> Result<Document, InvalidReport> {
    let members: Members = input.read()?;
    let report = |report| Document { report: Some(report), vex: Vec::new() };
    let context = members.context.as_ref().and_then(Value::as_str);
    if members.schema_version.is_some() {
        trivy::read(input).map(report)
    } else if members.matches.is_some() && members.descriptor.is_some() {
        grype::read(input).map(report)
    } else if members.runs.is_some() {
        sarif::read(input).map(report)
    } else if members.bom_format.is_some() {
        cyclonedx::read(input)
    } else if context.is_some_and(|context| context.starts_with(openvex::CONTEXT)) {
        openvex::read(input).map(|vex| Document { report: None, vex })
    } else if is_outermost && members.scanner.is_some() {
        cosign::read(input, |result| read_input(Input::Value(result), false))
    } else if let (true, Some(Value::String(text))) = (is_outermost, members.data) {
        read_input(Input::Bytes(text.as_bytes()), false)
    } else {
        Err(InvalidReport::UnknownFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_are_not_reports_are_refused_with_the_reason() {
        for (text, expected) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("[]", "invalid"),
            ("1", "invalid"),
            ("{}", "none of the supported formats"),
            (r#"{"SchemaVersion":2,"SchemaVersion":2}"#, "duplicate field"),
            (r#"{"matches":[]}"#, "none of the supported formats"),
            (r#"{"@context":"https://example.com/ns"}"#, "none of the supported formats"),
            (r#"{"Data":"{\"Data\":\"{}\"}"}"#, "none of the supported formats"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_document_that_is_too_large_or_too_deep_is_refused() {
        let large = vec![b' '; usize::try_from(REPORT_MAX).unwrap() + 1];
        assert_eq!(read(&large), Err(InvalidReport::TooLarge(REPORT_MAX)));
        let deep = format!(r#"{{"SchemaVersion":2,"Metadata":{}"#, "[".repeat(1_000_000));
        assert!(matches!(read(deep.as_bytes()), Err(InvalidReport::Json(_))));
        let deep = format!(r#"{{"@context":{}"#, "[".repeat(1_000_000));
        assert!(matches!(read(deep.as_bytes()), Err(InvalidReport::Json(_))));
    }
}
