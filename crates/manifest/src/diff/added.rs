//! The edges that were added to manifests.
//!
//! An edge is the same at another commit where its destination reference and digest are: repository and tag, or repository
//! alone where it has no tag. From which staging registry it comes does not matter.
//!
//! Kubernetes has 1.3 million edges. They are not expanded: what an image promotes is one set, shared by all destinations of its
//! manifest and by all commits that have the same.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use oci_types::{Digest, RegistryRoot, Repository, Tag};

use crate::model::{Destination, DigestTags, Image, Manifest};

/// What is promoted to a repository: a digest, with one of its tags or without any.
type Pair = (Digest, Option<Tag>);

/// The number of a set of pairs.
type SetId = u32;

/// The number of the empty set.
const EMPTY: SetId = 0;

/// Sets of pairs, equal ones with the same number.
struct Sets {
    /// Each in order.
    sets: Vec<Arc<[Pair]>>,
    numbers: HashMap<Arc<[Pair]>, SetId>,
}

impl Sets {
    /// The number of a set, given with its pairs in order.
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

/// What an earlier state promotes to one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Had {
    /// The sets that are promoted there.
    known: Vec<SetId>,
    /// The sets of manifests that are left out: they may have been promoted or not.
    doubtful: Vec<SetId>,
}

/// The edges of an earlier state.
#[derive(Default)]
pub(super) struct Earlier {
    sets: Sets,
    repositories: HashMap<Repository, Had>,
}

/// Of the edges that a manifest has to one repository, those that were added, and the number of those of which that is not
/// known.
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
                // A name that is too long for a destination is promoted nowhere.
                let Ok(repository) = destination.root.repository(&image.name) else { continue };
                let list = list(self.repositories.entry(repository).or_default());
                if !list.contains(&set) {
                    list.push(set);
                }
            }
        }
    }

    /// The edges of a manifest that this state does not have, as manifests each with the destinations to which the same was
    /// added; and the number of edges of which that is not known, which are left out too. In a manifest that `is_illegible`
    /// here it is known of none.
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

    /// What was added to a repository that had something before.
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

    /// An image with only the digests and tags of a set; `None` where that is empty.
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
