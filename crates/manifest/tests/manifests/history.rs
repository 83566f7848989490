//! A generated history of 200 commits: the promotions of a run over a diff and the findings of lint match a naive comparison of
//! the generator's own model. The model is never read from files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use manifest::lint::{Rule, Target, lint};
use manifest::{Base, limit_to_added};

use crate::diff::Repository;
use crate::random_trees::read;
use crate::support::{thin, write_thin};

const COMMITS: usize = 200;
const REGIONS: [&str; 5] = ["us", "eu", "asia", "us-east4", "us-east4-b"];
const TAGS: [&str; 8] = ["v1.0", "v1.1", "v1.9.0", "v1.10.0", "latest", "1", "v2-rc.1", "stable"];

/// A generator of numbers (SplitMix64). The history is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn one<T: Clone>(&mut self, of: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.into_iter().collect();
        (!all.is_empty()).then(|| all[self.below(all.len())].clone())
    }
}

/// The digests of an image, with their tags.
type Digests = BTreeMap<String, BTreeSet<&'static str>>;

#[derive(Clone, Debug, Default)]
struct Project {
    source: usize,
    destinations: BTreeSet<String>,
    images: BTreeMap<String, Digests>,
    /// The style of the written files. It changes no edge.
    style: usize,
}

/// Projects by name.
type Model = BTreeMap<String, Project>;

/// A repository, a tag or an empty text, and a digest.
type Edge = (String, String, String);

fn expand(model: &Model) -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    for project in model.values() {
        for destination in &project.destinations {
            for (image, digests) in &project.images {
                for (digest, tags) in digests {
                    let repository = format!("{destination}/{image}");
                    if tags.is_empty() {
                        edges.insert((repository.clone(), String::new(), digest.clone()));
                    }
                    edges.extend(
                        tags.iter().map(|tag| (repository.clone(), (*tag).to_owned(), digest.clone())),
                    );
                }
            }
        }
    }
    edges
}

/// Writes the files of a model, and nothing else.
fn write(directory: &Path, model: &Model) {
    for top in ["manifests", "images"] {
        let _ = std::fs::remove_dir_all(directory.join(top));
        std::fs::create_dir_all(directory.join(top)).unwrap();
    }
    for (name, project) in model {
        let ordered = |mut lines: Vec<String>| {
            if project.style % 2 == 1 {
                lines.reverse();
            }
            lines.concat()
        };
        let comment = if project.style % 3 == 1 { format!("# {}\n", project.style) } else { String::new() };
        let quote = ["\"", "'", ""][project.style / 2 % 3];
        let destinations = project.destinations.iter();
        let registries = destinations.map(|to| format!("{comment}- name: {quote}{to}{quote}\n")).collect();
        let registries = format!(
            "registries:\n- name: gcr.io/staging-{}\n  src: true\n{}",
            project.source,
            ordered(registries)
        );
        let images =
            project.images.iter().filter(|(_, digests)| !digests.is_empty()).map(|(image, digests)| {
                let digests = digests.iter().map(|(digest, tags)| {
                    let tags: Vec<String> = tags.iter().map(|tag| format!("{quote}{tag}{quote}")).collect();
                    format!("    {quote}{digest}{quote}: [{}]\n", tags.join(", "))
                });
                format!("{comment}- name: {image}\n  dmap:\n{}", ordered(digests.collect()))
            });
        let images = match ordered(images.collect()) {
            images if images.is_empty() => "[]\n".to_owned(),
            images => images,
        };
        let ends = |text: String| if project.style % 5 == 1 { text.replace('\n', "\r\n") } else { text };
        write_thin(directory, name, &ends(registries), &ends(images));
    }
}

fn new_project(numbers: &mut Numbers, number: usize) -> Project {
    let regions = 1 + numbers.below(REGIONS.len());
    let prefix = if numbers.below(3) == 0 { "prod".to_owned() } else { format!("prod/p{number}") };
    let destinations = REGIONS[..regions].iter().map(|region| format!("{region}.example/{prefix}"));
    Project { source: number, destinations: destinations.collect(), ..Project::default() }
}

/// Changes one project. Its name and the other projects are unchanged.
fn change(numbers: &mut Numbers, project: &mut Project) {
    let image = format!("image-{}", numbers.below(6));
    let some_image = numbers.one(project.images.keys().cloned());
    let digest = format!("sha256:{:064x}", numbers.below(usize::MAX));
    let (tag, region) = (TAGS[numbers.below(TAGS.len())], REGIONS[numbers.below(REGIONS.len())]);
    let some_digest =
        some_image.as_ref().and_then(|image| numbers.one(project.images[image].keys().cloned()));
    let kind = numbers.below(14);
    match (kind, some_image.zip(some_digest)) {
        (0..4, _) | (_, None) => drop(project.images.entry(image).or_default().insert(digest, [tag].into())),
        (4, _) => drop(project.images.entry(image).or_default().insert(digest, BTreeSet::new())),
        (5 | 6, Some((image, digest))) => {
            project.images.get_mut(&image).unwrap().get_mut(&digest).unwrap().insert(tag);
        }
        (7, Some((image, digest))) => drop(project.images.get_mut(&image).unwrap().remove(&digest)),
        (8, Some((image, digest))) => {
            let tags = project.images.get_mut(&image).unwrap().get_mut(&digest).unwrap();
            tags.pop_first();
        }
        (9, Some((image, _))) => drop(project.images.remove(&image)),
        (10, _) => drop(project.destinations.insert(format!("{region}.example/prod/more"))),
        (11, _) if project.destinations.len() > 1 => drop(project.destinations.pop_last()),
        // A tag moves to another digest.
        (12, Some((image, old))) => {
            let digests = project.images.get_mut(&image).unwrap();
            if let Some(tags) = digests.remove(&old) {
                digests.insert(digest, tags);
            }
        }
        _ => {
            project.style = numbers.below(30);
            project.source = numbers.below(100);
        }
    }
}

/// Changes the whole model.
fn change_all(numbers: &mut Numbers, model: &mut Model, number: usize) {
    let names: Vec<String> = model.keys().cloned().collect();
    let (one, other) = (names[numbers.below(names.len())].clone(), names[numbers.below(names.len())].clone());
    match numbers.below(9) {
        0 if model.len() < 9 => drop(model.insert(format!("new-{number}"), new_project(numbers, number))),
        1 => {
            let project = model.remove(&one).unwrap();
            model.insert(format!("renamed-{number}"), project);
        }
        // An image moves to another project, or is copied there.
        kind @ (2 | 3) => {
            let Some(image) = numbers.one(model[&one].images.keys().cloned()) else { return };
            let digests = model[&one].images[&image].clone();
            if kind == 2 {
                model.get_mut(&one).unwrap().images.remove(&image);
            }
            model.get_mut(&other).unwrap().images.entry(image).or_default().extend(digests);
        }
        4 if model.len() > 4 => drop(model.remove(&one)),
        5 => {
            for project in model.values_mut() {
                project.style = numbers.below(30);
            }
        }
        _ => change(numbers, model.get_mut(&one).unwrap()),
    }
}

/// A commit with the model of its tree.
type Commit = (String, Model);

/// Creates the history. About every third commit belongs to a merge of two branches that change different projects.
fn history(repository: &Repository) -> Vec<Commit> {
    let mut numbers = Numbers(7);
    let mut model: Model =
        (0..5).map(|number| (format!("project-{number}"), new_project(&mut numbers, number))).collect();
    let mut commits: Vec<Commit> = Vec::new();
    let save = |model: &Model, commits: &mut Vec<Commit>| {
        write(repository.directory.path(), model);
        commits.push((repository.commit(), model.clone()));
    };
    save(&model, &mut commits);
    while commits.len() < COMMITS {
        let number = commits.len();
        if number + 3 > COMMITS || numbers.below(7) > 0 {
            change_all(&mut numbers, &mut model, number);
            save(&model, &mut commits);
            continue;
        }
        let names: Vec<String> = model.keys().cloned().collect();
        let at = numbers.below(names.len());
        let (one, other) = (&names[at], &names[(at + 1) % names.len()]);
        let mut branch = model.clone();
        (0..3).for_each(|_| change(&mut numbers, branch.get_mut(one).unwrap()));
        (0..3).for_each(|_| change(&mut numbers, model.get_mut(other).unwrap()));
        repository.git(&["checkout", "--quiet", "-b", &format!("branch-{number}")]);
        save(&branch, &mut commits);
        repository.git(&["checkout", "--quiet", "main"]);
        save(&model, &mut commits);
        // The branches change different files, so git can merge them.
        let merge = ["-c", "merge.renames=false", "merge", "--quiet", "--no-ff", "--no-edit"];
        repository.git(&[&merge[..], &[&format!("branch-{number}")]].concat());
        model.insert(one.clone(), branch[one].clone());
        commits.push((repository.git(&["rev-parse", "HEAD"]), model.clone()));
    }
    commits
}

/// The references of one kind of finding.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    moved: usize,
    removed: usize,
    overlaps: usize,
}

/// Counts the expected findings of lint by a naive comparison.
fn expected(now: &BTreeSet<Edge>, before: &BTreeSet<Edge>) -> Found {
    let by_reference = |edges: &BTreeSet<Edge>| {
        let mut references: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (repository, tag, digest) in edges.iter().filter(|(_, tag, _)| !tag.is_empty()) {
            references.entry((repository.clone(), tag.clone())).or_default().insert(digest.clone());
        }
        references
    };
    let (tags, old) = (by_reference(now), by_reference(before));
    let mut found = Found::default();
    for (reference, digests) in &tags {
        found.overlaps += digests.len() - 1;
        let is_moved = |old: &BTreeSet<String>| digests.len() == 1 && old.is_disjoint(digests);
        found.moved += usize::from(old.get(reference).is_some_and(is_moved));
    }
    let is_gone = |(repository, tag, digest): &&Edge| {
        if tag.is_empty() {
            !now.iter().any(|(other, _, listed)| (other, listed) == (repository, digest))
        } else {
            !tags.contains_key(&(repository.clone(), tag.clone()))
        }
    };
    found.removed = before.iter().filter(is_gone).count();
    found
}

/// Counts the references of findings. A finding names the first reference, and the number of the others.
fn found(directory: &Path, base: &Base) -> Found {
    let linted =
        lint(&Target::Thin { directory: directory.to_owned(), projects: None }, Some(base), &[]).unwrap();
    let mut found = Found::default();
    for finding in &linted.findings {
        let count = match finding.rule {
            Rule::TagMoved => &mut found.moved,
            Rule::EdgeRemoved => &mut found.removed,
            Rule::Overlap => &mut found.overlaps,
            rule => {
                assert!(!finding.is_error() && rule.name().starts_with("un"), "{}", finding.diagnostic);
                continue;
            }
        };
        let message = finding.diagnostic.message();
        let more = message.split_once(" (and ").and_then(|(_, rest)| rest.split(' ').next());
        *count += 1 + more.map_or(0, |more| if more == "one" { 1 } else { more.parse().unwrap() });
    }
    found
}

#[test]
fn over_a_history_of_200_commits_every_diff_matches_the_model() {
    let repository = Repository::new();
    let directory = repository.directory.path();
    let commits = history(&repository);
    assert_eq!(commits.len(), COMMITS);
    let merges = repository.git(&["rev-list", "--merges", "--count", "main"]);
    assert!(merges.parse::<usize>().unwrap() >= 10, "{merges} merges");

    let mut numbers = Numbers(11);
    let (mut pairs, mut total, mut added) = (0, Found::default(), 0);
    for head in (0..COMMITS).step_by(8).chain([COMMITS - 1]) {
        let (commit, model) = &commits[head];
        repository.git(&["checkout", "--quiet", "--detach", commit]);
        let now = expand(model);
        let manifests = thin(directory);
        assert_eq!(read(&manifests), now, "commit {head}");
        let neighbours = [head.saturating_sub(1), head.saturating_sub(4), head];
        let bases: BTreeSet<usize> =
            neighbours.into_iter().chain((0..3).map(|_| numbers.below(COMMITS))).collect();
        for base in bases {
            let (commit, model) = &commits[base];
            let before = expand(model);
            let commit = Base::Revision(commit.clone());
            let limited = limit_to_added(manifests.clone(), directory, &commit).unwrap();
            let wanted: BTreeSet<Edge> = now.difference(&before).cloned().collect();
            assert_eq!(read(&limited), wanted, "from {base} to {head}");
            let expected = expected(&now, &before);
            assert_eq!(found(directory, &commit), expected, "from {base} to {head}");
            pairs += 1;
            added += wanted.len();
            total.moved += expected.moved;
            total.removed += expected.removed;
            total.overlaps += expected.overlaps;
        }
    }
    // The history has enough changes of each kind.
    let is_rich =
        pairs > 120 && added > 1_000 && total.moved > 50 && total.removed > 100 && total.overlaps > 50;
    assert!(is_rich, "{pairs} pairs, {added} added, {total:?}");
}
