//! Joins the provenance policies that manifests declare to the policies of a run.
//!
//! Policies fail closed: an image is left out if it is unclear which policy applies to it.

use std::sync::Arc;

use oci_types::{Host, RegistryRoot, RepositoryPath};

use super::diagnostic::{Diagnostic, Span};
use crate::policy::{Policies, Policy, PolicyConflict, Relation, place_name};

/// The policy declaration of a manifest.
#[derive(Clone, Debug)]
pub(super) enum PolicyDeclaration {
    /// This policy applies to the source. `None` if the manifest declares no policy, or one that is off.
    Policy(Option<Arc<Policy>>),
    /// The manifest may declare a policy that cannot be read.
    Unknown(Reach),
}

/// The sources that a policy may apply to, with everything below them.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    /// One of these sources.
    Below(Vec<RegistryRoot>),
    /// Any source.
    Everything,
}

impl Reach {
    /// Finds the source of this reach that contains a registry or repository. The outer `Option` is `None` if no source
    /// contains it. The inner one is `None` if the reach is everything.
    fn find(&self, host: &Host, path: Option<&RepositoryPath>) -> Option<Option<&RegistryRoot>> {
        match self {
            Self::Everything => Some(None),
            Self::Below(roots) => {
                let name = place_name(host, path);
                let is_above = |root: &&RegistryRoot| {
                    let below = name.strip_prefix(&place_name(&root.host, root.prefix.as_ref()));
                    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
                };
                roots.iter().find(is_above).map(Some)
            }
        }
    }
}

/// The declaration of one project.
pub(super) struct Declaration<'p> {
    /// The index of the project.
    pub(super) project: usize,
    /// The registries that are marked as the source.
    pub(super) sources: &'p [RegistryRoot],
    pub(super) declared: &'p PolicyDeclaration,
    pub(super) span: &'p Span,
    /// Whether the project is promoted.
    pub(super) is_promoted: bool,
}

/// The policies of a run, and the sources whose policy is unclear.
pub(super) struct Joined {
    pub(super) policies: Policies,
    pub(super) unclear: Vec<Unclear>,
    /// The projects that contradict another one, each by its index with the fault.
    pub(super) conflicts: Vec<(usize, Diagnostic)>,
}

/// Sources whose policy is unclear.
pub(super) struct Unclear {
    reach: Reach,
    /// The reason, for use in parentheses.
    reason: String,
}

impl Unclear {
    /// Returns why nothing is promoted from a registry or repository, or `None` if it is not affected. The reason is empty if
    /// all sources are affected, because that reason is reported once elsewhere.
    pub(super) fn reason(&self, host: &Host, path: Option<&RepositoryPath>) -> Option<String> {
        let place = path.map_or_else(|| host.to_string(), |path| format!("{host}/{path}"));
        self.reach.find(host, path).map(|root| match root {
            None => String::new(),
            Some(root) if root.to_string() == place => {
                format!("it is not known which provenance policy holds for {root} ({})", self.reason)
            }
            Some(root) => format!(
                "{place} lies below {root}, and it is not known which provenance policy holds there ({})",
                self.reason
            ),
        })
    }

    /// Whether all sources are affected.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self.reach, Reach::Everything)
    }
}

/// Joins the declarations of projects.
pub(super) fn join(declarations: &[Declaration<'_>]) -> Joined {
    let mut unclear: Vec<Unclear> = Vec::new();
    let mut known: Vec<(&Declaration<'_>, &RegistryRoot, Option<Arc<Policy>>)> = Vec::new();
    for declaration in declarations {
        match (declaration.declared, declaration.sources) {
            (PolicyDeclaration::Unknown(reach), _) => {
                let reason = format!("{} may declare one and is wrong", declaration.span);
                unclear.push(Unclear { reach: reach.clone(), reason });
            }
            // A project that is not promoted and declares no policy contradicts no other.
            (PolicyDeclaration::Policy(policy), [source]) if declaration.is_promoted || policy.is_some() => {
                known.push((declaration, source, policy.clone()));
            }
            (PolicyDeclaration::Policy(_), _) => {}
        }
    }
    let mut conflicts = Vec::new();
    loop {
        let pairs: Vec<_> = known.iter().map(|(_, source, policy)| (*source, policy.clone())).collect();
        let found = match Policies::new(&pairs) {
            Ok(policies) => {
                let files = known.iter().map(|(declaration, source, _)| (*source, declaration.span.file()));
                let policies = policies.with_files(files);
                return Joined { policies, unclear, conflicts };
            }
            Err(found) => found,
        };
        let mut in_conflict = vec![false; known.len()];
        for conflict in &found {
            let [first, second] = [conflict.first, conflict.second].map(|number| &known[number]);
            let reason = format!("{} and {} contradict each other", first.0.span, second.0.span);
            unclear.push(Unclear { reach: Reach::Below(vec![first.1.clone()]), reason });
            conflicts.push((second.0.project, contradiction(first, second, conflict)));
            in_conflict[conflict.first] = true;
            in_conflict[conflict.second] = true;
        }
        let mut in_conflict = in_conflict.into_iter();
        known.retain(|(_, source, _)| {
            let is_unclear = |unclear: &Unclear| {
                !unclear.is_everything() && unclear.reach.find(&source.host, source.prefix.as_ref()).is_some()
            };
            in_conflict.next() != Some(true) && !unclear.iter().any(is_unclear)
        });
    }
}

/// Creates the fault of the second of two contradicting declarations.
fn contradiction(
    (first, first_source, first_policy): &(&Declaration<'_>, &RegistryRoot, Option<Arc<Policy>>),
    (second, source, second_policy): &(&Declaration<'_>, &RegistryRoot, Option<Arc<Policy>>),
    conflict: &PolicyConflict,
) -> Diagnostic {
    let place = first.span;
    let (message, help) = match conflict.relation {
        Relation::Same => (
            match (first_policy, second_policy) {
                (Some(_), None) => format!("no provenance policy for {source}, which has one at {place}"),
                (None, _) => format!("a provenance policy for {source}, which has none at {place}"),
                _ => format!("another provenance policy for {source} than at {place}"),
            },
            "manifests that share a source declare the same policy, or none of them does",
        ),
        Relation::Below => (
            format!(
                "another provenance policy for {source}, which lies below {first_source}, than is required there at \
                 {place}"
            ),
            "declare the same policy, or none: what is required also holds below",
        ),
    };
    second.span.diagnostic(message).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_a_source_by_any_spelling_of_its_registry_and_by_whole_components() {
        let reach = |root: &str| Reach::Below(vec![root.parse().unwrap()]);
        let is_below = |place: &str, root: &str| {
            let place: RegistryRoot = place.parse().unwrap();
            reach(root).find(&place.host, place.prefix.as_ref()).is_some()
        };
        for (place, root) in [
            ("gcr.io/a", "gcr.io/a"),
            ("gcr.io/a/b", "gcr.io/a"),
            ("gcr.io/a", "gcr.io"),
            ("gcr.io:443/a", "gcr.io/a"),
            ("index.docker.io/org/app", "docker.io/org"),
        ] {
            assert!(is_below(place, root), "{place} {root}");
        }
        for (place, root) in [
            ("gcr.io/ab", "gcr.io/a"),
            ("gcr.io", "gcr.io/a"),
            ("gcr.io:5000/a", "gcr.io"),
            ("gcr.iob", "gcr.io"),
        ] {
            assert!(!is_below(place, root), "{place} {root}");
        }
    }
}
