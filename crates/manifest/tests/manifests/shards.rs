//! Edges of one shard.

use std::collections::BTreeSet;

use manifest::{Edges, Manifests};
use tempfile::TempDir;

use crate::support::{image, thin, write_thin};

fn load(projects: &[(&str, &[&str], &str)]) -> Manifests {
    let directory = TempDir::new().unwrap();
    for (number, (source, destinations, images)) in projects.iter().enumerate() {
        let mut registries = format!("registries:\n- {{name: {source}, src: true}}\n");
        destinations.iter().for_each(|name| registries.push_str(&format!("- {{name: {name}}}\n")));
        write_thin(directory.path(), &format!("p{number}"), &registries, images);
    }
    thin(directory.path())
}

fn references(edges: &Edges) -> BTreeSet<String> {
    edges.all().iter().map(|edge| edges.reference(edge)).collect()
}

#[test]
fn each_edge_is_in_the_shard_of_its_host_and_known_elsewhere() {
    let images = image("a", &[('a', "x, y"), ('b', "z")]) + &image("b", &[('a', "x")]);
    let regions = ["a.example/prod", "b.example/prod", "c.example/prod"];
    let whole = Edges::new(&load(&[("gcr.io/s", &regions, &images)])).unwrap();
    assert!(whole.elsewhere().is_empty());
    let mut union = BTreeSet::new();
    for hosts in [&["a.example", "c.example"][..], &["b.example"], &[]] {
        let mut edges = whole.clone();
        edges.keep_hosts(|host| hosts.contains(&host.as_str()));
        let kept = references(&edges);
        assert_eq!(kept.len(), 4 * hosts.len());
        assert!(union.is_disjoint(&kept));
        union.extend(kept);
        let images: BTreeSet<String> = edges
            .elsewhere()
            .iter()
            .map(|(repository, digest)| {
                format!("{}@{}", edges.repository(*repository), edges.digest_name(*digest))
            })
            .collect();
        // Two digests of one image and one digest of the other, at each of the other hosts.
        assert_eq!((images.len(), edges.elsewhere().len()), (3 * (3 - hosts.len()), images.len()));
        assert!(images.iter().all(|image| !hosts.iter().any(|host| image.starts_with(host))));
    }
    assert_eq!(union, references(&whole));
}

/// The policies of all staging repositories of an image apply in every shard, even if only another shard may copy it from some of
/// them.
#[test]
fn the_sources_of_an_image_include_those_of_other_shards() {
    let images = image("a", &[('a', "x")]);
    let manifests = load(&[
        ("gcr.io/s", &["a.example/p", "b.example/p"], &images),
        ("gcr.io/t", &["b.example/p"], &images),
    ]);
    let mut edges = Edges::new(&manifests).unwrap();
    let shared = edges.shared();
    assert_eq!(shared.len(), 1);
    edges.keep_hosts(|host| host.as_str() == "a.example");
    assert_eq!(edges.shared(), shared);
    // The first staging repository has lost the image, so the other one serves the edge of the other shard.
    let other = *shared.values().flatten().find(|source| **source != edges.all()[0].source).unwrap();
    edges
        .serve_from(|edges, edge| edges.sources(edge).find(|source| *source == other).unwrap_or(edge.source));
    let served: Vec<_> = edges.shared().into_keys().map(|(source, _)| source).collect();
    assert_eq!(served, [other]);
    assert_ne!(edges.all()[0].source, other, "the edge of this shard has one source");
}
