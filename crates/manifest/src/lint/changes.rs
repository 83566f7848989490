//! Finds overlaps within a state of the manifests, and tags that moved and edges that were removed between two states.
//!
//! Edges are not expanded, because Kubernetes has 1.3 million. Destination repositories with the same images are compared once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use oci_types::{AttachedTag, Digest, Repository, Tag};

use super::rule::Rule;
use crate::assembly::Assembled;
use crate::diagnostic::Severity;
use crate::model::{Destination, Image};
use crate::source::Position;

/// A position in an images file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) position: Position,
}

/// A change, or a contradiction within the later state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Two digests for one tag. `is_known`: the base has the same two digests.
    Overlap { first: (Digest, Place), second: (Digest, Place), is_known: bool },
    /// A tag with another digest. `is_certain` is false if the base has the old digest only in a part that was left out.
    Moved { from: (Digest, Place), to: (Digest, Place), is_certain: bool },
    /// An edge of the base that was removed. The project is the project in the base.
    Removed { project: Arc<str>, digest: Digest, place: Place },
}

impl Kind {
    pub(super) fn rule(&self) -> Rule {
        match self {
            Self::Overlap { .. } => Rule::Overlap,
            Self::Moved { .. } => Rule::TagMoved,
            Self::Removed { .. } => Rule::EdgeRemoved,
        }
    }

    /// Returns the severity. Overlaps that the base also has, uncertain moves and removed edges are warnings.
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Overlap { is_known: false, .. } | Self::Moved { is_certain: true, .. } => Severity::Error,
            Self::Overlap { .. } | Self::Moved { .. } | Self::Removed { .. } => Severity::Warning,
        }
    }
}

/// A change with the references that it affects.
pub(super) struct Change {
    pub(super) kind: Kind,
    /// The tag; `None` for a removed edge without a tag.
    pub(super) tag: Option<Tag>,
    pub(super) repositories: Vec<Repository>,
}

/// An image of a state.
struct Listed<'a> {
    /// The project and its images file. `None` for images that are left out.
    origin: Option<(&'a Arc<str>, &'a Arc<str>)>,
    image: &'a Image,
}

/// The images that are promoted to a repository, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Holders {
    now: Vec<usize>,
    base: Vec<usize>,
}

/// The tags of a repository at one state.
#[derive(Default)]
struct Tags<'a> {
    /// The digests of each tag with their positions, without those that are left out.
    certain: IndexMap<&'a Tag, Vec<(Digest, Place)>>,
    /// The digests of each tag in parts that are left out.
    doubtful: HashMap<&'a Tag, Vec<Digest>>,
    /// The digests that are listed without a tag.
    untagged: Vec<(Digest, Place)>,
    /// All digests, including those that are left out.
    digests: HashSet<Digest>,
}

/// Compares two states. Without a base, finds only overlaps. `illegible` has the projects whose current state cannot be read
/// completely: no edge counts as removed from them.
pub(super) fn compare(
    now: &Assembled,
    base: Option<&Assembled>,
    illegible: &HashSet<Arc<str>>,
) -> Vec<Change> {
    let mut images: Vec<Listed<'_>> = Vec::new();
    let mut repositories: IndexMap<Repository, Holders> = IndexMap::new();
    add(now, &mut images, &mut repositories, |holders| &mut holders.now);
    if let Some(base) = base {
        add(base, &mut images, &mut repositories, |holders| &mut holders.base);
    }
    let mut groups: IndexMap<Holders, Vec<Repository>> = IndexMap::new();
    for (repository, holders) in repositories {
        groups.entry(holders).or_default().push(repository);
    }
    let mut changes: IndexMap<(Kind, Option<Tag>), Vec<Repository>> = IndexMap::new();
    for (holders, repositories) in groups {
        let at = |numbers: &[usize]| tags(numbers.iter().map(|number| &images[*number]));
        let (now, before) = (at(&holders.now), at(&holders.base));
        let mut found = Vec::new();
        changed(&now, &before, &mut found);
        let projects: IndexSet<&Arc<str>> = holders
            .base
            .iter()
            .filter_map(|number| images[*number].origin)
            .map(|(project, _)| project)
            .collect();
        if !projects.iter().any(|project| illegible.contains(*project)) {
            let project = projects.first().map(|project| Arc::clone(project)).unwrap_or_default();
            removed(&now, &before, &project, &mut found);
        }
        for found in found {
            changes.entry(found).or_default().extend(repositories.iter().cloned());
        }
    }
    changes.into_iter().map(|((kind, tag), repositories)| Change { kind, tag, repositories }).collect()
}

/// Adds the images of a state to the repositories that they are promoted to.
fn add<'a>(
    state: &'a Assembled,
    images: &mut Vec<Listed<'a>>,
    repositories: &mut IndexMap<Repository, Holders>,
    list: impl Fn(&mut Holders) -> &mut Vec<usize>,
) {
    let mut add = |origin, destinations: &[Destination], of: &'a [Image]| {
        for image in of {
            let number = images.len();
            images.push(Listed { origin, image });
            for destination in destinations {
                // If a name is too long for a destination, the image is not promoted there.
                let Ok(repository) = destination.root.repository(&image.name) else { continue };
                list(repositories.entry(repository).or_default()).push(number);
            }
        }
    };
    for manifest in &state.manifests {
        add(Some((&manifest.name, &manifest.images_file)), &manifest.destinations, &manifest.images);
    }
    for (destinations, images) in state.left_out.iter().chain(&state.doubtful) {
        add(None, destinations, images);
    }
}

/// Collects the tags of a repository. Tags of attached metadata are not promoted.
fn tags<'a>(listed: impl Iterator<Item = &'a Listed<'a>>) -> Tags<'a> {
    let mut tags = Tags::default();
    for Listed { origin, image } in listed {
        for entry in &image.digests {
            tags.digests.insert(entry.digest);
            let place = |position| origin.map(|(_, file)| Place { file: Arc::clone(file), position });
            if let (true, Some(place)) = (entry.tags.is_empty(), place(entry.position)) {
                tags.untagged.push((entry.digest, place));
            }
            for (tag, position) in entry.tags.iter().filter(|(tag, _)| AttachedTag::parse(tag).is_none()) {
                match place(*position) {
                    Some(place) => tags.certain.entry(tag).or_default().push((entry.digest, place)),
                    None => tags.doubtful.entry(tag).or_default().push(entry.digest),
                }
            }
        }
    }
    tags
}

/// Finds overlaps and moved tags.
fn changed(now: &Tags<'_>, before: &Tags<'_>, found: &mut Vec<(Kind, Option<Tag>)>) {
    for (tag, listed) in &now.certain {
        let (digest, _) = &listed[0];
        let old = before.certain.get(*tag).map(Vec::as_slice).unwrap_or_default();
        let was = |digest: &Digest| old.iter().any(|(other, _)| other == digest);
        let mut seen = HashSet::from([*digest]);
        for second in listed.iter().filter(|(digest, _)| seen.insert(*digest)) {
            let is_known = was(digest) && was(&second.0);
            let kind = Kind::Overlap { first: listed[0].clone(), second: second.clone(), is_known };
            found.push((kind, Some((*tag).clone())));
        }
        if seen.len() > 1 {
            continue;
        }
        if let Some(from) = old.first().filter(|_| !was(digest)) {
            let kind = Kind::Moved { from: from.clone(), to: listed[0].clone(), is_certain: true };
            found.push((kind, Some((*tag).clone())));
        }
        let doubtful = before.doubtful.get(*tag).map(Vec::as_slice).unwrap_or_default();
        if let (true, Some(from)) = (old.is_empty() && !doubtful.contains(digest), doubtful.first()) {
            // Parts that are left out have no position.
            let from = (*from, listed[0].1.clone());
            let kind = Kind::Moved { from, to: listed[0].clone(), is_certain: false };
            found.push((kind, Some((*tag).clone())));
        }
    }
}

/// Finds removed edges. A digest that got its first tag is still promoted.
fn removed(now: &Tags<'_>, before: &Tags<'_>, project: &Arc<str>, found: &mut Vec<(Kind, Option<Tag>)>) {
    for (tag, listed) in &before.certain {
        if now.certain.contains_key(*tag) || now.doubtful.contains_key(*tag) {
            continue;
        }
        let mut seen = HashSet::new();
        for (digest, place) in listed.iter().filter(|(digest, _)| seen.insert(*digest)) {
            let kind = Kind::Removed { project: Arc::clone(project), digest: *digest, place: place.clone() };
            found.push((kind, Some((*tag).clone())));
        }
    }
    for (digest, place) in before.untagged.iter().filter(|(digest, _)| !now.digests.contains(digest)) {
        let kind = Kind::Removed { project: Arc::clone(project), digest: *digest, place: place.clone() };
        found.push((kind, None));
    }
}
