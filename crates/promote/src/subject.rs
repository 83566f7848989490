//! The unit of signing and recording: an image under its public name, regardless of the number of regions that have it
//! (specification 02, *Sign* and *Attest*).

use std::collections::{HashMap, HashSet};

use manifest::Id;
use manifest::{Edge, Edges};
use oci::{Digest, Repository, RepositoryPath};
use trust::Production;

/// An image under the name that users pull it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Subject {
    /// The canonical repository, which holds the signatures and attestations of the image: the repository on the canonical host
    /// for all regions below the production path, otherwise the image's own repository.
    pub(crate) canonical: Id<Repository>,
    /// The digest of the image.
    pub(crate) digest: Id<Digest>,
}

/// Returns the images of all edges, each once, ordered by canonical repository.
///
/// Below the production path, the regions of an image share the name that users pull it by. They share the canonical repository
/// on the canonical host if that is one of the destinations. Any other destination has its own name and is its own canonical
/// repository.
pub(crate) fn subjects(edges: &Edges, production: &Production) -> Vec<Subject> {
    subjects_of(edges, production, |_| true)
}

/// Returns the images of those edges for which `keep` is true, like [`subjects`].
pub(crate) fn subjects_of(
    edges: &Edges,
    production: &Production,
    keep: impl Fn(&Edge) -> bool,
) -> Vec<Subject> {
    let canonicals = CanonicalRepositories::new(edges, production);
    let kept = edges.all().iter().filter(|edge| keep(edge));
    let each = kept.map(|edge| Subject { canonical: canonicals.of(edge), digest: edge.digest });
    let mut subjects: Vec<Subject> = each.collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

/// Drops the edges that are not promoted and whose destination is not the canonical repository of their image.
pub(crate) fn keep_canonical(edges: &mut Edges, production: &Production) {
    let canonicals = CanonicalRepositories::new(edges, production);
    let is_kept = |edge: &Edge| edges.promotes(edge) || canonicals.of(edge) == edge.destination;
    let mut kept = edges.all().iter().map(is_kept).collect::<Vec<_>>().into_iter();
    edges.retain(|_| kept.next().unwrap_or(true));
}

/// Returns the edges of a subject whose destination is its canonical repository, ordered by tag. Edges without a tag come
/// first.
pub(crate) fn edges_of<'a>(edges: &'a Edges, subject: &Subject) -> impl Iterator<Item = &'a Edge> {
    let digest = subject.digest;
    edges.to(subject.canonical).iter().filter(move |edge| edge.digest == digest)
}

/// Determines the canonical repositories of images.
struct CanonicalRepositories<'a> {
    edges: &'a Edges,
    production: &'a Production,
    /// The repositories on the canonical host, by path.
    canonical: HashMap<&'a RepositoryPath, Id<Repository>>,
    /// The images that the run, or another shard of it, promotes to these repositories.
    promoted: HashSet<(Id<Repository>, Id<Digest>)>,
    /// The repositories on the canonical host that a run over a diff does not change. They already have the images that the run
    /// promotes to others.
    unchanged: HashSet<Id<Repository>>,
}

impl<'a> CanonicalRepositories<'a> {
    fn new(edges: &'a Edges, production: &'a Production) -> Self {
        let mut this = Self {
            edges,
            production,
            canonical: HashMap::new(),
            promoted: HashSet::new(),
            unchanged: HashSet::new(),
        };
        for id in edges.unchanged() {
            let repository = edges.repository(id);
            if repository.host == production.canonical_host && production.name(repository).is_some() {
                this.canonical.insert(&repository.path, id);
                this.unchanged.insert(id);
            }
        }
        let here = edges.all().iter().map(|edge| (edge.destination, edge.digest));
        for (destination, digest) in here.chain(edges.elsewhere().iter().copied()) {
            let repository = edges.repository(destination);
            if repository.host == production.canonical_host && production.name(repository).is_some() {
                this.canonical.insert(&repository.path, destination);
                this.promoted.insert((destination, digest));
            }
        }
        this
    }

    /// Returns the canonical repository of an edge's image.
    fn of(&self, edge: &Edge) -> Id<Repository> {
        let repository = self.edges.destination(edge);
        let canonical = self.canonical.get(&repository.path).copied();
        let is_shared = |canonical: &Id<Repository>| {
            let has_it =
                self.unchanged.contains(canonical) || self.promoted.contains(&(*canonical, edge.digest));
            has_it && self.production.name(repository).is_some()
        };
        canonical.filter(is_shared).unwrap_or(edge.destination)
    }
}

#[cfg(test)]
mod tests {
    use manifest::{Destination, DigestTags, Image, Manifest, Manifests, Position};

    use super::*;

    const AT: Position = Position { line: 1, column: 1 };

    fn production() -> Production {
        Production {
            canonical_host: "m.io".parse().unwrap(),
            path: "prod/images".parse().unwrap(),
            reference: "registry.example".parse().unwrap(),
        }
    }

    /// Creates a manifest with one image and these destinations.
    fn manifest(roots: &[&str]) -> Manifest {
        Manifest {
            name: "p".into(),
            images_file: "f".into(),
            source: "s.io/staging".parse().unwrap(),
            destinations: roots
                .iter()
                .map(|root| Destination { root: root.parse().unwrap(), service_account: None })
                .collect(),
            unchanged: Vec::new(),
            images: vec![Image {
                name: "app".parse().unwrap(),
                digests: vec![DigestTags {
                    digest: Digest::of(b"app"),
                    position: AT,
                    tags: vec![("v1".parse().unwrap(), AT), ("v1.0".parse().unwrap(), AT)],
                }],
            }],
        }
    }

    /// Returns the canonical repositories, with their references, of the image in manifests with these destinations.
    fn canonicals(destinations: &[&[&str]]) -> Vec<(String, String)> {
        let manifests = destinations.iter().map(|roots| manifest(roots)).collect();
        let edges = Edges::new(&Manifests { manifests, ..Manifests::default() }).unwrap();
        let production = production();
        subjects(&edges, &production)
            .iter()
            .map(|subject| {
                assert_eq!(edges_of(&edges, subject).count(), 2, "both tags belong to one subject");
                let canonical = edges.repository(subject.canonical);
                (canonical.to_string(), production.reference(canonical))
            })
            .collect()
    }

    fn canonical(repository: &str, reference: &str) -> (String, String) {
        (repository.to_owned(), reference.to_owned())
    }

    #[test]
    fn the_canonical_region_is_canonical_if_it_is_a_destination() {
        let all: &[&str] = &["a.io/prod/images", "m.io/prod/images", "z.io/prod/images"];
        assert_eq!(canonicals(&[all]), [canonical("m.io/prod/images/app", "registry.example/app")]);
    }

    #[test]
    fn without_the_canonical_region_each_region_is_canonical() {
        let some: &[&str] = &["b.io/prod/images", "z.io/prod/images"];
        let both = ["b.io/prod/images/app", "z.io/prod/images/app"];
        assert_eq!(canonicals(&[some]), both.map(|each| canonical(each, "registry.example/app")));
    }

    #[test]
    fn a_destination_outside_of_production_has_its_own_name_and_is_canonical() {
        let elsewhere: &[&str] = &["b.io/mirror", "m.io/mirror", "z.io/mirror"];
        let all = ["b.io/mirror/app", "m.io/mirror/app", "z.io/mirror/app"];
        assert_eq!(canonicals(&[elsewhere]), all.map(|each| canonical(each, each)));
        // A path is below another one only at the boundary of a component.
        let beside: &[&str] = &["m.io/prod/images-old"];
        assert_eq!(
            canonicals(&[beside]),
            [canonical("m.io/prod/images-old/app", "m.io/prod/images-old/app")]
        );
    }

    /// A run over a diff adds a region. The image has been signed in the canonical region and is not signed again in the new
    /// one.
    #[test]
    fn an_added_region_is_not_canonical_if_the_canonical_region_has_the_image() {
        let mut manifest = manifest(&["new.io/prod/images"]);
        let unchanged = ["a.io/prod/images", "m.io/prod/images"];
        manifest.unchanged =
            unchanged.map(|root| Destination { root: root.parse().unwrap(), service_account: None }).into();
        let edges = Edges::new(&Manifests { manifests: vec![manifest], ..Manifests::default() }).unwrap();
        let subjects = subjects(&edges, &production());
        let [subject] = &subjects[..] else { panic!("{subjects:?}") };
        assert_eq!(edges.repository(subject.canonical).to_string(), "m.io/prod/images/app");
        assert_eq!(edges_of(&edges, subject).count(), 0, "nothing is promoted there");
    }

    /// The shard that promotes to other regions leaves the signatures to the shard of the canonical region.
    #[test]
    fn the_canonical_region_is_canonical_for_shards_without_it_too() {
        let regions: &[&str] = &["a.io/prod/images", "m.io/prod/images", "b.io/mirror"];
        let manifests = vec![manifest(regions)];
        let mut edges = Edges::new(&Manifests { manifests, ..Manifests::default() }).unwrap();
        edges.keep_hosts(|host| host.as_str() != "m.io");
        let canonicals = subjects(&edges, &production()).into_iter().map(|subject| {
            (edges.repository(subject.canonical).to_string(), edges_of(&edges, &subject).count())
        });
        let expected = [("b.io/mirror/app".to_owned(), 2), ("m.io/prod/images/app".to_owned(), 0)];
        let mut canonicals: Vec<_> = canonicals.collect();
        canonicals.sort();
        assert_eq!(canonicals, expected, "nothing is promoted to m.io here");
    }

    #[test]
    fn one_digest_under_two_names_is_two_subjects() {
        let both: [&[&str]; 2] = [&["m.io/prod/images", "a.io/prod/images"], &["a.io/mirror"]];
        assert_eq!(
            canonicals(&both),
            [
                canonical("m.io/prod/images/app", "registry.example/app"),
                canonical("a.io/mirror/app", "a.io/mirror/app")
            ]
        );
    }
}
