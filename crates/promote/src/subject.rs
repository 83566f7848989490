//! What is signed and recorded: an image as users know it, once, however many regions hold it (specification 02, *Sign* and
//! *Attest*).

use std::collections::{BTreeMap, HashMap};

use oci::{Digest, Repository};

use crate::edge::{Edge, Edges};
use crate::intern::Id;
use crate::notary::Production;

/// An image under the name that users pull it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    /// The repository that holds its signatures and attestations: on the canonical host where it is promoted there, else
    /// the first by name.
    pub(crate) home: Id<Repository>,
    /// What it is.
    pub(crate) digest: Id<Digest>,
}

/// The images that edges wish, each once, in the order of their homes.
pub(crate) fn subjects(edges: &Edges, production: &Production) -> Vec<Subject> {
    let mut names = Names::new(edges, production);
    let mut homes: BTreeMap<(u32, Id<Digest>), Id<Repository>> = BTreeMap::new();
    for edge in edges.all() {
        let name = names.of(edge);
        homes
            .entry((name, edge.digest))
            .and_modify(|home| *home = names.nearer(*home, edge.destination))
            .or_insert(edge.destination);
    }
    let mut subjects: Vec<Subject> =
        homes.into_iter().map(|((_, digest), home)| Subject { home, digest }).collect();
    subjects.sort_unstable_by_key(|subject| (subject.home, subject.digest));
    subjects
}

/// The edges that bring a subject to its home: ordered by tag, those without one first.
pub(crate) fn edges_of<'a>(edges: &'a Edges, subject: &Subject) -> impl Iterator<Item = &'a Edge> {
    let digest = subject.digest;
    edges.to(subject.home).iter().filter(move |edge| edge.digest == digest)
}

/// What users call repositories: the same for all regions of one image.
struct Names<'a> {
    edges: &'a Edges,
    production: &'a Production,
    known: HashMap<Id<Repository>, u32>,
    numbers: HashMap<String, u32>,
}

impl<'a> Names<'a> {
    fn new(edges: &'a Edges, production: &'a Production) -> Self {
        Self { edges, production, known: HashMap::new(), numbers: HashMap::new() }
    }

    /// The number of the name of an edge's destination.
    fn of(&mut self, edge: &Edge) -> u32 {
        let Self { edges, production, known, numbers } = self;
        *known.entry(edge.destination).or_insert_with(|| {
            let repository = edges.repository(edge.destination);
            // Regions outside of production have the path of an image in common.
            let name = production.name(repository).map_or_else(
                || repository.path.to_string(),
                |name| format!("{}/{name}", production.reference),
            );
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(name).or_insert(next)
        })
    }

    /// Which of two repositories an image is at home in.
    fn nearer(&self, one: Id<Repository>, other: Id<Repository>) -> Id<Repository> {
        let rank = |id: Id<Repository>| {
            let repository = self.edges.repository(id);
            (repository.host != self.production.canonical_host, repository)
        };
        if rank(other) < rank(one) { other } else { one }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Destination, Image, Manifest, Manifests, Position, Wish};

    const AT: Position = Position { line: 1, column: 1 };

    fn production() -> Production {
        Production {
            canonical_host: "m.io".parse().unwrap(),
            path: "prod/images".parse().unwrap(),
            reference: "registry.example".parse().unwrap(),
        }
    }

    /// One image of a manifest with these destinations, and where it is at home.
    fn homes(destinations: &[&[&str]]) -> Vec<(String, String)> {
        let manifest = |roots: &&[&str]| Manifest {
            name: "p".into(),
            images_file: "f".into(),
            source: "s.io/staging".parse().unwrap(),
            destinations: roots
                .iter()
                .map(|root| Destination { root: root.parse().unwrap(), service_account: None })
                .collect(),
            images: vec![Image {
                name: "app".parse().unwrap(),
                digests: vec![Wish {
                    digest: Digest::of(b"app"),
                    position: AT,
                    tags: vec![("v1".parse().unwrap(), AT), ("v1.0".parse().unwrap(), AT)],
                }],
            }],
        };
        let manifests = destinations.iter().map(manifest).collect();
        let edges = Edges::new(&Manifests { manifests, ..Manifests::default() }).unwrap();
        let production = production();
        subjects(&edges, &production)
            .iter()
            .map(|subject| {
                assert_eq!(edges_of(&edges, subject).count(), 2, "both tags are one subject's");
                let home = edges.repository(subject.home);
                (home.to_string(), production.reference(home))
            })
            .collect()
    }

    fn home(repository: &str, reference: &str) -> (String, String) {
        (repository.to_owned(), reference.to_owned())
    }

    #[test]
    fn the_canonical_region_is_home_where_it_is_a_destination() {
        let all: &[&str] = &["a.io/prod/images", "m.io/prod/images", "z.io/prod/images"];
        assert_eq!(homes(&[all]), [home("m.io/prod/images/app", "registry.example/app")]);
    }

    #[test]
    fn without_it_the_first_region_by_name_is_home() {
        let some: &[&str] = &["z.io/prod/images", "b.io/prod/images"];
        assert_eq!(homes(&[some]), [home("b.io/prod/images/app", "registry.example/app")]);
    }

    #[test]
    fn what_is_outside_of_production_keeps_its_name() {
        let elsewhere: &[&str] = &["z.io/mirror", "b.io/mirror"];
        assert_eq!(homes(&[elsewhere]), [home("b.io/mirror/app", "b.io/mirror/app")]);
        // A path is below another only where a component ends.
        let beside: &[&str] = &["m.io/prod/images-old"];
        assert_eq!(homes(&[beside]), [home("m.io/prod/images-old/app", "m.io/prod/images-old/app")]);
    }

    #[test]
    fn one_digest_under_two_names_is_two_subjects() {
        let both: [&[&str]; 2] = [&["m.io/prod/images", "a.io/prod/images"], &["a.io/mirror"]];
        assert_eq!(
            homes(&both),
            [
                home("m.io/prod/images/app", "registry.example/app"),
                home("a.io/mirror/app", "a.io/mirror/app")
            ]
        );
    }
}
