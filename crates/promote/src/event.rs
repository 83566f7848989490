//! What happens in a run, told as it happens: one model that feeds progress, log and report alike.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oci::{Copied, DigestReference, Repository, Tag, TagReference};
use sigstore::Signatory;
use trust::Problem;
use trust::policy::Judgement;

/// The phases of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Manifests become edges.
    Setup,
    /// Registries are read, edges decided.
    Plan,
    /// Attestations of staging are verified.
    Provenance,
    /// Signatures of staging are verified.
    Validate,
    /// Images are copied and tagged.
    Promote,
    /// Images are signed.
    Sign,
    /// Promotion records are attached.
    Attest,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "setup",
            Self::Plan => "plan",
            Self::Provenance => "provenance",
            Self::Validate => "validate",
            Self::Promote => "promote",
            Self::Sign => "sign",
            Self::Attest => "attest",
        })
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A phase begins.
    Started(Phase),
    /// A phase is over.
    Ended {
        /// Which.
        phase: Phase,
        /// How long it took.
        elapsed: Duration,
    },
    /// A phase does nothing, and why.
    Skipped {
        /// Which.
        phase: Phase,
        /// Why, for a person.
        why: &'static str,
    },
    /// The phase has found more to do: so many units, of this kind.
    Work {
        /// What is done: `repositories`, `images`…
        units: &'static str,
        /// How many more.
        more: usize,
    },
    /// One unit is done.
    Worked,
    /// Something that a person should know, and that stops nothing.
    Warned(String),
    /// An image is wished that neither staging nor production has; it is skipped.
    Lost(String),
    /// A blob has arrived in a repository.
    Blob {
        /// Where.
        destination: Repository,
        /// Its size, in bytes.
        size: u64,
        /// Whether it was uploaded, rather than found or mounted.
        sent: bool,
    },
    /// An image can be pulled by a tag.
    Tagged(TagReference),
    /// An image, with all its tags, is in a repository.
    Promoted(Promotion, Copied),
    /// An image could not be brought to a repository.
    Failed(Promotion, Arc<oci::Error>),
    /// An image must not be brought to a repository, which was found out when others had been promoted; and why.
    Withheld(Promotion, String),
    /// It was found what is attached to an image in staging, and what that amounts to.
    Examined(Arc<Examination>),
    /// A manifest has got the signatures that it lacked.
    Signed(DigestReference),
    /// A manifest could not be signed, and why.
    Unsigned(DigestReference, Problem),
    /// An image has got its promotion record, and what else is attested of it.
    Recorded(DigestReference),
    /// An image could not be recorded, and why.
    Unrecorded(DigestReference, Problem),
}

/// What is attached to an image in staging, and what it amounts to.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The image.
    pub image: DigestReference,
    /// What became of it under its policy.
    pub judgement: Judgement,
    /// Whose signatures count, of those that it has.
    pub signed_by: Vec<Signatory>,
    /// Why its signatures do not count, where none does.
    pub refused: Vec<String>,
}

impl Examination {
    /// Whether anything was found, or asked for.
    pub fn is_worth_telling(&self) -> bool {
        let Judgement { mode, findings, violations, platforms, .. } = &self.judgement;
        let nothing = mode.is_none() && findings.is_empty() && violations.is_empty() && platforms.is_empty();
        !(nothing && self.signed_by.is_empty() && self.refused.is_empty())
    }

    /// Whether it may be promoted.
    pub fn passes(&self) -> bool {
        !self.judgement.blocks() && self.refused.is_empty()
    }
}

/// An image on its way to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Where it comes from.
    pub source: DigestReference,
    /// Where it goes.
    pub destination: Repository,
    /// The tags it gets there.
    pub tags: Vec<Tag>,
}

impl fmt::Display for Promotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)?;
        match self.tags.split_first() {
            None => Ok(()),
            Some((first, rest)) => {
                write!(f, ":{first}")?;
                rest.iter().try_for_each(|tag| write!(f, ", :{tag}"))
            }
        }
    }
}

/// Whoever wants to know what happens. It is told by many tasks at once and should be quick.
pub trait Observer: Send + Sync {
    /// Takes note of something.
    fn observe(&self, event: &Event);
}
