//! A policy as it is written, and the checks that it must pass.

use std::fmt;

use super::rules::{BuildLevel, Builder, Mode, Policy, Uri, covers};
use super::signer::SignerPattern;
use super::source::SourceRepository;

/// The maximum number of entries in one list of a policy.
pub(crate) const ENTRIES_MAX: usize = 100;

/// A policy as it is written, before validation.
#[derive(Clone, Debug, Default)]
pub struct PolicySpec {
    /// The effect on images that do not satisfy the policy. `None` if the policy is off.
    pub mode: Option<Mode>,
    /// The accepted signers.
    pub signers: Vec<SignerPattern>,
    /// The accepted builders.
    pub builders: Vec<BuilderSpec>,
    /// The accepted source repositories.
    pub sources: Vec<SourceRepository>,
    /// The predicate types that an image needs besides build provenance.
    pub predicate_types: Vec<Uri>,
    /// The required level.
    pub level: Option<BuildLevel>,
}

/// A builder as it is written.
#[derive(Clone, Debug)]
pub struct BuilderSpec {
    /// The identifier.
    pub id: Uri,
    /// The level that the builder reaches.
    pub level: BuildLevel,
    /// The only signers that may claim the builder. Each must be a signer of the policy.
    pub signers: Vec<SignerPattern>,
}

/// A field of a policy, by its index in the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyField {
    /// All signers.
    Signers,
    /// One signer.
    Signer(usize),
    /// All builders.
    Builders,
    /// One builder.
    Builder(usize),
    /// One signer of one builder: the indices of the builder and of the signer.
    BuilderSigner(usize, usize),
    /// All sources.
    Sources,
    /// One source.
    Source(usize),
    /// All predicate types.
    PredicateTypes,
    /// One predicate type.
    PredicateType(usize),
    /// The level.
    Level,
}

/// A field that no policy may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The field.
    pub part: PolicyField,
    /// The problem with it.
    pub problem: Problem,
}

/// A problem with a field of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A field that an enabled policy needs is missing or empty.
    #[error("`{field}` is missing or empty: with `mode: {mode}` no image could satisfy the policy")]
    Missing {
        /// The field.
        field: &'static str,
        /// The mode.
        mode: Mode,
    },
    /// A list has too many entries.
    #[error("`{0}` has more than {ENTRIES_MAX} entries")]
    TooMany(&'static str),
    /// An entry is repeated.
    #[error("`{0}` is listed twice")]
    Twice(String),
    /// A builder names a signer that the policy does not have.
    #[error("{0} is not among the policy's `signers`")]
    UnknownSigner(String),
    /// Two builders cover the same identifier, and only one of them restricts its signers. The other would let any signer
    /// claim it.
    #[error("this builder and `{0}` are the same at some ref, and only one of them has `signers`")]
    Overlap(String),
    /// No signer may claim a builder.
    #[error(
        "no signer may claim this builder: it names no `signers`, and other builders name all signers of the policy"
    )]
    Unclaimable,
    /// Every policy requires level 1, so a policy may not list it.
    #[error(
        "a policy's `level` must be 2 or 3: every policy already requires provenance by a trusted \
     builder"
    )]
    LevelOne,
    /// No builder reaches the required level.
    #[error("no builder of this policy reaches level {asked}: the highest is {highest}")]
    Unreached {
        /// The required level.
        asked: BuildLevel,
        /// The highest level of a builder.
        highest: BuildLevel,
    },
}

impl PolicySpec {
    /// Returns the policy, or `None` if it is off.
    ///
    /// # Errors
    /// If a field is invalid, even if the policy is off: returns all problems.
    pub fn into_policy(self) -> Result<Option<Policy>, Vec<PolicyError>> {
        let mut flaws = Vec::new();
        self.check_lists(&mut flaws);
        self.check_builders(&mut flaws);
        self.check_level(&mut flaws);
        if !flaws.is_empty() {
            return Err(flaws);
        }
        Ok(self.mode.map(|mode| self.with_mode(mode)))
    }

    fn check_lists(&self, flaws: &mut Vec<PolicyError>) {
        let lists = [
            (PolicyField::Signers, "signers", self.signers.len(), true),
            (PolicyField::Builders, "builders", self.builders.len(), true),
            (PolicyField::Sources, "sources", self.sources.len(), true),
            (PolicyField::PredicateTypes, "predicateTypes", self.predicate_types.len(), false),
        ];
        for (part, field, length, is_needed) in lists {
            match self.mode {
                Some(mode) if is_needed && length == 0 => {
                    flaws.push(PolicyError { part, problem: Problem::Missing { field, mode } });
                }
                _ if length > ENTRIES_MAX => {
                    flaws.push(PolicyError { part, problem: Problem::TooMany(field) });
                }
                _ => {}
            }
        }
        // The search for duplicates is quadratic, so it needs bounded lists.
        if flaws.is_empty() {
            let ids: Vec<&Uri> = self.builders.iter().map(|builder| &builder.id).collect();
            find_repeated(&self.signers, PolicyField::Signer, flaws);
            find_repeated(&ids, PolicyField::Builder, flaws);
            find_repeated(&self.sources, PolicyField::Source, flaws);
            find_repeated(&self.predicate_types, PolicyField::PredicateType, flaws);
        }
    }

    fn check_builders(&self, flaws: &mut Vec<PolicyError>) {
        if self.signers.len().max(self.builders.len()) > ENTRIES_MAX {
            return;
        }
        for (index, builder) in self.builders.iter().enumerate() {
            if builder.signers.len() > ENTRIES_MAX {
                flaws.push(PolicyError {
                    part: PolicyField::Builder(index),
                    problem: Problem::TooMany("signers"),
                });
                continue;
            }
            for (number, signer) in builder.signers.iter().enumerate() {
                if !self.signers.contains(signer) {
                    let part = PolicyField::BuilderSigner(index, number);
                    flaws.push(PolicyError {
                        part,
                        problem: Problem::UnknownSigner(super::shown(&signer.to_string())),
                    });
                }
            }
            find_repeated(&builder.signers, |number| PolicyField::BuilderSigner(index, number), flaws);
            let problem = self.builders[..index]
                .iter()
                .filter(|other| other.signers.is_empty() != builder.signers.is_empty())
                .find(|other| {
                    let (one, another) = (builder.id.as_str(), other.id.as_str());
                    covers(one, another) || covers(another, one)
                })
                .map(|other| Problem::Overlap(super::shown(other.id.as_str())));
            flaws.extend(problem.map(|problem| PolicyError { part: PolicyField::Builder(index), problem }));
        }
        let is_bound =
            |signer| self.builders.iter().any(|builder: &BuilderSpec| builder.signers.contains(signer));
        if !self.signers.is_empty() && self.signers.iter().all(is_bound) {
            let unclaimed =
                self.builders.iter().enumerate().filter(|(_, builder)| builder.signers.is_empty());
            flaws.extend(unclaimed.map(|(index, _)| PolicyError {
                part: PolicyField::Builder(index),
                problem: Problem::Unclaimable,
            }));
        }
    }

    fn check_level(&self, flaws: &mut Vec<PolicyError>) {
        let highest = self.builders.iter().map(|builder| builder.level).max();
        let problem = match (self.level, highest) {
            (Some(BuildLevel::One), _) => Problem::LevelOne,
            (Some(asked), Some(highest)) if asked > highest => Problem::Unreached { asked, highest },
            _ => return,
        };
        flaws.push(PolicyError { part: PolicyField::Level, problem });
    }

    /// Converts a valid draft to a policy. All lists are sorted, so that equal policies compare as equal.
    fn with_mode(self, mode: Mode) -> Policy {
        let Self { mut signers, builders, mut sources, mut predicate_types, level, .. } = self;
        signers.sort_by_cached_key(written);
        let number = |signer: &SignerPattern| signers.iter().position(|other| other == signer);
        let mut builders: Vec<Builder> = builders
            .into_iter()
            .map(|BuilderSpec { id, level, signers }| {
                let mut signers: Vec<usize> = signers.iter().filter_map(number).collect();
                signers.sort_unstable();
                Builder { id, level, signers }
            })
            .collect();
        builders.sort_by(|a, b| a.id.cmp(&b.id));
        sources.sort();
        predicate_types.sort();
        Policy { mode, signers, builders, sources, predicate_types, level }
    }
}

/// Returns the sort key of a signer: its patterns as they are written.
fn written(signer: &SignerPattern) -> (String, String) {
    (signer.issuer.to_string(), signer.subject.to_string())
}

fn find_repeated<T: PartialEq + fmt::Display>(
    items: &[T],
    part: impl Fn(usize) -> PolicyField,
    flaws: &mut Vec<PolicyError>,
) {
    for (index, item) in items.iter().enumerate() {
        if items[..index].contains(item) {
            let problem = Problem::Twice(super::shown(&item.to_string()));
            flaws.push(PolicyError { part: part(index), problem });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOGLE: &str = "sigstore::https://accounts.google.com::builder@p.iam.gserviceaccount.com";
    const GITHUB: &str = "sigstore(identityMatch=regex)::https://gh::https://github/org/.+";

    fn builder(id: &str, signers: &[&str]) -> BuilderSpec {
        let signers = signers.iter().map(|text| text.parse().unwrap()).collect();
        BuilderSpec { id: id.parse().unwrap(), level: BuildLevel::One, signers }
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

    #[test]
    fn a_builder_open_to_any_signer_must_not_overlap_one_that_restricts_its_signers() {
        let pairs = [("x", "x@v1"), ("x@v1", "x")];
        for (bound, open) in pairs {
            let builders = vec![builder(bound, &[GOOGLE]), builder(open, &[])];
            let flaws = draft(&[GOOGLE, GITHUB], builders).into_policy().unwrap_err();
            assert_eq!(
                flaws,
                [PolicyError { part: PolicyField::Builder(1), problem: Problem::Overlap(bound.to_owned()) }]
            );
        }
        let apart = vec![builder("x@v1", &[GOOGLE]), builder("x@v2", &[])];
        assert!(draft(&[GOOGLE, GITHUB], apart).into_policy().is_ok());
    }

    #[test]
    fn lists_are_bounded_without_a_manifest_too() {
        let many = |count: usize| (0..count).map(|n| builder(&format!("b{n}"), &[])).collect();
        assert!(draft(&[GOOGLE], many(ENTRIES_MAX)).into_policy().is_ok());
        let flaws = draft(&[GOOGLE], many(ENTRIES_MAX + 1)).into_policy().unwrap_err();
        assert_eq!(
            flaws,
            [PolicyError { part: PolicyField::Builders, problem: Problem::TooMany("builders") }]
        );
        let bound = builder("b", &[GOOGLE; ENTRIES_MAX + 1]);
        let flaws = draft(&[GOOGLE], vec![bound]).into_policy().unwrap_err();
        assert_eq!(
            flaws,
            [PolicyError { part: PolicyField::Builder(0), problem: Problem::TooMany("signers") }]
        );
    }
}
