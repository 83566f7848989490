//! Checks that an edit changed nothing except the expected additions.

use std::collections::{BTreeMap, BTreeSet};

use oci_types::{Digest, RepositoryPath, Tag};

use super::addition::{Addition, FileKind};
use super::error::EditError;
use crate::contents::Contents;
use crate::lint::fix::comments;
use crate::lint::layout::{Value, layout};
use crate::model::Image;
use crate::schema::{self, Reading};

/// The promotions of a list of images: the tags of each digest of each image, unordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Promotes(BTreeMap<(RepositoryPath, Digest), BTreeSet<Tag>>);

impl Promotes {
    pub(super) fn has(&self, Addition { image, digest, tag }: &Addition) -> bool {
        self.0.get(&(image.clone(), *digest)).is_some_and(|tags| tags.contains(tag))
    }

    pub(super) fn add(&mut self, Addition { image, digest, tag }: &Addition) {
        self.0.entry((image.clone(), *digest)).or_default().insert(tag.clone());
    }

    /// Returns the tags that `before` does not have, or `None` if anything in `before` is missing.
    pub(super) fn since(&self, before: &Self) -> Option<Vec<Addition>> {
        let keeps =
            |(key, tags): (&_, &BTreeSet<Tag>)| self.0.get(key).is_some_and(|own| own.is_superset(tags));
        before.0.iter().all(keeps).then(|| {
            let tags = self.0.iter().flat_map(|((image, digest), tags)| {
                tags.iter().map(|tag| Addition { image: image.clone(), digest: *digest, tag: tag.clone() })
            });
            tags.filter(|addition| !before.has(addition)).collect()
        })
    }
}

pub(super) fn listed(images: &[Image]) -> Promotes {
    let mut promotes = Promotes::default();
    for image in images {
        for row in &image.digests {
            let tags = promotes.0.entry((image.name.clone(), row.digest)).or_default();
            tags.extend(row.tags.iter().map(|(tag, _)| tag.clone()));
        }
    }
    promotes
}

/// Returns the kind of a file. An unreadable file counts as a list of images; its errors are reported later.
pub(super) fn kind_of(contents: &Contents) -> FileKind {
    let root = std::str::from_utf8(&contents.bytes).ok().and_then(layout).and_then(|layout| layout.root);
    match root.map(|root| root.value) {
        Some(Value::Map { .. }) => FileKind::Plain,
        _ => FileKind::Images,
    }
}

/// Reads the images of a file.
///
/// # Errors
/// Returns all faults of the file.
pub(super) fn images(kind: FileKind, contents: &Contents) -> Result<Vec<Image>, EditError> {
    let (images, wrong) = match kind {
        FileKind::Images => {
            let Reading { value, wrong, .. } = schema::images(contents, None);
            (value, wrong)
        }
        FileKind::Plain => {
            let Reading { value: (_, images), wrong, .. } = schema::plain(contents);
            (images, wrong)
        }
    };
    wrong.or(images.unwrap_or_default()).map_err(EditError::Invalid)
}

/// Returns the images of a changed file, if it has the expected promotions, the same comments and, for a plain manifest, the same
/// registries.
pub(super) fn verify(
    kind: FileKind,
    before: &Contents,
    after: &Contents,
    expected: &Promotes,
) -> Result<Vec<Image>, &'static str> {
    let images = images(kind, after).map_err(|_| "have faults")?;
    if listed(&images) != *expected {
        return Err("promote something else");
    }
    if kind == FileKind::Plain && registries(before) != registries(after) {
        return Err("have other registries");
    }
    if comments(before) != comments(after) {
        return Err("have other comments");
    }
    Ok(images)
}

fn registries(contents: &Contents) -> Vec<(String, Option<String>)> {
    let (registries, _) = schema::plain(contents).value;
    let sources = registries.sources.iter().map(|source| (source.to_string(), None));
    let destinations = registries.destinations.into_iter().flatten();
    let destinations =
        destinations.map(|destination| (destination.root.to_string(), destination.service_account));
    sources.chain(destinations).collect()
}
