//! Why a run ends before it has written anything.

use std::fmt;
use std::sync::Arc;

use oci::Repository;

use crate::edge::Overlap;
use crate::phase::Plan;

/// A run that was given up before production was touched. Failures after that are data: see [`crate::phase::Promoted`].
#[derive(Debug)]
pub enum Error {
    /// Manifests want different digests under the same reference.
    Overlaps(Vec<Overlap>),
    /// What the manifests want cannot be done, or not without changing what production has; with the plan that shows it.
    Conflicts(Vec<Conflict>, Box<Plan>),
    /// No edge can be decided: the first reason, and the plan as far as it goes.
    Unavailable(Arc<oci::Error>, Box<Plan>),
    /// Images have a provenance policy, and nothing here can verify what is attested of them yet: the first such source
    /// repository.
    Unverifiable(Repository),
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
            Self::Conflicts(conflicts, _) => list(f, "the plan cannot be carried out", conflicts),
            Self::Unavailable(error, _) => {
                write!(f, "no registry can be read; nothing was promoted\n  {error}")
            }
            Self::Unverifiable(repository) => write!(
                f,
                "a provenance policy holds for {repository}, and verifying attestations is not yet in this build; nothing was promoted\n  \
                 promote such images with a build that checks provenance, or set `mode: off` in their manifest"
            ),
            Self::Interrupted => f.write_str("interrupted; nothing was promoted"),
        }
    }
}

impl Error {
    /// The plan, where the run got so far.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Conflicts(_, plan) | Self::Unavailable(_, plan) => Some(plan),
            Self::Overlaps(_) | Self::Unverifiable(_) | Self::Interrupted => None,
        }
    }
}

impl std::error::Error for Error {}
