//! The reasons why a run ends before it writes anything.

use std::fmt;
use std::sync::Arc;

use manifest::Overlap;
use oci::DigestReference;
use sigstore::{SignError, TrustError};
use trust::Problem;

use crate::event::Phase;
use crate::phase::plan::Plan;

/// A run that ended before it wrote to production. Later failures are reported as data: see [`crate::phase::Promoted`].
#[derive(Debug)]
pub enum Error {
    /// The manifests request different digests for the same reference.
    Overlaps(Vec<Overlap>),
    /// What the manifests request cannot be done, or would change something in production; with the plan.
    Conflicts(Vec<Conflict>, Box<Plan>),
    /// No edge can be decided; with the first error and the partial plan.
    Unavailable(Arc<oci::Error>, Box<Plan>),
    /// Images must not be promoted because of what is attached to them or is missing; with the phase that found it and the
    /// plan.
    Blocked(Phase, Vec<Blocked>, Box<Plan>),
    /// Scanners cannot tell what they know of images; with these and the plan.
    ScansUnavailable(Vec<Blocked>, Box<Plan>),
    /// Images have to be scanned and no trusted root is available. There is no plan.
    NoTrust(Box<TrustError>),
    /// Something has to be verified and no trusted root is available; with the plan.
    TrustUnavailable(Box<TrustError>, Box<Plan>),
    /// Images have to be signed and there is no identity or no signing service; with the plan.
    CannotSign(Box<SignError>, Box<Plan>),
    /// The run was stopped.
    Interrupted,
}

/// An edge that must not be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The destination, by tag or digest.
    pub reference: String,
    /// The position of the request in a manifest, as `file:line:column`.
    pub origin: String,
    /// What is wrong, in a form for people.
    pub reason: String,
}

/// An image that must not be promoted because of what is attached to it or is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The image in staging.
    pub image: DigestReference,
    /// What is wrong, in a form for people. May have several lines.
    pub reason: String,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.image, self.reason.replace('\n', "\n  "))
    }
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
                list(f, "the manifests give different digests the same tag", overlaps)
            }
            Self::Conflicts(conflicts, _) => list(f, "the plan cannot be carried out", conflicts),
            Self::Unavailable(error, _) => {
                write!(f, "no registry can be read; nothing was promoted\n  {error}")
            }
            Self::Blocked(phase, blocked, _) => {
                let what = match phase {
                    Phase::Validate => "signatures of images in staging do not verify",
                    Phase::Scan => "images do not pass the vulnerability check",
                    Phase::Setup
                    | Phase::Plan
                    | Phase::Provenance
                    | Phase::Promote
                    | Phase::Sign
                    | Phase::Attest => "images do not pass the provenance check",
                };
                list(f, what, blocked)
            }
            Self::ScansUnavailable(images, _) => {
                list(f, "cannot determine whether images have vulnerabilities", images)
            }
            Self::NoTrust(error) => write!(f, "the attachments of images cannot be verified\n  {error}"),
            Self::TrustUnavailable(error, _) => {
                write!(f, "the attachments of images cannot be verified; nothing was promoted\n  {error}")
            }
            Self::CannotSign(error, _) => write!(
                f,
                "images cannot be signed; nothing was promoted\n  {}\n  \
                 or promote without signatures: --sign=false",
                error.to_string().replace('\n', "\n  ")
            ),
            Self::Interrupted => f.write_str("interrupted; nothing was promoted"),
        }
    }
}

impl Error {
    /// Returns the error message and, if there is any, advice for the user.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Unavailable(error, _) => Problem::from(&**error).advice,
            Self::Conflicts(..) => Some(
                "correct the manifests at these places; production tags never move, so new content \
                 needs a new tag"
                    .to_owned(),
            ),
            Self::Overlaps(_) => Some("remove one of the two entries, or give it another tag".to_owned()),
            _ => None,
        };
        Problem::new(self.to_string(), advice)
    }

    /// Returns the plan, if the run got that far.
    pub(crate) fn into_plan(self) -> Option<Plan> {
        match self {
            Self::Conflicts(_, plan)
            | Self::Unavailable(_, plan)
            | Self::Blocked(_, _, plan)
            | Self::ScansUnavailable(_, plan)
            | Self::TrustUnavailable(_, plan)
            | Self::CannotSign(_, plan) => Some(*plan),
            Self::Overlaps(_) | Self::NoTrust(_) | Self::Interrupted => None,
        }
    }

    /// Returns the plan, if the run got that far.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Conflicts(_, plan)
            | Self::Unavailable(_, plan)
            | Self::Blocked(_, _, plan)
            | Self::ScansUnavailable(_, plan)
            | Self::TrustUnavailable(_, plan)
            | Self::CannotSign(_, plan) => Some(plan),
            Self::Overlaps(_) | Self::NoTrust(_) | Self::Interrupted => None,
        }
    }
}

impl std::error::Error for Error {}
