//! The events of a run. Progress display, log and report all consume the same events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oci::{Copied, DigestReference, Host, Repository, Tag, TagReference};
use sigstore::Signatory;
use trust::Problem;
use trust::policy::Judgement;
use trust::scan::Vulnerabilities;

/// The phases of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Expands manifests to edges.
    Setup,
    /// Reads registries and decides edges.
    Plan,
    /// Verifies the attestations of staging images.
    Provenance,
    /// Checks the vulnerabilities of staging images.
    Scan,
    /// Verifies the signatures of staging images.
    Validate,
    /// Copies and tags images.
    Promote,
    /// Signs images.
    Sign,
    /// Attaches promotion records.
    Attest,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "setup",
            Self::Plan => "plan",
            Self::Provenance => "provenance",
            Self::Scan => "scan",
            Self::Validate => "validate",
            Self::Promote => "promote",
            Self::Sign => "sign",
            Self::Attest => "attest",
        })
    }
}

/// An event of a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// A phase has started.
    Started(Phase),
    /// A phase has ended.
    Ended {
        /// The phase.
        phase: Phase,
        /// How long it took.
        elapsed: Duration,
    },
    /// A phase was skipped.
    Skipped {
        /// The phase.
        phase: Phase,
        /// The reason, as text for the user.
        why: &'static str,
    },
    /// The phase has found more work.
    Work {
        /// The unit of the work: `repositories`, `images`…
        units: &'static str,
        /// The number of additional units.
        more: usize,
    },
    /// One unit of work is done.
    Worked,
    /// A warning. The run continues.
    Warned(String),
    /// A requested image is in neither staging nor production. It is skipped.
    Lost(String),
    /// Images are about to be promoted to a host, each of them to one repository.
    ToPromote {
        /// The host.
        host: Host,
        /// The number of images, counted once per repository.
        images: usize,
        /// The size of the blobs that their repositories may lack. [`Event::Blob`] reports each of them.
        bytes: u64,
    },
    /// A blob is now in a repository.
    Blob {
        /// The repository.
        destination: Repository,
        /// The size of the blob, in bytes.
        size: u64,
        /// Whether the blob was uploaded, rather than found or mounted.
        sent: bool,
    },
    /// An image can now be pulled by this tag.
    Tagged(TagReference),
    /// The promotion of an image to a repository begins, or begins again.
    Begun(Promotion),
    /// An image, with all its tags, is now in a repository.
    Promoted(Promotion, Copied),
    /// An image could not be promoted to a repository.
    Failed(Promotion, Arc<oci::Error>),
    /// An image must not be promoted to a repository, with the reason. This was determined after other images had been
    /// promoted.
    Withheld(Promotion, String),
    /// The evidence attached to a staging image was examined.
    Examined(Arc<Examination>),
    /// A staging image was scanned for vulnerabilities, or could not be.
    Scanned(Arc<ScannedImage>),
    /// A manifest received the signatures that were missing.
    Signed(DigestReference),
    /// A manifest could not be signed, with the reason.
    Unsigned(DigestReference, Problem),
    /// An image received its promotion record and the other attestations that were missing.
    Recorded(DigestReference),
    /// The promotion record of an image could not be attached, with the reason.
    Unrecorded(DigestReference, Problem),
}

/// The evidence attached to a staging image, and its assessment.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The image.
    pub image: DigestReference,
    /// The judgement of the image under its policy.
    pub judgement: Judgement,
    /// The signers whose signatures of the image are accepted.
    pub signed_by: Vec<Signatory>,
    /// The reasons why signatures of the image are not accepted, if none is.
    pub refused: Vec<String>,
}

impl Examination {
    /// Returns whether there is anything to report: something is attached, or a policy requires something.
    pub fn is_worth_telling(&self) -> bool {
        let Judgement { mode, findings, violations, platforms, .. } = &self.judgement;
        let nothing = mode.is_none() && findings.is_empty() && violations.is_empty() && platforms.is_empty();
        !(nothing && self.signed_by.is_empty() && self.refused.is_empty())
    }

    /// Returns whether the image may be promoted.
    pub fn passes(&self) -> bool {
        !self.judgement.blocks() && self.refused.is_empty()
    }
}

/// A staging image that was scanned for vulnerabilities.
#[derive(Clone, Debug)]
pub struct ScannedImage {
    /// The image.
    pub image: DigestReference,
    /// The result, or why a scanner or a registry could not return one.
    pub result: Result<Arc<Vulnerabilities>, String>,
}

impl ScannedImage {
    /// Returns whether the image passes the vulnerability gate.
    pub fn passes(&self) -> bool {
        self.result.as_ref().is_ok_and(|vulnerabilities| vulnerabilities.passes())
    }
}

/// The promotion of an image to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// The image in staging.
    pub source: DigestReference,
    /// The destination repository.
    pub destination: Repository,
    /// The tags that the image receives there.
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

/// A run that promotes images.
pub type Run = run::Run<Event>;

impl run::Event for Event {
    type Phase = Phase;

    fn started(phase: Phase) -> Self {
        Self::Started(phase)
    }

    fn ended(phase: Phase, elapsed: Duration) -> Self {
        Self::Ended { phase, elapsed }
    }
}
