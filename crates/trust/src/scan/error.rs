//! Errors of scanners.

/// The reason why the state of a scan could not be determined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", advice.as_ref().map(|advice| format!("\n  help: {advice}")).unwrap_or_default())]
pub struct ScanError {
    /// What was tried, where, and what came back.
    pub problem: String,
    /// What to do, if that is known.
    pub advice: Option<String>,
}
