//! The rules of a policy.

use std::fmt;
use std::str::FromStr;

use super::signer::SignerPattern;
use super::source::{SourceRepository, URI_MAX};

/// The effect on an image that does not satisfy its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The image is promoted, and the violations are reported.
    Warn,
    /// The image is not promoted.
    Require,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warn => "warn",
            Self::Require => "require",
        })
    }
}

/// A level of the SLSA build track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuildLevel {
    /// Provenance exists.
    One = 1,
    /// A hosted builder generates and signs the provenance.
    Two,
    /// Builds cannot influence one another or the provenance.
    Three,
}

impl fmt::Display for BuildLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self as u8)
    }
}

/// The error for a text that is not a valid rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Not a level of the SLSA build track.
    #[error("`{}` is not a SLSA build level: expected 1, 2 or 3", super::shown(.0))]
    Level(String),
    /// Not a URI.
    #[error("`{}` is not a URI: expected at most 2048 characters of ASCII without spaces", super::shown(.0))]
    Uri(String),
}

impl FromStr for BuildLevel {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        match text {
            "1" => Ok(Self::One),
            "2" => Ok(Self::Two),
            "3" => Ok(Self::Three),
            _ => Err(InvalidRule::Level(text.to_owned())),
        }
    }
}

/// The identifier of a builder or of a predicate type. It is compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uri(String);

impl Uri {
    /// Returns the URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Uri {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let is_uri = !text.is_empty() && text.len() <= URI_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        if is_uri { Ok(Self(text.to_owned())) } else { Err(InvalidRule::Uri(text.to_owned())) }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A builder that a policy trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// The identifier. Without an `@` it also matches the builder at any ref.
    pub id: Uri,
    /// The level that the builder reaches. Provenance cannot prove it.
    pub level: BuildLevel,
    /// Indices of the policy's signers. Only these signers may claim the builder. If empty, the signers that no builder names
    /// may claim it.
    pub(super) signers: Vec<usize>,
}

impl Builder {
    /// Whether the identifier `claimed` in provenance names this builder.
    pub fn is(&self, claimed: &str) -> bool {
        let id = self.id.as_str();
        claimed == id || covers(id, claimed)
    }

    /// Whether the identifier is exactly `claimed`, including its ref.
    fn is_exactly(&self, claimed: &str) -> bool {
        self.id.as_str() == claimed
    }
}

/// Whether an identifier without a ref covers another that has one.
pub(super) fn covers(id: &str, other: &str) -> bool {
    !id.contains('@') && other.strip_prefix(id).is_some_and(|rest| rest.starts_with('@'))
}

/// The attestations that the images of a source need (specification 02, *Phases / Provenance*). A policy that is off is not a
/// `Policy`.
///
/// Two policies with the same rules are equal, regardless of the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) mode: Mode,
    pub(super) signers: Vec<SignerPattern>,
    pub(super) builders: Vec<Builder>,
    pub(super) sources: Vec<SourceRepository>,
    pub(super) predicate_types: Vec<Uri>,
    pub(super) level: Option<BuildLevel>,
}

impl Policy {
    /// Returns the effect on images that do not satisfy the policy. There is no mode for "off", because a policy that is off
    /// does not exist.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns the accepted signers.
    pub fn signers(&self) -> &[SignerPattern] {
        &self.signers
    }

    /// Returns the accepted builders.
    pub fn builders(&self) -> &[Builder] {
        &self.builders
    }

    /// Returns the accepted source repositories.
    pub fn sources(&self) -> &[SourceRepository] {
        &self.sources
    }

    /// Returns the predicate types that an image needs besides build provenance.
    pub fn predicate_types(&self) -> &[Uri] {
        &self.predicate_types
    }

    /// Returns the required level, 2 or 3. If `None`, the level of any accepted builder suffices.
    pub fn level(&self) -> Option<BuildLevel> {
        self.level
    }

    /// Whether the identity `subject` of the issuer `issuer` is one of the policy's signers.
    pub fn trusts(&self, issuer: &str, subject: &str) -> bool {
        self.signers.iter().any(|signer| signer.matches(issuer, subject))
    }

    /// Returns the builders that a signer may claim: those that name the signer or, if there are none, those that name no
    /// signer.
    fn claimable(&self, is_named: impl Fn(&SignerPattern) -> bool) -> Vec<&Builder> {
        let named =
            |builder: &&Builder| builder.signers.iter().any(|number| is_named(&self.signers[*number]));
        let bound: Vec<&Builder> = self.builders.iter().filter(named).collect();
        if !bound.is_empty() {
            return bound;
        }
        self.builders.iter().filter(|builder| builder.signers.is_empty()).collect()
    }

    /// Returns the builder `id` if the identity `subject` of the issuer `issuer` may claim it. If two builders match, the one
    /// with exactly this identifier wins.
    pub fn claimed(&self, issuer: &str, subject: &str, id: &str) -> Option<&Builder> {
        let claimable = self.claimable(|signer| signer.matches(issuer, subject));
        let meant = claimable.into_iter().filter(|builder| builder.is(id));
        meant.max_by_key(|builder| builder.is_exactly(id))
    }

    /// Returns the signers that may claim builders of different levels, each with the lowest and the highest level. The claim
    /// of such a signer alone decides which level an image reaches.
    pub fn undecided(&self) -> impl Iterator<Item = (&SignerPattern, BuildLevel, BuildLevel)> {
        self.signers.iter().filter_map(|signer| {
            let levels = || self.claimable(|other| other == signer).into_iter().map(|builder| builder.level);
            let (lowest, highest) = (levels().min()?, levels().max()?);
            (lowest < highest).then_some((signer, lowest, highest))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::draft::{BuilderSpec, PolicySpec};
    use super::*;

    const GOOGLE: &str = "sigstore::https://accounts.google.com::builder@p.iam.gserviceaccount.com";
    const GITHUB: &str = "sigstore(identityMatch=regex)::https://gh::https://github/org/.+";
    const ANYBODY: &str = "sigstore(identityMatch=regex)::.+::.+";

    fn builder(id: &str, level: BuildLevel, signers: &[&str]) -> BuilderSpec {
        let signers = signers.iter().map(|text| text.parse().unwrap()).collect();
        BuilderSpec { id: id.parse().unwrap(), level, signers }
    }

    fn draft(signers: &[&str], builders: Vec<BuilderSpec>) -> PolicySpec {
        PolicySpec {
            mode: Some(Mode::Require),
            signers: signers.iter().map(|text| text.parse().unwrap()).collect(),
            builders,
            sources: vec!["github.com/org/repo".parse().unwrap()],
            ..PolicySpec::default()
        }
    }

    fn policy(signers: &[&str], builders: Vec<BuilderSpec>) -> Policy {
        draft(signers, builders).into_policy().unwrap().unwrap()
    }

    #[test]
    fn a_builder_without_a_ref_matches_any_ref_and_one_with_a_ref_only_that() {
        let policy = policy(
            &[GOOGLE],
            vec![builder("h/x", BuildLevel::One, &[]), builder("h/y@v1", BuildLevel::One, &[])],
        );
        let is = |claimed: &str| policy.builders().iter().any(|builder| builder.is(claimed));
        for matching in ["h/x", "h/x@v1", "h/x@refs/heads/main", "h/x@", "h/y@v1"] {
            assert!(is(matching), "{matching}");
        }
        for other in [
            "h/x/z",
            "h/x2",
            "h/x2@v1",
            "h/x/../y@v1",
            "h",
            "H/x",
            " h/x",
            "h/y",
            "h/y@v2",
            "h/y@v1@v2",
            "h/y@v1.1",
            "",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn a_signer_named_by_builders_may_claim_only_these_and_other_signers_the_remaining_builders() {
        let named = builder("named", BuildLevel::Three, &[GOOGLE]);
        let policy = policy(&[GOOGLE, GITHUB], vec![named, builder("open", BuildLevel::One, &[])]);
        let google = ("https://accounts.google.com", "builder@p.iam.gserviceaccount.com");
        let github = ("https://gh", "https://github/org/workflow");
        for ((issuer, subject), id, may) in [
            (google, "named", true),
            (google, "named@v1", true),
            (google, "open", false),
            (github, "named", false),
            (github, "open", true),
        ] {
            assert_eq!(policy.claimed(issuer, subject, id).is_some(), may, "{subject}: {id}");
        }
    }

    #[test]
    fn an_identity_that_matches_several_signers_is_restricted_by_the_named_one() {
        let policy = policy(
            &[GOOGLE, ANYBODY],
            vec![builder("named", BuildLevel::One, &[GOOGLE]), builder("open", BuildLevel::Three, &[])],
        );
        let google = ("https://accounts.google.com", "builder@p.iam.gserviceaccount.com");
        assert!(
            policy.claimed(google.0, google.1, "named").is_some()
                && policy.claimed(google.0, google.1, "open").is_none()
        );
        assert!(policy.claimed("i", "s", "open").is_some());
    }

    #[test]
    fn of_two_matching_builders_the_one_with_the_ref_determines_the_level() {
        let at_ref = builder("h/x@v1", BuildLevel::One, &[]);
        let policy = policy(&[GOOGLE], vec![builder("h/x", BuildLevel::Three, &[]), at_ref]);
        let google = ("https://accounts.google.com", "builder@p.iam.gserviceaccount.com");
        let level = |id| policy.claimed(google.0, google.1, id).unwrap().level;
        assert_eq!((level("h/x@v1"), level("h/x@v2")), (BuildLevel::One, BuildLevel::Three));
    }

    #[test]
    fn policies_with_the_same_rules_are_equal() {
        let [x, y] =
            [builder("x", BuildLevel::One, &[GITHUB, GOOGLE]), builder("y", BuildLevel::Two, &[GOOGLE])];
        let [x2, y2] =
            [builder("x", BuildLevel::One, &[GOOGLE, GITHUB]), builder("y", BuildLevel::Two, &[GOOGLE])];
        let one = policy(&[GOOGLE, GITHUB], vec![x.clone(), y.clone()]);
        assert_eq!(one, policy(&[GITHUB, GOOGLE], vec![y2, x2]));
        let bound_otherwise = builder("y", BuildLevel::Two, &[GITHUB]);
        assert_ne!(one, policy(&[GOOGLE, GITHUB], vec![x.clone(), bound_otherwise]));
        let other_level = builder("y", BuildLevel::Three, &[GOOGLE]);
        assert_ne!(one, policy(&[GOOGLE, GITHUB], vec![x, other_level]));
        let as_pattern = "sigstore(identityMatch=regex)::a::b";
        let as_text = "sigstore::a::b";
        let open = || vec![builder("x", BuildLevel::One, &[])];
        assert_ne!(policy(&[as_pattern], open()), policy(&[as_text], open()));
    }
}
