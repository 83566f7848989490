//! What went wrong, as it is reported: the error in words, and what its reader can do.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::attach::AttachError;

/// What went wrong with one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What was tried, on what, and what came back.
    pub error: String,
    /// What the person who reads the error could do, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Problem {
    /// A problem for which there is no advice, or whose words have it.
    pub fn without_advice(error: impl Into<String>) -> Self {
        Self { error: error.into(), advice: None }
    }
}

/// Gives the advice of many errors once each.
#[derive(Debug, Default)]
pub struct NewAdvice(HashSet<String>);

impl NewAdvice {
    /// An error, with its advice where no earlier one had the same.
    pub fn of(&mut self, error: &oci::Error) -> Problem {
        let Problem { error, advice } = error.into();
        Problem { error, advice: advice.filter(|advice| self.0.insert(advice.clone())) }
    }
}

impl From<&oci::Error> for Problem {
    fn from(error: &oci::Error) -> Self {
        Self { error: error.to_string(), advice: error.advice().as_ref().map(ToString::to_string) }
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

/// The error; below it, on a line of its own, the advice.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "\n  help: {advice}"))
    }
}
