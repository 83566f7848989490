//! The provenance policies of a run, joined from those that manifests declare.
//!
//! Policies fail closed: where it is not clear which policy holds for an image, the image is left out.

use std::sync::Arc;

use oci_types::{Host, RegistryRoot, RepositoryPath};

use super::diagnostic::{Diagnostic, Span};
use crate::policy::{Policies, Policy, PolicyConflict, Relation, place_name};

/// What a manifest declares of the provenance of its images.
#[derive(Clone, Debug)]
pub(super) enum PolicyDeclaration {
    /// This policy holds for its source. `None`: it declares none, or one that is off.
    Policy(Option<Arc<Policy>>),
    /// It may declare a policy that cannot be read.
    Unknown(Reach),
}

/// The sources for which a policy holds, together with everything below them.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    /// One of these.
    Below(Vec<RegistryRoot>),
    /// Any source.
    Everything,
}

impl Reach {
    /// The source of this reach that a registry or repository is, or lies below; the outer `Option` is `None` where there is
    /// none, the inner one where the reach is everything.
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

/// What one project declares.
pub(super) struct Declaration<'p> {
    /// The number of the project.
    pub(super) project: usize,
    /// The registries that are marked as its source.
    pub(super) sources: &'p [RegistryRoot],
    pub(super) declared: &'p PolicyDeclaration,
    pub(super) span: &'p Span,
    /// Whether the project is promoted.
    pub(super) is_promoted: bool,
}

/// The policies of a run, and the images for which it is not clear which policy holds.
pub(super) struct Joined {
    pub(super) policies: Policies,
    pub(super) unclear: Vec<Unclear>,
    /// The projects that contradict another one, with what is wrong.
    pub(super) conflicts: Vec<(usize, Diagnostic)>,
}

/// Sources for which it is not clear which policy holds.
pub(super) struct Unclear {
    reach: Reach,
    /// Why, in parentheses.
    reason: String,
}

impl Unclear {
    /// Why nothing is promoted from this place; `None` where it is not concerned. A reason that holds for everything is reported
    /// once, and is empty here.
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

    /// Whether all sources are concerned.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self.reach, Reach::Everything)
    }
}

/// Joins what projects declare.
pub(super) fn join(declarations: &[Declaration<'_>]) -> Joined {
    let mut unclear: Vec<Unclear> = Vec::new();
    let mut known: Vec<(&Declaration<'_>, &RegistryRoot, Option<Arc<Policy>>)> = Vec::new();
    for declaration in declarations {
        match (declaration.declared, declaration.sources) {
            (PolicyDeclaration::Unknown(reach), _) => {
                let reason = format!("{} may declare one and is wrong", declaration.span);
                unclear.push(Unclear { reach: reach.clone(), reason });
            }
            // A project that is not promoted and asks for nothing contradicts no other.
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

/// What is wrong with the second of two declarations that contradict each other.
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
    fn a_place_lies_below_a_source_by_every_spelling_of_its_registry_and_by_whole_components() {
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
