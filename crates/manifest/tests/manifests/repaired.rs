//! Edges that are only repaired.

use manifest::{Edges, Manifests};
use tempfile::TempDir;

use crate::support::{image, thin, write_thin};

fn load(images: &str) -> Manifests {
    let directory = TempDir::new().unwrap();
    let registries = "registries:\n- {name: gcr.io/s, src: true}\n- {name: us.example/prod}\n";
    write_thin(directory.path(), "p", registries, images);
    thin(directory.path())
}

/// Returns the edges. Promoted edges have a plus sign.
fn shown(edges: &Edges) -> Vec<String> {
    let sign = |promoted| if promoted { '+' } else { ' ' };
    edges
        .all()
        .iter()
        .map(|edge| format!("{}{}", sign(edges.promotes(edge)), edges.reference(edge)))
        .collect()
}

#[test]
fn an_edge_that_is_promoted_and_repaired_is_promoted() {
    let (added, whole) = (load(&image("a", &[('a', "x")])), load(&image("a", &[('a', "x, y"), ('b', "z")])));
    let edges = Edges::with_repaired(&added, &whole.manifests).unwrap();
    assert_eq!(shown(&edges), ["+us.example/prod/a:x", " us.example/prod/a:y", " us.example/prod/a:z"]);
    assert_eq!(edges.repeated(), 0);
}

/// If two edges that are only repaired have different digests for one tag, both are left out: it is unknown which one applies.
#[test]
fn conflicts_among_edges_that_are_only_repaired_are_not_errors() {
    let added = load(&image("a", &[('a', "x")]));
    let others = load(&image("a", &[('b', "x, y")]));
    let more = load(&image("a", &[('c', "y, z")]));
    let repaired: Vec<_> = others.manifests.into_iter().chain(more.manifests).collect();
    let edges = Edges::with_repaired(&added, &repaired).unwrap();
    assert_eq!(shown(&edges), ["+us.example/prod/a:x", " us.example/prod/a:z"]);
    let both = Manifests {
        manifests: added.manifests.into_iter().chain(repaired).collect(),
        ..Manifests::default()
    };
    assert!(Edges::new(&both).is_err(), "edges to promote must not conflict");
}
