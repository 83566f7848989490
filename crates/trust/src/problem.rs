//! Problems in reports: an error message, and advice on how to resolve it.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::attach::AttachError;

/// A problem with one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// What was tried, on which subject, and the result.
    pub error: String,
    /// How to resolve it. Absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What went wrong, without the subject, if several subjects can have the same problem.
    #[serde(skip)]
    pub cause: Option<String>,
}

impl Problem {
    /// Creates a problem of one subject.
    pub fn new(error: impl Into<String>, advice: Option<String>) -> Self {
        Self { error: error.into(), advice, cause: None }
    }

    /// Creates a problem without advice, or whose message contains the advice.
    pub fn without_advice(error: impl Into<String>) -> Self {
        Self::new(error, None)
    }

    /// Returns the text by which equal problems are grouped: the cause, or the message if the problem is that of one subject.
    pub fn group(&self) -> &str {
        self.cause.as_ref().unwrap_or(&self.error)
    }
}

/// Limits repeated advice: each advice is given only once.
#[derive(Debug, Default)]
pub struct NewAdvice(HashSet<String>);

impl NewAdvice {
    /// Creates a problem from an error. The advice is omitted if an earlier problem had the same.
    pub fn of(&mut self, error: &oci::Error) -> Problem {
        let problem = Problem::from(error);
        Problem { advice: problem.advice.filter(|advice| self.0.insert(advice.clone())), ..problem }
    }
}

impl From<&oci::Error> for Problem {
    fn from(error: &oci::Error) -> Self {
        Self { error: error.to_string(), advice: error.advice(), cause: error.cause() }
    }
}

impl From<&AttachError> for Problem {
    fn from(error: &AttachError) -> Self {
        match error {
            AttachError::Registry(error) => Self::from(error),
            other => Self::without_advice(other.to_string()),
        }
    }
}

/// Writes the error, followed by the advice on its own line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "\n  help: {advice}"))
    }
}
