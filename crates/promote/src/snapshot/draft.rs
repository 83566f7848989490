//! The contents of a repository while its registry lists them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use oci::{Digest, Listed, MediaType, Tag};

use super::Contents;

/// The maximum number of invalid names of a list that are kept.
const INVALID_MAX: usize = 3;

/// The contents of one repository, as listed. An entry may be listed several times.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Whether the registry lists manifests and child repositories, as Google's do.
    is_google: bool,
    tags: BTreeSet<Tag>,
    manifests: HashMap<Digest, Manifest>,
    children: BTreeSet<Box<str>>,
    /// Some of the names that cannot be requested.
    invalid: BTreeSet<Box<str>>,
    has_more_invalid: bool,
}

#[derive(Debug)]
struct Manifest {
    may_be_index: bool,
    tags: Vec<Tag>,
    uploaded: Option<i64>,
}

/// A manifest as the walk has found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundManifest {
    pub(crate) digest: Digest,
    pub(crate) may_be_index: bool,
    /// The tags that name it.
    pub(crate) tags: Vec<Tag>,
    /// When it was uploaded, in milliseconds since 1970, if the registry says so.
    pub(crate) uploaded: Option<i64>,
}

impl Draft {
    /// Adds an entry of the list.
    pub(super) fn take(&mut self, listed: Listed) {
        match listed {
            Listed::Tag(tag) => drop(self.tags.insert(tag)),
            Listed::Manifests => self.is_google = true,
            Listed::Manifest(manifest) => {
                let may_be_index = may_be_index(&manifest.media_type);
                let (tags, uploaded) = (manifest.tags, manifest.uploaded);
                self.manifests.insert(manifest.digest, Manifest { may_be_index, tags, uploaded });
            }
            Listed::Child(name) => {
                self.is_google = true;
                self.children.insert(name);
            }
            Listed::Invalid(name) => {
                if self.invalid.len() < INVALID_MAX {
                    self.invalid.insert(name);
                } else {
                    self.has_more_invalid |= !self.invalid.contains(&name);
                }
            }
            Listed::Restarted => *self = Self::default(),
        }
    }

    /// Returns some of the listed names that are neither valid tags nor valid digests, for display. `None` if there are none.
    pub(super) fn invalid_names(&self) -> Option<String> {
        let names: Vec<String> = self.invalid.iter().map(|name| format!("`{name}`")).collect();
        let more = if self.has_more_invalid { " and others" } else { "" };
        (!names.is_empty()).then(|| names.join(", ") + more)
    }

    pub(super) fn is_google(&self) -> bool {
        self.is_google
    }

    /// Takes the names of the child repositories: one path component each.
    pub(super) fn take_children(&mut self) -> BTreeSet<Box<str>> {
        std::mem::take(&mut self.children)
    }

    pub(super) fn has_tag(&self, tag: &Tag) -> bool {
        self.tags.contains(tag) || self.manifests.values().any(|manifest| manifest.tags.contains(tag))
    }

    /// Takes the tags whose manifest is not known from the list: all of them, unless the registry lists manifests. A list of
    /// manifests has a tag at no manifest, or at several, only if the tag has changed in the meantime.
    pub(super) fn take_unresolved(&mut self) -> BTreeSet<Tag> {
        let mut named: BTreeMap<&Tag, usize> = self.tags.iter().map(|tag| (tag, 0)).collect();
        for manifest in self.manifests.values_mut() {
            manifest.tags.sort_unstable();
            manifest.tags.dedup();
        }
        for tag in self.manifests.values().flat_map(|manifest| &manifest.tags) {
            *named.entry(tag).or_default() += 1;
        }
        let unresolved: BTreeSet<Tag> =
            named.into_iter().filter(|(_, number)| *number != 1).map(|(tag, _)| tag.clone()).collect();
        if !unresolved.is_empty() {
            for manifest in self.manifests.values_mut() {
                manifest.tags.retain(|tag| !unresolved.contains(tag));
            }
        }
        self.tags.clear();
        unresolved
    }

    /// Records the manifest that a tag names.
    pub(super) fn resolved(&mut self, tag: Tag, digest: Digest, media_type: &MediaType) {
        let new = || Manifest { may_be_index: may_be_index(media_type), tags: Vec::new(), uploaded: None };
        self.manifests.entry(digest).or_insert_with(new).tags.push(tag);
    }

    /// Returns the manifests that may list other manifests.
    pub(super) fn indexes(&self) -> impl Iterator<Item = Digest> {
        self.manifests.iter().filter(|(_, manifest)| manifest.may_be_index).map(|(digest, _)| *digest)
    }

    /// Drops everything except the child repositories.
    pub(super) fn without_contents(self) -> Self {
        Self { tags: BTreeSet::new(), manifests: HashMap::new(), ..self }
    }

    /// Returns the manifests, with their tags.
    pub(super) fn found(&self) -> Vec<FoundManifest> {
        let found = self.manifests.iter().map(|(digest, manifest)| FoundManifest {
            digest: *digest,
            may_be_index: manifest.may_be_index,
            tags: manifest.tags.clone(),
            uploaded: manifest.uploaded,
        });
        found.collect()
    }

    pub(super) fn into_contents(self) -> Contents {
        Contents::new(self.manifests.into_iter().map(|(digest, manifest)| (digest, manifest.tags)))
    }
}

/// Returns whether a manifest with this type may list others. Some registries send manifests as `application/json`: then only
/// the manifest itself has its type.
fn may_be_index(media_type: &MediaType) -> bool {
    media_type.is_index() || matches!(media_type, MediaType::Other(_))
}

#[cfg(test)]
mod tests {
    use oci::ListedManifest;

    use super::*;

    fn tag(name: &str) -> Tag {
        name.parse().unwrap()
    }

    #[test]
    fn only_tags_at_no_manifest_or_at_two_are_unresolved() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let manifest = |digest, tags: &[&str]| {
            let tags = tags.iter().map(|name| tag(name)).collect();
            Listed::Manifest(ListedManifest { digest, media_type: MediaType::OciIndex, tags, uploaded: None })
        };
        let mut draft = Draft::default();
        for listed in [
            Listed::Tag(tag("v1")),
            Listed::Tag(tag("moved")),
            Listed::Tag(tag("new")),
            Listed::Manifests,
            manifest(a, &["v1", "moved", "v1"]),
            manifest(b, &["moved"]),
            manifest(a, &["v1", "moved"]),
        ] {
            draft.take(listed);
        }
        assert!(draft.is_google() && draft.has_tag(&tag("new")) && !draft.has_tag(&tag("v2")));
        assert_eq!(draft.take_unresolved(), [tag("moved"), tag("new")].into());
        draft.resolved(tag("moved"), b, &MediaType::OciManifest);
        assert_eq!(draft.indexes().count(), 2);
        assert_eq!(draft.into_contents(), Contents::new([(a, vec![tag("v1")]), (b, vec![tag("moved")])]));
    }

    #[test]
    fn a_list_that_starts_again_keeps_nothing() {
        let mut draft = Draft::default();
        let media_type = MediaType::OciManifest;
        let ghost =
            ListedManifest { digest: Digest::of(b"a"), media_type, tags: vec![tag("v1")], uploaded: None };
        for listed in [
            Listed::Manifests,
            Listed::Manifest(ghost),
            Listed::Child("a".into()),
            Listed::Tag(tag("v1")),
            Listed::Invalid("-".into()),
            Listed::Restarted,
            Listed::Tag(tag("v2")),
        ] {
            draft.take(listed);
        }
        assert!(!draft.is_google() && draft.take_children().is_empty());
        assert_eq!(draft.invalid_names(), None);
        assert_eq!(draft.take_unresolved(), [tag("v2")].into());
        assert_eq!(draft.into_contents(), Contents::default());
    }

    #[test]
    fn some_invalid_names_are_kept() {
        let mut draft = Draft::default();
        for name in ["-a", "-b", "-a", "-c", "-b"] {
            draft.take(Listed::Invalid(name.into()));
        }
        assert_eq!(draft.invalid_names().unwrap(), "`-a`, `-b`, `-c`");
        draft.take(Listed::Invalid("-d".into()));
        assert_eq!(draft.invalid_names().unwrap(), "`-a`, `-b`, `-c` and others");
    }

    #[test]
    fn without_manifests_in_the_list_every_tag_is_unresolved() {
        let mut draft = Draft::default();
        draft.take(Listed::Tag(tag("v1")));
        assert!(!draft.is_google());
        assert_eq!(draft.take_unresolved(), [tag("v1")].into());
    }
}
