//! The policies of a run, and which of them applies to a repository.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use oci_types::{Digest, Host, RegistryRoot, Repository};

use super::rules::{Mode, Policy};

/// The policies of a run, by source.
///
/// A policy applies to the repositories below its source. If sources nest, the nearest policy applies. A source without a policy
/// does not weaken a policy above it. Below a source whose policy has mode `require`, no other policy is allowed.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    by_source: HashMap<String, Arc<Policy>>,
    /// The files that declare the policies.
    files: HashMap<String, Arc<str>>,
}

/// Two sources whose declared policies contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyConflict {
    /// The index of the declaration that takes effect.
    pub first: usize,
    /// The index of the declaration that contradicts it.
    pub second: usize,
    /// How the two sources are related.
    pub relation: Relation,
}

/// How the sources of two declarations are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The sources are the same, and a source has one policy.
    Same,
    /// The second source is below the first, and would replace a required policy.
    Below,
}

impl Policies {
    /// Joins the declared policies. A source occurs once for each manifest that reads from it. `None` means that the policy
    /// is off.
    ///
    /// # Errors
    /// If declarations contradict each other: returns all conflicts.
    pub fn new(declared: &[(&RegistryRoot, Option<Arc<Policy>>)]) -> Result<Self, Vec<PolicyConflict>> {
        if declared.iter().all(|(_, policy)| policy.is_none()) {
            return Ok(Self::default());
        }
        let names: Vec<String> =
            declared.iter().map(|(root, _)| place_name(&root.host, root.prefix.as_ref())).collect();
        let mut first_of: HashMap<&str, usize> = HashMap::new();
        let mut conflicts = Vec::new();
        for (second, name) in names.iter().enumerate() {
            let first = *first_of.entry(name).or_insert(second);
            if declared[first].1 != declared[second].1 {
                conflicts.push(PolicyConflict { first, second, relation: Relation::Same });
            }
        }
        for (name, second) in &first_of {
            let Some(policy) = &declared[*second].1 else { continue };
            let replaced = above(name).filter_map(|name| first_of.get(name)).find(|first| {
                let required = declared[**first].1.as_ref();
                required.is_some_and(|required| required.mode() == Mode::Require && required != policy)
            });
            conflicts.extend(replaced.map(|first| PolicyConflict {
                first: *first,
                second: *second,
                relation: Relation::Below,
            }));
        }
        if !conflicts.is_empty() {
            conflicts.sort_by_key(|conflict| (conflict.second, conflict.first));
            return Err(conflicts);
        }
        let enabled = names.into_iter().zip(declared);
        let by_source = enabled.filter_map(|(name, (_, policy))| Some((name, policy.clone()?))).collect();
        Ok(Self { by_source, files: HashMap::new() })
    }

    /// Adds the files that declare the policies.
    #[must_use]
    pub fn with_files<'a>(self, files: impl IntoIterator<Item = (&'a RegistryRoot, Arc<str>)>) -> Self {
        let named =
            files.into_iter().map(|(root, file)| (place_name(&root.host, root.prefix.as_ref()), file));
        let files = named.filter(|(name, _)| self.by_source.contains_key(name)).collect();
        Self { files, ..self }
    }

    /// Returns the file that declares the policy of a source repository.
    pub fn file_of(&self, repository: &Repository) -> Option<&str> {
        let name = place_name(&repository.host, Some(&repository.path));
        let declares = |name: &str| self.by_source.contains_key(name);
        let declared = std::iter::once(name.as_str()).chain(above(&name)).find(|name| declares(name))?;
        self.files.get(declared).map(|file| &**file)
    }

    /// Returns the policy of a source repository.
    pub fn of(&self, repository: &Repository) -> Option<&Policy> {
        if self.by_source.is_empty() {
            return None;
        }
        let name = place_name(&repository.host, Some(&repository.path));
        std::iter::once(name.as_str())
            .chain(above(&name))
            .find_map(|name| self.by_source.get(name))
            .map(|policy| &**policy)
    }

    /// Returns the digest of all policies, or `None` if there are none.
    pub fn fingerprint(&self) -> Option<Digest> {
        let sorted: BTreeMap<&String, &Arc<Policy>> = self.by_source.iter().collect();
        (!sorted.is_empty()).then(|| Digest::of(format!("{sorted:?}").as_bytes()))
    }

    /// Whether no source has a policy.
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty()
    }
}

/// The name of a registry or of a path in it. All spellings of a registry have the same name, so that another spelling cannot
/// evade a policy.
pub fn place_name(host: &Host, path: Option<&impl fmt::Display>) -> String {
    let host = host.api();
    let host = host.strip_suffix(":443").unwrap_or(host);
    path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))
}

/// The names of the parent paths, the nearest first.
fn above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.rsplit_once('/').map(|(above, _)| above), |name| {
        name.rsplit_once('/').map(|(above, _)| above)
    })
}

#[cfg(test)]
mod tests {
    use super::super::draft::{BuilderSpec, PolicySpec};
    use super::super::rules::BuildLevel;
    use super::*;

    /// A policy that differs from others by its builder.
    fn policy(mode: Mode, builder: &str) -> Option<Arc<Policy>> {
        let builder =
            BuilderSpec { id: builder.parse().unwrap(), level: BuildLevel::One, signers: Vec::new() };
        let draft = PolicySpec {
            mode: Some(mode),
            signers: vec!["sigstore::i::s".parse().unwrap()],
            builders: vec![builder],
            sources: vec!["github.com/o/r".parse().unwrap()],
            ..PolicySpec::default()
        };
        draft.into_policy().unwrap().map(Arc::new)
    }

    fn join(declared: &[(&str, Option<Arc<Policy>>)]) -> Result<Policies, Vec<PolicyConflict>> {
        let roots: Vec<RegistryRoot> = declared.iter().map(|(root, _)| root.parse().unwrap()).collect();
        let declared: Vec<_> =
            roots.iter().zip(declared).map(|(root, (_, policy))| (root, policy.clone())).collect();
        Policies::new(&declared)
    }

    /// Returns the builder of the policy that applies to a repository.
    fn held(policies: &Policies, repository: &str) -> Option<String> {
        policies.of(&repository.parse().unwrap()).map(|policy| policy.builders()[0].id.to_string())
    }

    #[test]
    fn a_policy_applies_to_its_source_and_below_and_nowhere_else() {
        let policies = join(&[("gcr.io/a", policy(Mode::Require, "x"))]).unwrap();
        for below in ["gcr.io/a", "gcr.io/a/b", "gcr.io/a/b/c/d", "GCR.io/a/b"] {
            assert_eq!(held(&policies, below).as_deref(), Some("x"), "{below}");
        }
        for elsewhere in ["gcr.io/ab", "gcr.io/b/a", "gcr.io/b", "eu.gcr.io/a/b", "gcr.io:5000/a/b"] {
            assert_eq!(held(&policies, elsewhere), None, "{elsewhere}");
        }
        let everywhere = join(&[("gcr.io", policy(Mode::Warn, "x"))]).unwrap();
        assert_eq!(held(&everywhere, "gcr.io/a/b").as_deref(), Some("x"));
    }

    #[test]
    fn a_policy_cannot_be_evaded_by_another_spelling_of_its_registry() {
        let policies =
            join(&[("docker.io/org", policy(Mode::Require, "x")), ("gcr.io/a", policy(Mode::Require, "y"))])
                .unwrap();
        assert_eq!(held(&policies, "index.docker.io/org/app").as_deref(), Some("x"));
        assert_eq!(held(&policies, "registry-1.docker.io/org/app").as_deref(), Some("x"));
        assert_eq!(held(&policies, "gcr.io:443/a/app").as_deref(), Some("y"));
        let spelled = join(&[("docker.io/org", policy(Mode::Require, "x")), ("index.docker.io/org", None)]);
        assert_eq!(spelled.unwrap_err().len(), 1);
    }

    #[test]
    fn a_source_without_a_policy_does_not_weaken_a_policy_above_it() {
        let policies = join(&[("gcr.io/a", policy(Mode::Require, "x")), ("gcr.io/a/b", None)]).unwrap();
        assert_eq!(held(&policies, "gcr.io/a/b/app").as_deref(), Some("x"));
    }

    #[test]
    fn if_sources_nest_the_nearest_policy_applies() {
        let declared = [
            ("gcr.io/a", policy(Mode::Warn, "x")),
            ("gcr.io/a/b", policy(Mode::Require, "y")),
            ("gcr.io/a/b/c", None),
            ("gcr.io/a/b/c/d", policy(Mode::Require, "y")),
        ];
        let policies = join(&declared).unwrap();
        for (repository, builder) in
            [("gcr.io/a/app", "x"), ("gcr.io/a/b/app", "y"), ("gcr.io/a/b/c/app", "y")]
        {
            assert_eq!(held(&policies, repository).as_deref(), Some(builder), "{repository}");
        }
    }

    #[test]
    fn no_other_policy_is_allowed_at_any_depth_below_a_required_one() {
        for inner in [policy(Mode::Require, "y"), policy(Mode::Warn, "x")] {
            // The order does not matter, nor do sources in between.
            let conflicts = join(&[
                ("gcr.io/a/b/c", inner),
                ("gcr.io/a/b", None),
                ("gcr.io", policy(Mode::Require, "x")),
            ]);
            let conflict = PolicyConflict { first: 2, second: 0, relation: Relation::Below };
            assert_eq!(conflicts.unwrap_err(), [conflict]);
        }
    }

    #[test]
    fn all_declarations_of_one_source_are_compared() {
        let same = policy(Mode::Warn, "x");
        assert!(join(&[("gcr.io/a", same.clone()), ("gcr.io/a", policy(Mode::Warn, "x"))]).is_ok());
        let conflicts = join(&[
            ("gcr.io/a", same.clone()),
            ("gcr.io/b", None),
            ("gcr.io/a", policy(Mode::Warn, "y")),
            ("gcr.io/a", same),
            ("gcr.io/a", None),
        ]);
        let conflict = |second| PolicyConflict { first: 0, second, relation: Relation::Same };
        assert_eq!(conflicts.unwrap_err(), [conflict(2), conflict(4)]);
    }
}
