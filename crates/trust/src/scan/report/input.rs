//! A document before and after parsing.

use jiff::Timestamp;
use oci_types::json::{NameRules, check_names_of};
use oci_types::text::shown;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::scan::finding::Finding;
use crate::scan::part::About;
use crate::scan::vex::VexStatement;

/// The maximum number of findings, or of VEX statements, of one document.
pub const FINDINGS_MAX: usize = 100_000;
/// The maximum length of an untrusted text in an error, in characters.
const SHOWN_MAX: usize = 200;
/// The earliest valid time of a scan: 2000-01-01.
const FIRST: i64 = 946_684_800;
/// The time that Go writes for an unset time.
const NOT_SET: &str = "0001-01-01T00:00:00Z";

/// The content of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The report of a scan, if the document proves that one was made.
    pub report: Option<Report>,
    /// The VEX statements.
    pub vex: Vec<VexStatement>,
}

/// The report of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The scanner, as the report names it.
    pub tool: String,
    /// The image that it is about.
    pub about: About,
    /// When the scan was made, if the report states it.
    pub finished: Option<Timestamp>,
    /// The findings.
    pub findings: Vec<Finding>,
    /// The reason why the report does not prove a finished scan for vulnerabilities. `None` if it proves one.
    pub unfinished: Option<&'static str>,
}

/// The reason why a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    /// It has too many bytes.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// It is not JSON, or does not match its format.
    #[error("{0}")]
    Json(String),
    /// It is JSON, but in none of the supported formats.
    #[error(
        "it is in none of the supported formats: Trivy, Grype, SARIF, CycloneDX, cosign's vuln predicate, OpenVEX"
    )]
    UnknownFormat,
    /// It is in a supported format, but is neither the report of a scan of an image for vulnerabilities nor a VEX document.
    #[error("{0}")]
    WrongKind(String),
    /// It has too many entries.
    #[error("it has more than {FINDINGS_MAX} {0}")]
    TooMany(&'static str),
    /// A time in it is invalid.
    #[error("`{field}` is not valid: {problem}")]
    Time {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl InvalidReport {
    pub(super) fn wrong_kind(what: impl Into<String>) -> Self {
        Self::WrongKind(what.into())
    }
}

/// A document to read: a file, or a part of a statement.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Bytes(&'a [u8]),
    Value(&'a Value),
}

impl Input<'_> {
    /// Checks the names of the document.
    pub(super) fn check_names(self, rules: impl NameRules) -> Result<(), InvalidReport> {
        let checked = match self {
            Self::Bytes(bytes) => check_names_of(&mut serde_json::Deserializer::from_slice(bytes), rules),
            Self::Value(value) => check_names_of(value, rules),
        };
        checked.map_err(|error| InvalidReport::Json(shown(&error.to_string(), SHOWN_MAX)))
    }

    /// Reads the document as a type.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, InvalidReport> {
        let read = match self {
            Self::Bytes(bytes) => serde_json::from_slice(bytes),
            Self::Value(value) => T::deserialize(value),
        };
        // The parser's message may contain untrusted text.
        read.map_err(|error| InvalidReport::Json(shown(&error.to_string(), SHOWN_MAX)))
    }
}

/// Parses a time. Returns `None` for an empty time and for Go's unset time.
pub(super) fn time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, InvalidReport> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != NOT_SET) else { return Ok(None) };
    let problem = |problem: String| InvalidReport::Time { field, problem };
    let time: Timestamp =
        text.parse().map_err(|_| problem(format!("`{}` is not a time", shown(text, 40))))?;
    if time.as_second() < FIRST {
        return Err(problem(format!("{time} is before the year 2000")));
    }
    Ok(Some(time))
}

/// Rejects a document with too many entries.
pub(super) fn bounded<T>(what: &'static str, entries: Vec<T>) -> Result<Vec<T>, InvalidReport> {
    if entries.len() > FINDINGS_MAX { Err(InvalidReport::TooMany(what)) } else { Ok(entries) }
}

/// Shortens an untrusted text for an error.
pub(super) fn short(text: &str) -> String {
    shown(text, SHOWN_MAX)
}
