//! The digests and tags of one image, in a compact form: production has tens of thousands of tags.

use std::collections::BTreeMap;

use oci::{Digest, Tag};

/// The digests of an image, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    entries: Box<[Entry]>,
}

/// A digest and its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    digest: Packed,
    /// The tags in order, separated by spaces, which no tag contains.
    tags: Box<str>,
}

/// A digest that uses only the memory that its algorithm needs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Packed {
    Sha256([u8; 32]),
    Sha512(Box<[u8; 64]>),
}

impl Contents {
    /// Creates the contents from digests and their tags, which may be unordered and may repeat.
    pub(crate) fn new(digests: impl IntoIterator<Item = (Digest, Vec<Tag>)>) -> Self {
        let mut ordered: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
        for (digest, tags) in digests {
            ordered.entry(digest).or_default().extend(tags);
        }
        let entry = |(digest, mut tags): (Digest, Vec<Tag>)| {
            tags.sort_unstable();
            tags.dedup();
            let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
            Entry { digest: Packed::from(digest), tags: tags.join(" ").into() }
        };
        Self { entries: ordered.into_iter().map(entry).collect() }
    }

    /// Returns the digests with their tags, ordered by digest.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn keep(&mut self, keeps: impl Fn(&Entry) -> bool) {
        if !self.entries.iter().all(&keeps) {
            self.entries = std::mem::take(&mut self.entries).into_iter().filter(keeps).collect();
        }
    }
}

impl Entry {
    /// Returns the digest.
    pub fn digest(&self) -> Digest {
        match &self.digest {
            Packed::Sha256(hash) => Digest::Sha256(*hash),
            Packed::Sha512(hash) => Digest::Sha512(**hash),
        }
    }

    /// Returns the tags in order.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.split(' ').filter(|tag| !tag.is_empty())
    }

    pub(crate) fn is_tagged(&self) -> bool {
        !self.tags.is_empty()
    }

    pub(crate) fn has_tag(&self, tag: &Tag) -> bool {
        self.tags().any(|own| own == tag.as_str())
    }
}

impl From<Digest> for Packed {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Sha256(hash) => Self::Sha256(hash),
            Digest::Sha512(hash) => Self::Sha512(Box::new(hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        text.split_whitespace().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn digests_and_tags_are_sorted_as_text_without_duplicates() {
        let digests = [Digest::Sha512([0; 64]), Digest::Sha256([9; 32]), Digest::Sha256([1; 32])];
        let listed = [(digests[0], "z"), (digests[1], "v10 v9 V1"), (digests[2], ""), (digests[1], "v9 _a")];
        let contents = Contents::new(listed.map(|(digest, names)| (digest, tags(names))));
        let shown: Vec<(String, Vec<&str>)> = contents
            .entries()
            .iter()
            .map(|entry| (entry.digest().to_string(), entry.tags().collect()))
            .collect();
        let mut sorted = shown.clone();
        sorted.sort();
        assert_eq!(shown, sorted);
        assert_eq!(shown.len(), 3);
        assert_eq!(shown[0].1, [] as [&str; 0]);
        assert_eq!(shown[1].1, ["V1", "_a", "v10", "v9"]);
    }

    /// 45,000 tags on as many digests, and twice as many untagged digests, must fit into a small part of 100 MB.
    #[test]
    fn an_entry_has_56_bytes_and_one_allocation_for_all_its_tags() {
        assert_eq!(size_of::<Entry>(), 56);
        assert_eq!(size_of::<Contents>(), 16);
        assert!(135_000 * size_of::<Entry>() + 45_000 * 128 < 16 << 20);
    }
}
