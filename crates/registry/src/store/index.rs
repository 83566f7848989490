//! The names in a store. They are kept in memory for every kind of storage.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use oci::{Digest, Manifest, MediaType, RepositoryPath, Tag};

/// All repositories and the blobs that they link.
#[derive(Debug, Default)]
pub(crate) struct Index {
    repositories: BTreeMap<RepositoryPath, RepositoryIndex>,
    blobs: HashMap<Digest, Blob>,
}

/// The names of one repository.
#[derive(Debug, Default)]
pub(crate) struct RepositoryIndex {
    pub(crate) blobs: HashSet<Digest>,
    pub(crate) manifests: BTreeMap<Digest, ManifestEntry>,
    pub(crate) tags: BTreeMap<Tag, Digest>,
    /// The referrers of each manifest.
    pub(crate) referrers: HashMap<Digest, BTreeSet<Digest>>,
}

/// What is known about a manifest without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestEntry {
    pub(crate) media_type: MediaType,
    /// The manifest's own size, in bytes.
    pub(crate) size: u64,
    /// The total size of the blobs that it names, in bytes.
    pub(crate) blobs_size: u64,
    /// The subject of the manifest.
    pub(crate) subject: Option<Digest>,
    /// When the manifest was first stored, in milliseconds since 1970.
    pub(crate) uploaded: i64,
    /// The bytes, if they are kept in memory.
    pub(crate) bytes: Option<Bytes>,
}

/// Content that at least one repository links.
#[derive(Debug)]
struct Blob {
    size: u64,
    bytes: Option<Bytes>,
    links: usize,
}

/// The size of a blob, and its bytes if they are kept in memory.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) bytes: Option<Bytes>,
}

impl Index {
    pub(crate) fn repository(&self, path: &RepositoryPath) -> Option<&RepositoryIndex> {
        self.repositories.get(path)
    }

    pub(crate) fn repository_mut(&mut self, path: &RepositoryPath) -> Option<&mut RepositoryIndex> {
        self.repositories.get_mut(path)
    }

    pub(crate) fn manifest(&self, path: &RepositoryPath, digest: &Digest) -> Option<&ManifestEntry> {
        self.repositories.get(path)?.manifests.get(digest)
    }

    /// Returns the parts of a manifest that are not in the repository. Foreign layers and the subject are not required.
    pub(crate) fn lacking(&self, path: &RepositoryPath, parts: &Manifest) -> Vec<Digest> {
        let names = self.repositories.get(path);
        let has_blob = |digest: &Digest| names.is_some_and(|r| r.blobs.contains(digest));
        let has_manifest = |digest: &Digest| names.is_some_and(|r| r.manifests.contains_key(digest));
        let blobs = parts.blobs.iter().filter(|b| !b.foreign && !has_blob(&b.digest));
        let children = parts.children.iter().filter(|c| !c.foreign && !has_manifest(&c.digest));
        blobs.chain(children).map(|part| part.digest).collect()
    }

    pub(crate) fn repositories(&self) -> impl Iterator<Item = (&RepositoryPath, &RepositoryIndex)> {
        self.repositories.iter()
    }

    /// Returns the repositories after `last`, in the order of their names.
    pub(crate) fn names_after(&self, last: Option<&str>) -> impl Iterator<Item = &RepositoryPath> {
        let last = last.unwrap_or_default().to_owned();
        let named = self.repositories.iter().filter(|(_, names)| !names.is_empty()).map(|(path, _)| path);
        named.filter(move |path| path.as_str() > last.as_str())
    }

    /// Returns a blob, if the repository links it.
    pub(crate) fn blob(&self, path: &RepositoryPath, digest: &Digest) -> Option<Content> {
        let linked = self.repositories.get(path)?.blobs.contains(digest);
        let blob = self.blobs.get(digest).filter(|_| linked)?;
        Some(Content { size: blob.size, bytes: blob.bytes.clone() })
    }

    /// Links a blob, whether its content is new or not.
    pub(crate) fn add_blob(&mut self, path: &RepositoryPath, digest: Digest, content: Content) {
        let blob =
            self.blobs.entry(digest).or_insert(Blob { size: content.size, bytes: content.bytes, links: 0 });
        if self.repositories.entry(path.clone()).or_default().blobs.insert(digest) {
            blob.links += 1;
        }
    }

    /// Removes a link, and the content with its last link. Returns whether the link existed.
    pub(crate) fn remove_blob(&mut self, path: &RepositoryPath, digest: &Digest) -> bool {
        let linked =
            self.repositories.get_mut(path).is_some_and(|repository| repository.blobs.remove(digest));
        if linked && let Some(blob) = self.blobs.get_mut(digest) {
            blob.links -= 1;
            if blob.links == 0 {
                self.blobs.remove(digest);
            }
        }
        linked
    }

    /// Returns a repository that links the blob and for which `may_read` is true.
    pub(crate) fn holder_of(
        &self,
        digest: &Digest,
        may_read: impl Fn(&RepositoryPath) -> bool,
    ) -> Option<RepositoryPath> {
        self.blobs.get(digest)?;
        self.repositories
            .iter()
            .find(|(path, repository)| repository.blobs.contains(digest) && may_read(path))
            .map(|(path, _)| path.clone())
    }

    pub(crate) fn add_manifest(&mut self, path: &RepositoryPath, digest: Digest, entry: ManifestEntry) {
        let names = self.repositories.entry(path.clone()).or_default();
        names.forget_manifest(&digest);
        if let Some(subject) = entry.subject {
            names.referrers.entry(subject).or_default().insert(digest);
        }
        names.manifests.insert(digest, entry);
    }

    pub(crate) fn add_tag(&mut self, path: &RepositoryPath, tag: Tag, digest: Digest) {
        self.repositories.entry(path.clone()).or_default().tags.insert(tag, digest);
    }
}

impl RepositoryIndex {
    /// Returns the tags that name a manifest.
    pub(crate) fn tags_of(&self, digest: &Digest) -> Vec<Tag> {
        self.tags.iter().filter(|(_, tagged)| *tagged == digest).map(|(tag, _)| tag.clone()).collect()
    }

    /// Removes a manifest and the tags that name it. Returns whether it was there.
    pub(crate) fn remove_manifest(&mut self, digest: &Digest) -> bool {
        self.tags.retain(|_, tagged| tagged != digest);
        self.forget_manifest(digest)
    }

    fn forget_manifest(&mut self, digest: &Digest) -> bool {
        let Some(entry) = self.manifests.remove(digest) else { return false };
        if let Some(subject) = entry.subject
            && let Some(referrers) = self.referrers.get_mut(&subject)
        {
            referrers.remove(digest);
            if referrers.is_empty() {
                self.referrers.remove(&subject);
            }
        }
        true
    }

    /// Returns whether the repository has no names.
    pub(crate) fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.manifests.is_empty() && self.tags.is_empty()
    }
}
