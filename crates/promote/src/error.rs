//! Why a run ends before it has written anything.

use std::fmt;
use std::sync::Arc;

use crate::edge::Overlap;

/// A run that was given up before production was touched. Failures after that are data: see [`crate::phase::Promoted`].
#[derive(Debug)]
pub enum Error {
    /// Manifests want different digests under the same reference.
    Overlaps(Vec<Overlap>),
    /// What the manifests want cannot be done without changing what production has.
    Conflicts(Vec<Conflict>),
    /// No repository could be read.
    Unavailable(Arc<oci::Error>),
    /// The run was told to stop.
    Interrupted,
}

/// An edge that must not be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The destination, by tag or digest.
    pub reference: String,
    /// Where the promotion is wished, as `file:line:column`.
    pub origin: String,
    /// What is wrong, for a person.
    pub reason: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.reference, self.reason, self.origin)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, head: &str, items: &[T]) -> fmt::Result {
            write!(f, "{head}; nothing was promoted")?;
            items.iter().try_for_each(|item| write!(f, "\n  {item}"))
        }
        match self {
            Self::Overlaps(overlaps) => {
                list(f, "the manifests want different digests under the same reference", overlaps)
            }
            Self::Conflicts(conflicts) => list(f, "the plan cannot be carried out", conflicts),
            Self::Unavailable(error) => write!(f, "no registry can be read; nothing was promoted\n  {error}"),
            Self::Interrupted => f.write_str("interrupted; nothing was promoted"),
        }
    }
}

impl std::error::Error for Error {}
