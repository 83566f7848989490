//! Why a run ends before it writes anything.

use std::fmt;

use super::plan::Plan;
use crate::error::Error;

/// A run that ended before it wrote anything.
#[derive(Debug)]
pub enum GivenUp {
    /// Stores cannot be used. Lists all of them.
    Unavailable(Vec<Error>),
    /// The plan has conflicts or, with `strict`, lost files.
    Conflicts(Box<Plan>),
    /// The run was stopped.
    Interrupted,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(errors) => {
                f.write_str("filestores cannot be used; nothing was promoted")?;
                errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
            Self::Conflicts(plan) => {
                f.write_str("the plan cannot be carried out; nothing was promoted")?;
                plan.conflicts().try_for_each(|conflict| write!(f, "\n  {conflict}"))
            }
            Self::Interrupted => f.write_str("interrupted; nothing was promoted"),
        }
    }
}

impl GivenUp {
    /// Returns advice on how to resolve the problem, if there is any.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable(errors) => errors.iter().find_map(Error::advice),
            Self::Conflicts(_) | Self::Interrupted => None,
        }
    }
}
