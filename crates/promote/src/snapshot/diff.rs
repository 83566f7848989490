//! The differences between two snapshots.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, Tag};

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
    /// Keeps only differences of these digests.
    fn keep(&mut self, digests: &[Digest]) {
        let Self { name: _, removed, added, untagged, tagged, moved } = self;
        let concerns = |digest: &Digest| digests.contains(digest);
        removed.retain(|(digest, _)| concerns(digest));
        added.retain(|(digest, _)| concerns(digest));
        untagged.retain(|(_, digest)| concerns(digest));
        tagged.retain(|(_, digest)| concerns(digest));
        moved.retain(|(_, from, to)| concerns(from) || concerns(to));
    }

    fn is_empty(&self) -> bool {
        let Self { name: _, removed, added, untagged, tagged, moved } = self;
        removed.is_empty() && added.is_empty() && untagged.is_empty() && tagged.is_empty() && moved.is_empty()
    }
}

/// Compares two snapshots. Returns the images that differ, in order. With `tag`, only returns differences of the digests that
/// have this tag in either snapshot. Both snapshots have to be complete for this: a digest that has lost the tag is not a removed
/// digest.
pub fn diff<'a>(
    first: &'a Snapshot,
    second: &'a Snapshot,
    tag: Option<&'a Tag>,
) -> impl Iterator<Item = ImageDiff> + use<'a> {
    let names: BTreeSet<&str> = first.images().chain(second.images()).map(|(name, _)| name).collect();
    names
        .into_iter()
        .map(move |name| of_image(name, first.images.get(name), second.images.get(name), tag))
        .filter(|difference| !difference.is_empty())
}

fn of_image(name: &str, first: Option<&Contents>, second: Option<&Contents>, tag: Option<&Tag>) -> ImageDiff {
    let (first, second) = (Sides::of(first), Sides::of(second));
    let mut difference = ImageDiff { name: name.to_owned(), ..ImageDiff::default() };
    (difference.removed, difference.untagged) = first.without(&second);
    (difference.added, difference.tagged) = second.without(&first);
    for (tag, from) in &first.tags {
        if let Some(to) = second.tags.get(tag).filter(|to| *to != from) {
            difference.moved.push(((*tag).to_owned(), *from, *to));
        }
    }
    if let Some(tag) = tag {
        let named = [&first, &second].into_iter().filter_map(|side| side.tags.get(tag.as_str()).copied());
        difference.keep(&named.collect::<Vec<_>>());
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
    fn each_difference_is_reported_once() {
        let a = snapshot(&[
            ("gone", &[(1, "v1")]),
            ("same", &[(1, "v1")]),
            ("x", &[(1, "v1 old"), (2, "v2"), (3, "")]),
        ]);
        let b = snapshot(&[("same", &[(1, "v1")]), ("x", &[(1, "v1 new"), (4, "v2 v4"), (5, "")])]);
        let digest = |n: u8| Digest::Sha256([n; 32]);
        let text = |text: &str| text.to_owned();
        let found: Vec<ImageDiff> = diff(&a, &b, None).collect();
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
        assert_eq!(diff(&a, &a, None).count(), 0);
    }

    #[test]
    fn a_tag_limits_what_is_reported_and_not_what_is_compared() {
        let a = snapshot(&[
            ("lost", &[(1, "v1 x"), (2, "y")]),
            ("moved", &[(1, "v1"), (2, "v2")]),
            ("other", &[(1, "v2")]),
            ("same", &[(1, "v1 x"), (2, "y")]),
        ]);
        let b = snapshot(&[
            ("lost", &[(1, "x")]),
            ("moved", &[(1, "old"), (2, "v1 v2")]),
            ("other", &[(2, "v2")]),
            ("same", &[(1, "v1 x"), (3, "y")]),
        ]);
        let digest = |n: u8| Digest::Sha256([n; 32]);
        let text = |text: &str| text.to_owned();
        let v1 = "v1".parse().unwrap();
        let differences = |a, b| diff(a, b, Some(&v1)).collect::<Vec<ImageDiff>>();
        let lost =
            ImageDiff { name: text("lost"), untagged: vec![(text("v1"), digest(1))], ..ImageDiff::default() };
        let moved = ImageDiff {
            name: text("moved"),
            tagged: vec![(text("old"), digest(1))],
            moved: vec![(text("v1"), digest(1), digest(2))],
            ..ImageDiff::default()
        };
        assert_eq!(differences(&a, &b), [lost, moved]);
        assert_eq!(differences(&b, &a)[0].tagged, [(text("v1"), digest(1))]);
    }
}
