//! Manifests of Kubernetes, and a generated tree of the same size.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use manifest::{Destination, Manifests, keep_added, load_thin};
use tempfile::TempDir;

use crate::support::{data, write_thin};

/// Loads registries of Kubernetes with these images as a thin manifest.
fn load(registries: &str, images: &str) -> Manifests {
    let directory = TempDir::new().unwrap();
    let registries = fs::read_to_string(data("k8s").join(registries)).unwrap();
    write_thin(directory.path(), "project", &registries, images);
    load_thin(directory.path()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn a_project_may_have_two_destinations_in_every_region() {
    let manifests = load("kubernetes-promoter-manifest.yaml", "[]");
    let destinations = &manifests.manifests[0].destinations;
    let hosts: HashSet<_> = destinations.iter().map(|destination| &destination.root.host).collect();
    assert_eq!((destinations.len(), hosts.len()), (40, 20));
    let account = "k8s-infra-gcr-promoter@k8s-artifacts-prod.iam.gserviceaccount.com";
    assert!(destinations.iter().all(|destination| destination.service_account.as_deref() == Some(account)));
}

#[test]
fn destinations_with_a_common_prefix_are_distinct() {
    let manifests = load("sp-operator-promoter-manifest.yaml", "[]");
    let destinations: Vec<String> =
        manifests.manifests[0].destinations.iter().map(|destination| destination.root.to_string()).collect();
    for name in ["security-profiles-operator", "security-profiles-operator-bundle"] {
        let root = format!("us-central1-docker.pkg.dev/k8s-artifacts-prod/images/{name}");
        assert_eq!(destinations.iter().filter(|destination| **destination == root).count(), 1, "{root}");
    }
}

#[test]
fn images_keep_their_order_their_tags_and_their_positions() {
    let images = fs::read_to_string(data("k8s/coredns-images.yaml")).unwrap();
    let manifests = load("coredns-promoter-manifest.yaml", &images);
    let manifest = &manifests.manifests[0];
    assert_eq!(manifest.source.to_string(), "gcr.io/k8s-staging-coredns");
    let coredns = &manifest.images[0];
    let found: Vec<String> =
        coredns.digests.iter().map(|listed| format!("{}: {:?}", listed.digest, listed.tags[0].0)).collect();
    let written: Vec<String> =
        images.lines().skip(2).map(|line| line.trim().replace(['"', '[', ']'], "")).collect();
    assert_eq!(found, written);
    let third = &coredns.digests[2];
    assert_eq!((third.position.line, third.position.column), (5, 5));
    assert_eq!((third.tags[0].1.line, third.tags[0].1.column), (5, 81));
}

/// Writes 110 projects with 400 digests each, the size of the manifests of Kubernetes.
fn write_kubernetes(directory: &Path) {
    let registries = fs::read_to_string(data("k8s/kubernetes-promoter-manifest.yaml")).unwrap();
    for project in 0..110 {
        let mut images = String::new();
        for image in 0..12 {
            images.push_str(&format!("- name: image-{image}\n  dmap:\n"));
            for digest in (0..400).filter(|digest| digest % 12 == image) {
                images
                    .push_str(&format!("    \"sha256:{project:032x}{digest:032x}\": [\"v1.{digest}.0\"]\n"));
            }
        }
        write_thin(directory, &format!("k8s-staging-{project:03}"), &registries, &images);
    }
}

#[test]
fn a_tree_of_the_size_of_kubernetes_is_read() {
    let directory = TempDir::new().unwrap();
    write_kubernetes(directory.path());
    let manifests = load_thin(directory.path()).unwrap();
    let promotions: usize =
        manifests.manifests.iter().flat_map(|m| &m.images).map(|image| image.digests.len()).sum();
    assert_eq!((manifests.manifests.len(), promotions), (110, 44_000));
    assert!(manifests.manifests.is_sorted_by_key(|manifest| manifest.name.clone()));
}

#[test]
fn a_tree_of_the_size_of_kubernetes_is_compared_without_expanding_equal_edges() {
    let directory = TempDir::new().unwrap();
    write_kubernetes(directory.path());
    let before = load_thin(directory.path()).unwrap();
    assert!(keep_added(before.clone(), &before.manifests).manifests.is_empty());
    let mut after = before.clone();
    let root = "new.example/images".parse().unwrap();
    after.manifests[7].destinations.push(Destination { root, service_account: None });
    let added = keep_added(after, &before.manifests).manifests;
    let digests: usize = added[0].images.iter().map(|image| image.digests.len()).sum();
    assert_eq!((added.len(), added[0].destinations.len(), digests), (1, 1, 400));
}
