//! The reasons why a run ends before it writes anything.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use manifest::Overlap;
use oci::DigestReference;
use sigstore::{IdentityError, SignError, TrustError};
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
    /// Scanners could not return results for images; with these images and the plan.
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
    /// What is wrong, as text for the user.
    pub reason: String,
    /// Whether neither staging nor production has the image.
    pub is_lost: bool,
}

impl Conflict {
    /// Returns advice on how to resolve the conflict.
    fn advice(&self) -> &'static str {
        match self.is_lost {
            true => "push the image to staging again, or remove its entry from the manifest",
            false => {
                "correct the manifests at these places; production tags never move, so new content needs a new tag"
            }
        }
    }
}

/// The advice for an overlap.
const OVERLAP: &str = "remove one of the two entries, or give it another tag";

/// An image that must not be promoted because of what is attached to it or is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The image in staging.
    pub image: DigestReference,
    /// What is wrong, as text for the user. May have several lines.
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
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
            items.iter().try_for_each(|item| write!(f, "\n  {item}"))
        }
        f.write_str(&self.head())?;
        match self {
            Self::Overlaps(overlaps) => list(f, overlaps),
            Self::Conflicts(conflicts, _) => list(f, conflicts),
            Self::Unavailable(error, _) => write!(f, "\n  {error}"),
            Self::Blocked(_, images, _) | Self::ScansUnavailable(images, _) => list(f, images),
            Self::NoTrust(error) | Self::TrustUnavailable(error, _) => write!(f, "\n  {error}"),
            Self::CannotSign(error, _) => {
                let tried = match &**error {
                    SignError::Identity(error) => error.tried(),
                    _ => None,
                };
                let cause = tried.unwrap_or_else(|| error.to_string()).replace('\n', "\n  ");
                write!(f, "\n  {cause}\n  or promote without signatures: --sign=false")
            }
            Self::Interrupted => Ok(()),
        }
    }
}

impl Error {
    /// Returns the error message on one line, without the images and without causes.
    pub fn head(&self) -> String {
        let what = match self {
            Self::Overlaps(_) => "the manifests give different digests the same tag",
            Self::Conflicts(..) => "the plan cannot be carried out",
            Self::Unavailable(..) => "no image can be planned",
            Self::Blocked(Phase::Validate, ..) => "signatures of images in staging do not verify",
            Self::Blocked(Phase::Scan, ..) => "images do not pass the vulnerability check",
            Self::Blocked(..) => "images do not pass the provenance check",
            Self::ScansUnavailable(..) => "cannot determine whether images have vulnerabilities",
            Self::NoTrust(_) => return "the attachments of images cannot be verified".to_owned(),
            Self::TrustUnavailable(..) => "the attachments of images cannot be verified",
            Self::CannotSign(error, _) => match **error {
                SignError::Identity(IdentityError::NoSource { .. }) => "no identity to sign with was found",
                _ => "images cannot be signed",
            },
            Self::Interrupted => "interrupted",
        };
        format!("{what}; nothing was promoted")
    }

    /// Returns the images that cause the error, each with its problem.
    pub fn images(&self) -> Vec<(String, Problem)> {
        match self {
            Self::Overlaps(overlaps) => {
                let pair = |overlap: &Overlap| {
                    let problem = Problem::new(overlap.reason(), Some(OVERLAP.to_owned()));
                    (overlap.reference.clone(), problem)
                };
                overlaps.iter().map(pair).collect()
            }
            Self::Conflicts(conflicts, _) => {
                let pair = |conflict: &Conflict| {
                    let text = format!("{} ({})", conflict.reason, conflict.origin);
                    (conflict.reference.clone(), Problem::new(text, Some(conflict.advice().to_owned())))
                };
                conflicts.iter().map(pair).collect()
            }
            Self::Blocked(_, images, _) | Self::ScansUnavailable(images, _) => {
                let pair = |blocked: &Blocked| {
                    (blocked.image.to_string(), Problem::without_advice(blocked.reason.clone()))
                };
                images.iter().map(pair).collect()
            }
            Self::Unavailable(..)
            | Self::NoTrust(_)
            | Self::TrustUnavailable(..)
            | Self::CannotSign(..)
            | Self::Interrupted => Vec::new(),
        }
    }
}

impl Error {
    /// Returns the error message and, if there is any, advice for the user.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Unavailable(error, _) => Problem::from(&**error).advice,
            Self::Conflicts(conflicts, _) => {
                // Advice that applies to several conflicts is given once.
                let advice: BTreeSet<&str> = conflicts.iter().map(Conflict::advice).collect();
                Some(advice.into_iter().collect::<Vec<_>>().join("; "))
            }
            Self::Overlaps(_) => Some(OVERLAP.to_owned()),
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
