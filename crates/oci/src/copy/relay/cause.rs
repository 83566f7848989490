//! The cause of a failed source.

use crate::error::Error;

/// Why the source of a relay failed.
#[derive(Clone, Debug)]
pub(in super::super) struct Cause {
    pub(in super::super) text: String,
    pub(in super::super) temporary: bool,
    pub(in super::super) advice: Option<String>,
}

impl From<&Error> for Cause {
    fn from(error: &Error) -> Self {
        Self { text: error.to_string(), temporary: error.is_temporary(), advice: error.advice() }
    }
}
