//! Finds the edges that were added to manifests.
//!
//! An edge is the same at another commit if its digest and its destination reference are the same: repository and tag, or
//! repository alone if it has no tag. The staging registry does not matter.
//!
//! Kubernetes has 1.3 million edges. They are not expanded: the promotions of an image are one set, shared by all
//! destinations of the manifest and by all commits that have the same set.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use oci_types::{Digest, RegistryRoot, Repository, Tag};

use crate::model::{Destination, DigestTags, Image, Manifest};

/// A promotion to a repository: a digest, with one of its tags or without a tag.
type Pair = (Digest, Option<Tag>);

/// The number of a set of pairs.
type SetId = u32;

/// The number of the empty set.
const EMPTY: SetId = 0;

/// Interned sets of pairs. Equal sets have the same number.
struct Sets {
    /// The pairs of each set are sorted.
    sets: Vec<Arc<[Pair]>>,
    numbers: HashMap<Arc<[Pair]>, SetId>,
}

impl Sets {
    /// Returns the number of a set. `pairs` must be sorted.
    fn number(&mut self, pairs: Vec<Pair>) -> SetId {
        let pairs: Arc<[Pair]> = pairs.into();
        if let Some(number) = self.numbers.get(&pairs) {
            return *number;
        }
        let number = SetId::try_from(self.sets.len()).unwrap_or(SetId::MAX);
        self.sets.push(Arc::clone(&pairs));
        self.numbers.insert(pairs, number);
        number
    }

    fn of(&mut self, image: &Image) -> SetId {
        let mut pairs: Vec<Pair> = image.digests.iter().flat_map(pairs).collect();
        pairs.sort_unstable();
        pairs.dedup();
        self.number(pairs)
    }

    fn pairs(&self, number: SetId) -> &[Pair] {
        &self.sets[number as usize]
    }

    fn any_has(&self, numbers: &[SetId], pair: &Pair) -> bool {
        numbers.iter().any(|number| self.pairs(*number).binary_search(pair).is_ok())
    }
}

impl Default for Sets {
    fn default() -> Self {
        let mut sets = Self { sets: Vec::new(), numbers: HashMap::new() };
        sets.number(Vec::new());
        sets
    }
}

fn pairs(listed: &DigestTags) -> impl Iterator<Item = Pair> {
    let untagged = listed.tags.is_empty().then_some((listed.digest, None));
    listed.tags.iter().map(|(tag, _)| (listed.digest, Some(tag.clone()))).chain(untagged)
}

/// The promotions of an earlier state to one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Had {
    /// The promoted sets.
    known: Vec<SetId>,
    /// The sets of manifests that are left out. It is unknown whether they were promoted.
    doubtful: Vec<SetId>,
}

/// The edges of an earlier state.
#[derive(Default)]
pub(super) struct Earlier {
    sets: Sets,
    repositories: HashMap<Repository, Had>,
}

/// The edges of a manifest to one repository that were added, and the number of edges for which that is unknown.
#[derive(Clone, Copy)]
struct Added {
    set: SetId,
    unknown: usize,
}

impl Earlier {
    /// Adds the edges of a manifest.
    pub(super) fn know(&mut self, destinations: &[Destination], images: &[Image]) {
        self.add(destinations, images, |had| &mut had.known);
    }

    /// Adds the edges of a manifest that was left out.
    pub(super) fn doubt(&mut self, destinations: &[Destination], images: &[Image]) {
        self.add(destinations, images, |had| &mut had.doubtful);
    }

    fn add(
        &mut self,
        destinations: &[Destination],
        images: &[Image],
        list: impl Fn(&mut Had) -> &mut Vec<SetId>,
    ) {
        for image in images {
            let set = self.sets.of(image);
            for destination in destinations {
                // If a name is too long for a destination, the image is not promoted there.
                let Ok(repository) = destination.root.repository(&image.name) else { continue };
                let list = list(self.repositories.entry(repository).or_default());
                if !list.contains(&set) {
                    list.push(set);
                }
            }
        }
    }

    /// Returns the edges of a manifest that this state does not have, and the number of edges for which that is unknown. The
    /// result has one manifest for each group of destinations to which the same edges were added. Unknown edges are left out
    /// of it. If the project `is_illegible` in this state, all edges that the state is not known to have are unknown.
    pub(super) fn limit(&mut self, manifest: Manifest, is_illegible: bool) -> (Vec<Manifest>, usize) {
        let Manifest { name, images_file, source, destinations, images, .. } = manifest;
        let all = destinations.clone();
        let add: Vec<SetId> = images.iter().map(|image| self.sets.of(image)).collect();
        let mut judged: HashMap<(SetId, Had), Added> = HashMap::new();
        let mut unknown = 0;
        let mut groups: IndexMap<Vec<SetId>, Vec<Destination>> = IndexMap::new();
        for destination in destinations {
            let mut sets = Vec::with_capacity(images.len());
            for (image, add) in images.iter().zip(&add) {
                let Ok(repository) = destination.root.repository(&image.name) else {
                    sets.push(EMPTY);
                    continue;
                };
                let had = self.repositories.get(&repository).cloned().unwrap_or_default();
                let key = (*add, had);
                let added = match judged.get(&key) {
                    Some(added) => *added,
                    None => {
                        let added = self.judge(*add, &key.1, is_illegible);
                        *judged.entry(key).or_insert(added)
                    }
                };
                unknown += added.unknown;
                sets.push(added.set);
            }
            if sets.iter().any(|set| *set != EMPTY) {
                groups.entry(sets).or_default().push(destination);
            }
        }
        let limited = groups.into_iter().map(|(sets, destinations)| {
            let images = images.iter().zip(sets).filter_map(|(image, set)| self.narrowed(image, set));
            let changes = |root: &RegistryRoot| destinations.iter().any(|changed| changed.root == *root);
            let unchanged = all.iter().filter(|destination| !changes(&destination.root)).cloned().collect();
            Manifest {
                name: Arc::clone(&name),
                images_file: Arc::clone(&images_file),
                source: source.clone(),
                destinations,
                unchanged,
                images: images.collect(),
            }
        });
        (limited.collect(), unknown)
    }

    /// Determines which edges of a set were added to a repository.
    fn judge(&mut self, add: SetId, had: &Had, is_illegible: bool) -> Added {
        if had.known.contains(&add) {
            return Added { set: EMPTY, unknown: 0 };
        }
        let mut added = Vec::new();
        let mut unknown = 0;
        for pair in self.sets.pairs(add) {
            if self.sets.any_has(&had.known, pair) {
                continue;
            }
            if is_illegible || self.sets.any_has(&had.doubtful, pair) {
                unknown += 1;
            } else {
                added.push(pair.clone());
            }
        }
        Added { set: self.sets.number(added), unknown }
    }

    /// Limits an image to the digests and tags of a set. Returns `None` if nothing remains.
    fn narrowed(&self, image: &Image, set: SetId) -> Option<Image> {
        if set == EMPTY {
            return None;
        }
        let added = self.sets.pairs(set);
        let has = |digest: Digest, tag: Option<Tag>| added.binary_search(&(digest, tag)).is_ok();
        let digests: Vec<DigestTags> = image
            .digests
            .iter()
            .filter_map(|listed| {
                let is_added = listed.tags.is_empty() && has(listed.digest, None);
                let tags = listed.tags.iter().filter(|(tag, _)| has(listed.digest, Some(tag.clone())));
                let tags: Vec<_> = tags.cloned().collect();
                let listed = DigestTags { digest: listed.digest, position: listed.position, tags };
                (is_added || !listed.tags.is_empty()).then_some(listed)
            })
            .collect();
        (!digests.is_empty()).then(|| Image { name: image.name.clone(), digests })
    }
}
