//! The added edges of manifests, by destination.

use manifest::{Manifest, Manifests, keep_added};
use tempfile::TempDir;

use crate::support::{data, edges, image, thin, write_thin};

/// A project: its name, its source, its destinations and its images.
type Project<'a> = (&'a str, &'a str, &'a [&'a str], String);

fn load(projects: &[Project<'_>]) -> Manifests {
    let directory = TempDir::new().unwrap();
    write_thin(directory.path(), "empty", "registries:\n- {name: gcr.io/none, src: true}\n", "[]");
    for (name, source, destinations, images) in projects {
        let destinations: String = destinations.iter().map(|root| format!("- name: {root}\n")).collect();
        let registries = format!("registries:\n- {{name: {source}, src: true}}\n{destinations}");
        write_thin(directory.path(), name, &registries, images);
    }
    thin(directory.path())
}

fn limited(before: &[Project<'_>], after: &[Project<'_>]) -> Manifests {
    keep_added(load(after), &load(before).manifests)
}

fn added(before: &[Project<'_>], after: &[Project<'_>]) -> Vec<String> {
    edges(&limited(before, after)).into_iter().collect()
}

const US: &str = "us.example/prod";
const EU: &str = "eu.example/prod";

fn x() -> String {
    image("a", &[('a', "x")])
}

#[test]
fn an_added_destination_gets_all_images() {
    let images = || image("a", &[('a', "x, y"), ('b', "")]);
    let before = [("p", "gcr.io/s", &[US][..], images())];
    let after = [("p", "gcr.io/s", &[EU, US][..], images())];
    assert_eq!(
        added(&before, &after),
        ["eu.example/prod/a:x@a", "eu.example/prod/a:y@a", "eu.example/prod/a@b"]
    );
    assert!(added(&after, &before).is_empty(), "a removed destination gets nothing");
}

#[test]
fn a_corrected_destination_gets_all_images() {
    let before = thin(&data("shapes/destination-corrected/before"));
    let after = thin(&data("shapes/destination-corrected/after"));
    let added: Vec<String> = edges(&keep_added(after, &before.manifests)).into_iter().collect();
    assert_eq!(
        added,
        ["us.registry.example/prod/apple/apple:v1@f", "us.registry.example/prod/apple/apple:v2@2"]
    );
}

#[test]
fn an_image_that_is_copied_to_another_project_is_added_to_its_destinations() {
    let first = ("p", "gcr.io/s", &[US][..], x());
    let before = [first.clone(), ("q", "gcr.io/s", &[EU][..], "[]".to_owned())];
    let after = [first, ("q", "gcr.io/s", &[EU][..], x())];
    assert_eq!(added(&before, &after), ["eu.example/prod/a:x@a"]);
}

#[test]
fn an_image_that_moves_to_a_project_with_other_destinations_is_added_there() {
    let before = [("p", "gcr.io/s", &[US][..], x()), ("q", "gcr.io/s", &[EU, US][..], "[]".to_owned())];
    let after = [("p", "gcr.io/s", &[US][..], "[]".to_owned()), ("q", "gcr.io/s", &[EU, US][..], x())];
    assert_eq!(added(&before, &after), ["eu.example/prod/a:x@a"]);
}

#[test]
fn a_moved_staging_registry_promotes_nothing() {
    let before = [("p", "gcr.io/s", &[US][..], x())];
    let after = [("p", "gcr.io/t", &[US][..], x())];
    assert!(added(&before, &after).is_empty());
    let after = [("p", "gcr.io/t", &[US][..], image("a", &[('a', "x, y")]))];
    let limited = limited(&before, &after);
    assert_eq!(edges(&limited).into_iter().collect::<Vec<_>>(), ["us.example/prod/a:y@a"]);
    assert_eq!(
        limited.manifests[0].source.to_string(),
        "gcr.io/t",
        "added edges come from the new staging registry"
    );
}

#[test]
fn a_renamed_project_promotes_nothing() {
    let before = [("p", "gcr.io/s", &[US, EU][..], x())];
    assert!(added(&before, &[("q", "gcr.io/s", &[EU, US][..], x())]).is_empty());
}

#[test]
fn a_project_that_is_split_or_merged_promotes_nothing() {
    let both = || image("a", &[('a', "x")]) + &image("b", &[('b', "y")]);
    let whole = [("p", "gcr.io/s", &[US][..], both())];
    let parts = [("p", "gcr.io/s", &[US][..], x()), ("q", "gcr.io/t", &[US][..], image("b", &[('b', "y")]))];
    assert!(added(&whole, &parts).is_empty());
    assert!(added(&parts, &whole).is_empty());
}

#[test]
fn two_spellings_of_a_repository_are_the_same_repository() {
    let before = [("p", "gcr.io/s", &["us.example/prod"][..], image("deep/a", &[('a', "x")]))];
    let after = [("p", "gcr.io/s/deep", &["us.example/prod/deep"][..], x())];
    assert!(added(&before, &after).is_empty());
}

#[test]
fn destinations_with_a_common_prefix_are_distinct() {
    let before = [("p", "gcr.io/s", &["us.example/a"][..], image("b-c", &[('a', "x")]))];
    let after = [("p", "gcr.io/s", &["us.example/a-b"][..], image("c", &[('a', "x")]))];
    assert_eq!(added(&before, &after), ["us.example/a-b/c:x@a"]);
}

#[test]
fn an_old_digest_gets_its_new_tag_in_all_destinations_and_its_old_tags_in_the_new_one() {
    let before = [("p", "gcr.io/s", &[US][..], x())];
    let after = [("p", "gcr.io/s", &[US, EU][..], image("a", &[('a', "x, y")]))];
    let limited = limited(&before, &after);
    assert_eq!(
        edges(&limited).into_iter().collect::<Vec<_>>(),
        ["eu.example/prod/a:x@a", "eu.example/prod/a:y@a", "us.example/prod/a:y@a"]
    );
    let project = |manifest: &Manifest| manifest.name.to_string();
    assert_eq!(limited.manifests.iter().map(project).collect::<Vec<_>>(), ["p", "p"]);
}

#[test]
fn destinations_with_the_same_added_edges_stay_together() {
    let before = [("p", "gcr.io/s", &[US, EU, "asia.example/prod"][..], x())];
    let after = [("p", "gcr.io/s", &[US, EU, "asia.example/prod"][..], image("a", &[('a', "x, y")]))];
    let limited = limited(&before, &after);
    assert_eq!((limited.manifests.len(), limited.manifests[0].destinations.len()), (1, 3));
}
