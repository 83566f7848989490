//! What became of an image under its policy, and why: for the report, for a person, and for what is attested afterwards.

use std::fmt;

use manifest::policy::{BuildLevel, Mode};
use oci::Digest;
use sigstore::Signatory;

use super::predicate::InvalidPredicate;
use super::text::shown;

/// The most attestations of one digest that are told of; the rest is counted.
const TOLD_MAX: usize = 20;

/// What was found about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The digest that it is about.
    pub digest: Digest,
    /// What the policy does with what does not satisfy it; none: there is no policy.
    pub mode: Option<Mode>,
    /// The level that the image reaches by accepted provenance; none: not satisfied, or without policy.
    pub level: Option<BuildLevel>,
    /// What was found about each attestation of the digest: those that verify, in their order, then those that do not, then
    /// those of others that cannot be verified here.
    pub findings: Vec<Finding>,
    /// Why the image does not pass; none: it does.
    pub violations: Vec<Violation>,
    /// What was found about the platforms of an index, with their names, where it was judged by them.
    pub platforms: Vec<(Option<String>, Judgement)>,
}

/// Which attestation of an image something is about. Texts are for people; this is for comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttestationId {
    /// The digest of what is stored: of the layer's content, or of the manifest that refers to the image.
    pub digest: Digest,
    /// Which layer of the tag it is, from 0; none: it is a manifest that refers to the image.
    pub layer: Option<usize>,
}

/// What was found about an attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which attestation it is about; none for what does not verify, which nobody carries.
    pub id: Option<AttestationId>,
    /// Where it stands.
    pub place: String,
    /// The type of its predicate, where it could be read.
    pub predicate_type: Option<String>,
    /// Who has signed it; none: nobody knows.
    pub signatory: Option<Signatory>,
    /// What it is worth.
    pub verdict: Verdict,
}

/// What an attestation is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accepted(AcceptReason),
    /// It verifies, and nothing depends on it.
    Ignored,
    /// It is someone else's, who is neither believed nor held against the image.
    SomeoneElses(Outsider),
    /// It does not count.
    Refused(Reason),
}

/// Why an attestation counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptReason {
    /// Provenance as the policy asks for it.
    Provenance {
        /// The builder, as it is claimed.
        builder: String,
        /// The source, as it is claimed.
        source: String,
        /// The level that the policy gives the builder.
        level: BuildLevel,
    },
    /// Another attestation by one of the policy's signers.
    Signer,
    /// Provenance that verifies, where there is no policy.
    Verified,
}

/// Why an attestation is someone else's (specification 02, *Who is someone else*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outsider {
    /// It verifies, and who has signed it is none of the policy's signers.
    Identity,
    /// It is signed with a key that is not held, or under an authority that is not trusted: what was found.
    Unknown(String),
}

/// Why an attestation does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It does not verify, or is none: what is wrong with it.
    Unverified(String),
    /// None of its subjects is the digest that it is attached to.
    OtherSubject,
    /// It says nothing that can be judged.
    Unusable(InvalidPredicate),
    /// The builder that it names is none of the policy's.
    OtherBuilder(String),
    /// The builder that it names is the policy's, and not for this signer to claim.
    OthersBuilder(String),
    /// Nothing that the type of its build defines names its source.
    NoSource,
    /// The source that it names is none of the policy's.
    OtherSource(String),
    /// The builder does not reach the level.
    Level {
        /// The level that the policy gives the builder.
        reached: BuildLevel,
        /// The level that the policy asks for.
        asked: BuildLevel,
    },
}

/// Why an image does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Nobody says how it was built.
    NoProvenance,
    /// None of what is said about how it was built counts.
    ProvenanceRefused,
    /// A predicate type that must be attested is not, or by nobody whose word counts.
    NotAttested(String),
    /// Without a policy: an attestation is forged, malformed or about something else.
    Forged,
    /// An index without provenance that lists no platform.
    NoPlatform,
    /// Platforms of an index that do not pass.
    Platforms {
        /// How many do not.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// Indexes are nested deeper than anybody nests them.
    TooDeep,
}

impl Judgement {
    /// Whether the image satisfies its policy or, without one, nothing about it is forged.
    pub fn is_satisfied(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether the image must not be promoted. Without a policy, what is forged blocks.
    pub fn blocks(&self) -> bool {
        !self.is_satisfied() && self.mode != Some(Mode::Warn)
    }

    /// Whether an index passes because each of its platforms does.
    pub fn is_by_platforms(&self) -> bool {
        self.is_satisfied() && !self.platforms.is_empty()
    }

    /// What became of a part of the image: its own judgement where it has one, the worse where several indexes list it. A part
    /// that was not judged by itself inherits what became of the whole, which is never better than what became of the index
    /// that lists it: a part of what failed has not passed (specification 02, *One gate*).
    pub fn of_part(&self, digest: &Digest) -> &Self {
        self.worst_of(digest).unwrap_or(self)
    }

    /// The worst of the judgements about a digest, this one included.
    fn worst_of(&self, digest: &Digest) -> Option<&Self> {
        if self.digest == *digest {
            return Some(self);
        }
        let of_platforms = self.platforms.iter().filter_map(|(_, platform)| platform.worst_of(digest));
        of_platforms.min_by_key(|judgement| (judgement.is_satisfied(), judgement.level))
    }

    /// What counts of the attestations of the digest itself; each platform has its own.
    pub fn accepted(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Accepted(_)))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, name: Option<&str>, indent: usize) -> fmt::Result {
        let result = match (self.is_satisfied(), self.level) {
            (true, Some(level)) => format!("passes, SLSA build level {level}"),
            (true, None) => "passes".to_owned(),
            (false, _) => self.violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        let name = name.map(|name| format!(" ({})", shown(name))).unwrap_or_default();
        write!(f, "{:indent$}{}{name}: {result}", "", self.digest)?;
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

/// The digest and what became of it; below it, indented, each attestation and each platform.
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
            Self::Ignored => f.write_str("ignored, no policy asks for it"),
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
            Self::Identity => f.write_str("this is none of the policy's signers"),
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
            Self::OtherBuilder(id) => write!(f, "the builder {} is none of the policy's", shown(id)),
            Self::OthersBuilder(id) => {
                write!(f, "the policy does not let this signer claim the builder {}", shown(id))
            }
            Self::NoSource => f.write_str("it names no source, by what the type of its build defines"),
            Self::OtherSource(uri) => write!(f, "the source {} is none of the policy's", shown(uri)),
            Self::Level { reached, asked } => {
                write!(f, "its builder reaches level {reached}, and the policy asks for {asked}")
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
            Self::Platforms { failed, all } => write!(f, "{failed} of its {all} platforms do not pass"),
            Self::TooDeep => f.write_str("its indexes are nested too deep"),
        }
    }
}
