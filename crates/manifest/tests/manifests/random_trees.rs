//! Random trees and random edits: the added edges match a naive comparison of all edges.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use manifest::{Base, Manifests, keep_added, limit_to_added};
use proptest::prelude::*;

use crate::diff::Repository;
use crate::support::{digest, thin, write_thin};

const SOURCES: [&str; 3] = ["gcr.io/s", "gcr.io/s/deep", "gcr.io/t"];
/// The first two form the same repository with different images.
const DESTINATIONS: [&str; 4] = ["us.example/p", "us.example/p/a", "eu.example/p", "eu.example/p-a"];
const IMAGES: [&str; 4] = ["a", "b", "a/b", "a/a/b"];
/// The last one is invalid.
const TAGS: [&str; 4] = ["x", "v1.0", "latest", "-bad"];
/// The last one makes an invalid digest.
const DIGITS: [char; 4] = ['a', 'b', 'c', '!'];

/// The digests of an image, with their tags.
type Digests = BTreeMap<char, BTreeSet<&'static str>>;

#[derive(Clone, Debug)]
struct Project {
    source: &'static str,
    destinations: BTreeSet<&'static str>,
    images: BTreeMap<&'static str, Digests>,
}

/// Projects by name.
type Tree = BTreeMap<String, Project>;

/// The style of the written files. It changes no edge.
#[derive(Clone, Copy, Debug)]
struct Style {
    is_reversed: bool,
    is_quoted: bool,
    has_comments: bool,
    has_carriage_returns: bool,
    is_block: bool,
}

/// One small edit. The numbers select its kind and its objects.
type Edit = (u8, usize, usize, usize, usize);

fn edit(tree: &mut Tree, (kind, project, image, digit, tag): Edit) {
    let names: Vec<String> = tree.keys().cloned().collect();
    let name = names[project % names.len()].clone();
    let image = IMAGES[image % IMAGES.len()];
    let digit = DIGITS[digit % DIGITS.len()];
    let text = TAGS[tag % TAGS.len()];
    let destination = DESTINATIONS[tag % DESTINATIONS.len()];
    if kind == 8 {
        let moved = tree.remove(&name).unwrap();
        tree.insert(format!("{name}-renamed"), moved);
        return;
    }
    let copied = tree.values().find_map(|project| project.images.get(image).cloned());
    let project = tree.get_mut(&name).unwrap();
    match kind {
        0 | 1 => drop(project.images.entry(image).or_default().entry(digit).or_default().insert(text)),
        2 => drop(project.images.entry(image).or_default().entry(digit).or_default()),
        3 => drop(project.images.get_mut(image).map(|digests| digests.remove(&digit))),
        4 => drop(project.destinations.insert(destination)),
        5 => drop(project.destinations.remove(destination)),
        6 => project.source = SOURCES[tag % SOURCES.len()],
        7 => drop(project.images.insert(image, copied.unwrap_or_default())),
        _ => drop(
            project
                .images
                .get_mut(image)
                .and_then(|digests| digests.get_mut(&digit))
                .map(|tags| tags.remove(text)),
        ),
    }
}

fn name_of(digit: char) -> String {
    if digit == '!' { "sha256:bad".to_owned() } else { digest(digit) }
}

/// Returns all edges, as repository, tag and digest.
fn edges(tree: &Tree) -> BTreeSet<(String, String, String)> {
    let mut edges = BTreeSet::new();
    for project in tree.values() {
        for (image, digests) in &project.images {
            for (digit, tags) in digests.iter().filter(|(digit, _)| **digit != '!') {
                for destination in &project.destinations {
                    let mut add = |tag: &str| {
                        edges.insert((format!("{destination}/{image}"), tag.to_owned(), name_of(*digit)));
                    };
                    if tags.is_empty() {
                        add("");
                    }
                    tags.iter().filter(|tag| **tag != "-bad").for_each(|tag| add(tag));
                }
            }
        }
    }
    edges
}

/// Returns all invalid entries, as project, image, digest and written tags.
fn faults(tree: &Tree) -> BTreeSet<(String, String, String, Vec<String>)> {
    let mut faults = BTreeSet::new();
    for (name, project) in tree {
        for (image, digests) in &project.images {
            for (digit, tags) in digests {
                let mut add = |written: Vec<String>| {
                    faults.insert((name.clone(), (*image).to_owned(), name_of(*digit), written))
                };
                if *digit == '!' {
                    add(tags.iter().map(ToString::to_string).collect());
                }
                if tags.contains("-bad") {
                    add(vec!["one tag: -bad".to_owned()]);
                }
            }
        }
    }
    faults
}

fn write(directory: &Path, tree: &Tree, style: Style) {
    for top in ["manifests", "images"] {
        let _ = std::fs::remove_dir_all(directory.join(top));
        std::fs::create_dir_all(directory.join(top)).unwrap();
    }
    let quoted = |text: &str| if style.is_quoted { format!("\"{text}\"") } else { text.to_owned() };
    let comment = if style.has_comments { "# a comment\n" } else { "" };
    let text = |mut lines: Vec<String>| {
        if style.is_reversed {
            lines.reverse();
        }
        let text = lines.concat();
        if style.has_carriage_returns { text.replace('\n', "\r\n") } else { text }
    };
    for (name, project) in tree {
        let mut registries = vec![format!("- name: {}\n  src: true\n", quoted(project.source))];
        registries
            .extend(project.destinations.iter().map(|root| format!("{comment}- name: {}\n", quoted(root))));
        let images = project.images.iter().map(|(image, digests)| {
            let digests = digests.iter().map(|(digit, tags)| {
                let key = quoted(&name_of(*digit));
                if style.is_block && !tags.is_empty() {
                    let tags: String = tags.iter().map(|tag| format!("    - {}\n", quoted(tag))).collect();
                    return format!("    {key}:\n{tags}");
                }
                let tags: Vec<String> = tags.iter().map(|tag| quoted(tag)).collect();
                format!("    {key}: [{}]\n", tags.join(", "))
            });
            format!("{comment}- name: {}\n  dmap:\n{}", quoted(image), text(digests.collect()))
        });
        let registries = format!("registries:\n{}", text(registries));
        write_thin(directory, name, &registries, &text(images.collect()));
    }
}

/// Returns the edges that were read, in the form of [`edges`].
pub(crate) fn read(manifests: &Manifests) -> BTreeSet<(String, String, String)> {
    let mut edges = BTreeSet::new();
    for manifest in &manifests.manifests {
        for destination in &manifest.destinations {
            for image in &manifest.images {
                for listed in &image.digests {
                    let mut add = |tag: String| {
                        let edge =
                            (format!("{}/{}", destination.root, image.name), tag, listed.digest.to_string());
                        edges.insert(edge);
                    };
                    if listed.tags.is_empty() {
                        add(String::new());
                    }
                    listed.tags.iter().for_each(|(tag, _)| add(tag.to_string()));
                }
            }
        }
    }
    edges
}

fn styles() -> impl Strategy<Value = Style> {
    any::<[bool; 5]>().prop_map(|[is_reversed, is_quoted, has_comments, has_carriage_returns, is_block]| {
        Style { is_reversed, is_quoted, has_comments, has_carriage_returns, is_block }
    })
}

fn trees() -> impl Strategy<Value = Tree> {
    let digests = prop::collection::btree_map(
        prop::sample::select(&DIGITS[..]),
        prop::collection::btree_set(prop::sample::select(&TAGS[..]), 0..3),
        0..4,
    );
    let project = (
        prop::sample::select(&SOURCES[..]),
        prop::collection::btree_set(prop::sample::select(&DESTINATIONS[..]), 0..4),
        prop::collection::btree_map(prop::sample::select(&IMAGES[..]), digests, 0..4),
    );
    let project = project.prop_map(|(source, destinations, images)| Project { source, destinations, images });
    prop::collection::btree_map("p[a-d]", project, 1..4)
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((0..10_u8, 0..4_usize, 0..4_usize, 0..4_usize, 0..4_usize), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn added_edges_match_a_naive_comparison_of_all_edges(
        before in trees(),
        edits in edits(),
        styles in (styles(), styles()),
    ) {
        let mut after = before.clone();
        edits.into_iter().for_each(|one| edit(&mut after, one));
        let repository = Repository::new();
        let directory = repository.directory.path();
        write(directory, &before, styles.0);
        repository.commit();
        let read_before = thin(directory);
        prop_assert_eq!(read(&read_before), edges(&before));
        write(directory, &after, styles.1);
        let read_after = thin(directory);
        prop_assert_eq!(read(&read_after), edges(&after));
        prop_assert_eq!(read_after.rejected.is_empty(), faults(&after).is_empty());

        let expected: BTreeSet<_> = edges(&after).difference(&edges(&before)).cloned().collect();
        prop_assert_eq!(&read(&keep_added(read_after.clone(), &read_before.manifests)), &expected);
        let limited = limit_to_added(read_after, directory, &Base::Revision("HEAD".to_owned())).unwrap();
        prop_assert_eq!(&read(&limited), &expected);
        let new_faults = faults(&after).difference(&faults(&before)).count();
        prop_assert_eq!(limited.rejected.is_empty(), new_faults == 0, "{}", limited.rejected);
    }
}
