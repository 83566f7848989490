//! What one snapshot has and another has not.

use std::collections::{BTreeMap, BTreeSet};

use oci::Digest;

use super::{Contents, Snapshot};

/// The differences of an image between two snapshots. Every difference is in one list only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageDiff {
    /// The path of the image below the registry.
    pub name: String,
    /// The digests that only the first snapshot has, each with its tags that the second one does not have at any digest.
    pub removed: Vec<(Digest, Vec<String>)>,
    /// The digests that only the second snapshot has, each with its tags that the first one does not have at any digest.
    pub added: Vec<(Digest, Vec<String>)>,
    /// The tags that only the first snapshot has, of digests that both have.
    pub untagged: Vec<(String, Digest)>,
    /// The tags that only the second snapshot has, of digests that both have.
    pub tagged: Vec<(String, Digest)>,
    /// The tags that name another digest in the second snapshot, with the digests in the first and the second one.
    pub moved: Vec<(String, Digest, Digest)>,
}

impl ImageDiff {
    fn is_empty(&self) -> bool {
        let Self { name: _, removed, added, untagged, tagged, moved } = self;
        removed.is_empty() && added.is_empty() && untagged.is_empty() && tagged.is_empty() && moved.is_empty()
    }
}

/// Compares two snapshots. Returns the images that differ, in order.
pub fn diff<'a>(first: &'a Snapshot, second: &'a Snapshot) -> impl Iterator<Item = ImageDiff> + use<'a> {
    let names: BTreeSet<&str> = first.images().chain(second.images()).map(|(name, _)| name).collect();
    names
        .into_iter()
        .map(|name| of_image(name, first.images.get(name), second.images.get(name)))
        .filter(|difference| !difference.is_empty())
}

fn of_image(name: &str, first: Option<&Contents>, second: Option<&Contents>) -> ImageDiff {
    let (first, second) = (Sides::of(first), Sides::of(second));
    let mut difference = ImageDiff { name: name.to_owned(), ..ImageDiff::default() };
    (difference.removed, difference.untagged) = first.without(&second);
    (difference.added, difference.tagged) = second.without(&first);
    for (tag, from) in &first.tags {
        if let Some(to) = second.tags.get(tag).filter(|to| *to != from) {
            difference.moved.push(((*tag).to_owned(), *from, *to));
        }
    }
    difference
}

/// One snapshot's side of an image.
#[derive(Default)]
struct Sides<'a> {
    digests: BTreeMap<Digest, Vec<&'a str>>,
    tags: BTreeMap<&'a str, Digest>,
}

impl<'a> Sides<'a> {
    fn of(contents: Option<&'a Contents>) -> Self {
        let mut this = Self::default();
        for entry in contents.into_iter().flat_map(Contents::entries) {
            this.digests.insert(entry.digest(), entry.tags().collect());
            this.tags.extend(entry.tags().map(|tag| (tag, entry.digest())));
        }
        this
    }

    /// Returns the digests that the other side does not have, and the tags that it does not have at digests that it has.
    #[expect(clippy::type_complexity, reason = "the lists of `ImageDiff`")]
    fn without(&self, other: &Self) -> (Vec<(Digest, Vec<String>)>, Vec<(String, Digest)>) {
        let (mut digests, mut lone_tags) = (Vec::new(), Vec::new());
        for (digest, tags) in &self.digests {
            let gone = tags.iter().filter(|tag| !other.tags.contains_key(*tag)).map(|tag| (*tag).to_owned());
            if other.digests.contains_key(digest) {
                lone_tags.extend(gone.map(|tag| (tag, *digest)));
            } else {
                digests.push((*digest, gone.collect()));
            }
        }
        lone_tags.sort_unstable();
        (digests, lone_tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(images: &[(&str, &[(u8, &str)])]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, digests) in images {
            let tags = |text: &str| text.split_whitespace().map(|tag| tag.parse().unwrap()).collect();
            snapshot.insert(
                name,
                Contents::new(digests.iter().map(|(n, text)| (Digest::Sha256([*n; 32]), tags(text)))),
            );
        }
        snapshot
    }

    #[test]
    fn each_difference_is_told_once() {
        let a = snapshot(&[
            ("gone", &[(1, "v1")]),
            ("same", &[(1, "v1")]),
            ("x", &[(1, "v1 old"), (2, "v2"), (3, "")]),
        ]);
        let b = snapshot(&[("same", &[(1, "v1")]), ("x", &[(1, "v1 new"), (4, "v2 v4"), (5, "")])]);
        let digest = |n: u8| Digest::Sha256([n; 32]);
        let text = |text: &str| text.to_owned();
        let found: Vec<ImageDiff> = diff(&a, &b).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].name.as_str(), &found[0].removed),
            ("gone", &vec![(digest(1), vec![text("v1")])])
        );
        let expected = ImageDiff {
            name: text("x"),
            removed: vec![(digest(2), vec![]), (digest(3), vec![])],
            added: vec![(digest(4), vec![text("v4")]), (digest(5), vec![])],
            untagged: vec![(text("old"), digest(1))],
            tagged: vec![(text("new"), digest(1))],
            moved: vec![(text("v2"), digest(2), digest(4))],
        };
        assert_eq!(found[1], expected);
        assert_eq!(diff(&a, &a).count(), 0);
    }
}
