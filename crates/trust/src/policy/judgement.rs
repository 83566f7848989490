//! The judgement of an image under its policy, with reasons: for reports, for messages, and for later attestations.

use std::fmt;

use manifest::policy::{BuildLevel, Mode};
use oci::{Digest, counted};
use sigstore::Signatory;

use super::predicate::InvalidPredicate;
use super::text::shown;

/// The maximum number of attestations of one digest in a message. The rest is counted.
const TOLD_MAX: usize = 20;

/// The judgement of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The digest of the image.
    pub digest: Digest,
    /// The effect of the policy on images that do not satisfy it. `None` if there is no policy.
    pub mode: Option<Mode>,
    /// The level that the image reaches by accepted provenance. `None` if the image does not satisfy the policy, or if there
    /// is no policy.
    pub level: Option<BuildLevel>,
    /// The findings about the attestations of the digest: those that verify, in their order, then those that do not, then
    /// those by others that cannot be verified.
    pub findings: Vec<Finding>,
    /// The reasons why the image does not pass. Empty if it passes.
    pub violations: Vec<Violation>,
    /// The judgements of an index's platforms, with their names, if the index was judged by them.
    pub platforms: Vec<(Option<String>, Judgement)>,
}

/// Identifies an attestation of an image. Other fields are texts for messages; this one is for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttestationId {
    /// The digest of the stored object: the content of the layer, or the manifest that refers to the image.
    pub digest: Digest,
    /// The index of the layer in the tag's manifest, from 0. `None` for a manifest that refers to the image.
    pub layer: Option<usize>,
}

/// A finding about an attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The attestation. `None` if it does not verify, because it is then never copied.
    pub id: Option<AttestationId>,
    /// The location.
    pub place: String,
    /// The predicate type, if it could be read.
    pub predicate_type: Option<String>,
    /// The signatory, if known.
    pub signatory: Option<Signatory>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict about an attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accepted(AcceptReason),
    /// It verifies, but no policy depends on it.
    Ignored,
    /// It is by another signer. It neither counts nor blocks the image.
    SomeoneElses(Outsider),
    /// It does not count.
    Refused(Reason),
}

/// The reason why an attestation counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptReason {
    /// Provenance that satisfies the policy.
    Provenance {
        /// The builder that the provenance names.
        builder: String,
        /// The source that the provenance names.
        source: String,
        /// The level that the policy assigns to the builder.
        level: BuildLevel,
    },
    /// Another attestation by one of the policy's signers.
    Signer,
    /// Provenance that verifies. There is no policy.
    Verified,
}

/// The reason why an attestation is someone else's (specification 02, *Who is someone else*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outsider {
    /// It verifies, but its signatory is not one of the policy's signers.
    Identity,
    /// The key is unknown, or the authority is not trusted. Holds the details.
    Unknown(String),
}

/// The reason why an attestation does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It does not verify, or it is not an attestation. Holds the details.
    Unverified(String),
    /// None of its subjects is the digest that it is attached to.
    OtherSubject,
    /// The predicate cannot be judged.
    Unusable(InvalidPredicate),
    /// The policy does not have the builder that it names.
    OtherBuilder(String),
    /// The policy has the builder that it names, but this signer may not claim it.
    OthersBuilder(String),
    /// The fields that its build type defines name no source.
    NoSource,
    /// The policy does not have the source that it names.
    OtherSource(String),
    /// The builder does not reach the required level.
    Level {
        /// The level that the policy assigns to the builder.
        reached: BuildLevel,
        /// The level that the policy requires.
        asked: BuildLevel,
    },
}

/// The reason why an image does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The image has no build provenance.
    NoProvenance,
    /// The image has build provenance, but none of it counts.
    ProvenanceRefused,
    /// The image has no accepted attestation of a required predicate type.
    NotAttested(String),
    /// Without a policy: an attestation is forged, malformed or about another subject.
    Forged,
    /// The index has no provenance and lists no platform.
    NoPlatform,
    /// Platforms of the index do not pass.
    Platforms {
        /// The number of platforms that do not pass.
        failed: usize,
        /// The number of all platforms.
        all: usize,
    },
    /// The indexes are nested too deep.
    TooDeep,
}

impl Judgement {
    /// Whether the image satisfies its policy or, without a policy, has no forged attestation.
    pub fn is_satisfied(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether the image must not be promoted. Without a policy, a forged attestation blocks the image.
    pub fn blocks(&self) -> bool {
        !self.is_satisfied() && self.mode != Some(Mode::Warn)
    }

    /// Whether an index passes because each of its platforms passes.
    pub fn is_by_platforms(&self) -> bool {
        self.is_satisfied() && !self.platforms.is_empty()
    }

    /// Returns the judgement of a part of the image. If several indexes list the part, returns the worst of its judgements. A
    /// part without its own judgement inherits that of the whole image, which is never better than that of the index that
    /// lists the part: a part of a failed index has not passed (specification 02, *One gate*).
    pub fn of_part(&self, digest: &Digest) -> &Self {
        self.worst_of(digest).unwrap_or(self)
    }

    /// Returns the worst of the judgements about a digest, including this one.
    fn worst_of(&self, digest: &Digest) -> Option<&Self> {
        if self.digest == *digest {
            return Some(self);
        }
        let of_platforms = self.platforms.iter().filter_map(|(_, platform)| platform.worst_of(digest));
        of_platforms.min_by_key(|judgement| (judgement.is_satisfied(), judgement.level))
    }

    /// Returns the accepted findings about the digest itself. Each platform has its own.
    pub fn accepted(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Accepted(_)))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, name: Option<&str>, indent: usize) -> fmt::Result {
        let result = match (self.is_satisfied(), self.level) {
            (true, Some(level)) => format!("passes, SLSA build level {level}"),
            (true, None) => "passes".to_owned(),
            (false, _) => self.violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        // The image itself is named before this text.
        match (indent, name) {
            (0, None) => f.write_str(&result)?,
            (_, None) => write!(f, "{:indent$}{}: {result}", "", self.digest)?,
            (_, Some(name)) => write!(f, "{:indent$}{} ({}): {result}", "", self.digest, shown(name))?,
        }
        let below = indent + 2;
        for finding in self.findings.iter().take(TOLD_MAX) {
            write!(f, "\n{:below$}{finding}", "")?;
        }
        if self.findings.len() > TOLD_MAX {
            write!(f, "\n{:below$}and {} more", "", self.findings.len() - TOLD_MAX)?;
        }
        for (name, platform) in &self.platforms {
            f.write_str("\n")?;
            platform.write(f, name.as_deref(), below)?;
        }
        Ok(())
    }
}

/// Writes the result, followed by each attestation and each platform on an indented line. The digest is left to the caller.
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, None, 0)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let predicate_type = self.predicate_type.as_deref().unwrap_or("an attestation of unknown type");
        write!(f, "{} at {}", shown(predicate_type), shown(&self.place))?;
        if let Some(signatory) = &self.signatory {
            write!(f, ", signed by {}", shown(&signatory.to_string()))?;
        }
        write!(f, ": {}", self.verdict)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(reason) => write!(f, "accepted, {reason}"),
            Self::Ignored => f.write_str("ignored, no policy requires it"),
            Self::SomeoneElses(outsider) => write!(f, "ignored, {outsider}"),
            Self::Refused(reason) => write!(f, "refused, {reason}"),
        }
    }
}

impl fmt::Display for AcceptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provenance { builder, source, level } => {
                write!(f, "built by {} from {}, level {level}", shown(builder), shown(source))
            }
            Self::Signer => f.write_str("by one of the policy's signers"),
            Self::Verified => f.write_str("it verifies"),
        }
    }
}

impl fmt::Display for Outsider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("this is not one of the policy's signers"),
            Self::Unknown(why) => write!(f, "it is someone else's: {}", shown(why)),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified(why) => write!(f, "it does not verify: {}", shown(why)),
            Self::OtherSubject => f.write_str("it is not about the image that it is attached to"),
            Self::Unusable(why) => write!(f, "{why}"),
            Self::OtherBuilder(id) => write!(f, "the builder {} is not one of the policy's", shown(id)),
            Self::OthersBuilder(id) => {
                write!(f, "the policy does not let this signer claim the builder {}", shown(id))
            }
            Self::NoSource => f.write_str("it names no source where its build type defines one"),
            Self::OtherSource(uri) => write!(f, "the source {} is not one of the policy's", shown(uri)),
            Self::Level { reached, asked } => {
                write!(f, "its builder reaches level {reached}, but the policy requires {asked}")
            }
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProvenance => f.write_str("it has no SLSA provenance"),
            Self::ProvenanceRefused => f.write_str("none of its SLSA provenance counts"),
            Self::NotAttested(name) => {
                write!(f, "no attestation of the type {} by one of the policy's signers", shown(name))
            }
            Self::Forged => f.write_str("an attestation of it is forged, malformed or about something else"),
            Self::NoPlatform => f.write_str("an index without SLSA provenance that lists no platform"),
            Self::Platforms { failed, all } => {
                let verb = if *failed == 1 { "does" } else { "do" };
                write!(f, "{failed} of its {} {verb} not pass", counted(*all, "platform"))
            }
            Self::TooDeep => f.write_str("its indexes are nested too deep"),
        }
    }
}
