//! Changes of a store.
//!
//! Every change is made on disk first and in the index after it. A repository has one change at a time. A change continues to
//! its end even if the client disconnects, so disk and index differ only while it runs.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use oci::{Digest, Manifest, RawManifest, RepositoryPath, Tag};
use tokio::sync::OwnedMutexGuard;

use super::{Backend, Content, Finished, ManifestEntry, Shared, Store, StoreError, blocking};

/// From this number of repositories on, the locks that no change uses are removed.
const LOCKS_KEPT: usize = 4096;

/// Whether a manifest was stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// The manifest and its tags are stored.
    Done,
    /// These parts are not in the repository. Nothing was changed.
    PartsMissing(Vec<Digest>),
}

/// A manifest to be stored.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) digest: Digest,
    pub(crate) tags: Vec<Tag>,
    pub(crate) manifest: RawManifest,
    /// What the manifest refers to, if its media type is known.
    pub(crate) parts: Option<Manifest>,
    /// Whether all parts must be in the repository.
    pub(crate) complete: bool,
}

impl Placement {
    fn entry(&self, kept: Option<Bytes>) -> ManifestEntry {
        let parts = self.parts.as_ref();
        ManifestEntry {
            media_type: self.manifest.media_type().clone(),
            size: self.manifest.bytes().len() as u64,
            blobs_size: parts.map_or(0, |p| p.blobs.iter().map(|b| b.size).fold(0, u64::saturating_add)),
            subject: parts.and_then(|p| p.subject.as_ref()).map(|subject| subject.digest),
            uploaded: Timestamp::now().as_millisecond(),
            bytes: kept,
        }
    }
}

impl Store {
    /// Puts a blob. Returns its SHA-256 digest.
    ///
    /// # Errors
    /// If an operation of the file system fails.
    pub async fn put_blob(&self, repository: &RepositoryPath, bytes: Bytes) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        let kept = match &self.shared.backend {
            Backend::Memory => Some(bytes),
            Backend::Discard => None,
            Backend::Disk(disk) => {
                let disk = Arc::clone(disk);
                blocking(move || disk.write_content(&digest, &bytes)).await?;
                None
            }
        };
        self.link_blob(repository, digest, Content { size, bytes: kept }).await?;
        Ok(digest)
    }

    /// Puts a manifest, and sets the tag if one is given. Does not check whether its parts exist. Returns its SHA-256 digest.
    ///
    /// # Errors
    /// If an operation of the file system fails.
    pub async fn put_manifest(
        &self,
        repository: &RepositoryPath,
        tag: Option<&Tag>,
        manifest: &RawManifest,
    ) -> Result<Digest, StoreError> {
        let placement = Placement {
            digest: manifest.digest(),
            tags: tag.cloned().into_iter().collect(),
            manifest: manifest.clone(),
            parts: manifest.parse().ok(),
            complete: false,
        };
        self.place(repository, placement).await?;
        Ok(manifest.digest())
    }

    /// Puts a manifest and its tags.
    pub(crate) async fn place(
        &self,
        repository: &RepositoryPath,
        placement: Placement,
    ) -> Result<Placed, StoreError> {
        let path = repository.clone();
        self.change(repository, move |shared| shared.place(&path, &placement)).await
    }

    /// Links a blob of another repository. Returns whether that repository has it.
    pub(crate) async fn mount(
        &self,
        repository: &RepositoryPath,
        from: &RepositoryPath,
        digest: Digest,
    ) -> Result<bool, StoreError> {
        let found = self.index().blob(from, &digest);
        match found {
            Some(content) => self.link_blob(repository, digest, content).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Makes a finished upload a blob of a repository.
    pub(crate) async fn adopt(
        &self,
        repository: &RepositoryPath,
        digest: Digest,
        size: u64,
        finished: Finished,
    ) -> Result<(), StoreError> {
        let bytes = match (finished, &self.shared.backend) {
            (Finished::Memory(bytes), _) => Some(bytes),
            (Finished::File(path), Backend::Disk(disk)) => {
                let disk = Arc::clone(disk);
                blocking(move || disk.keep(path, &digest)).await?;
                None
            }
            (Finished::File(_) | Finished::Discarded, _) => None,
        };
        self.link_blob(repository, digest, Content { size, bytes }).await
    }

    async fn link_blob(
        &self,
        repository: &RepositoryPath,
        digest: Digest,
        content: Content,
    ) -> Result<(), StoreError> {
        let path = repository.clone();
        let link = move |shared: &Shared| {
            if shared.index().blob(&path, &digest).is_some() {
                return Ok(());
            }
            if let Some(disk) = shared.disk() {
                disk.link_blob(&path, &digest)?;
            }
            shared.index_mut().add_blob(&path, digest, content);
            Ok(())
        };
        self.change(repository, link).await
    }

    /// Removes a blob from a repository. Returns whether it was there.
    ///
    /// # Errors
    /// If an operation of the file system fails.
    pub async fn delete_blob(&self, repository: &RepositoryPath, digest: Digest) -> Result<bool, StoreError> {
        let path = repository.clone();
        let delete = move |shared: &Shared| {
            if let Some(disk) = shared.disk() {
                disk.remove_blob(&path, &digest)?;
            }
            Ok(shared.index_mut().remove_blob(&path, &digest))
        };
        self.change(repository, delete).await
    }

    /// Removes a manifest and the tags that name it from a repository. Returns whether it was there.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryPath,
        digest: Digest,
    ) -> Result<bool, StoreError> {
        let path = repository.clone();
        let delete = move |shared: &Shared| {
            if let Some(disk) = shared.disk() {
                let tags = shared.index().repository(&path).map(|r| r.tags_of(&digest)).unwrap_or_default();
                tags.iter().try_for_each(|tag| disk.remove_tag(&path, tag))?;
                disk.remove_manifest(&path, &digest)?;
            }
            let mut index = shared.index_mut();
            Ok(index.repository_mut(&path).is_some_and(|names| names.remove_manifest(&digest)))
        };
        self.change(repository, delete).await
    }

    /// Changes the time at which a manifest was stored, in milliseconds since 1970, as Google's listing shows it. Returns whether
    /// the repository has the manifest. A store in a directory loses the change when it is closed.
    pub fn set_uploaded(&self, repository: &RepositoryPath, digest: &Digest, milliseconds: i64) -> bool {
        let mut index = self.shared.index_mut();
        let entry = index.repository_mut(repository).and_then(|names| names.manifests.get_mut(digest));
        entry.map(|entry| entry.uploaded = milliseconds).is_some()
    }

    /// Removes a tag from a repository. Returns whether it was there.
    pub async fn delete_tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<bool, StoreError> {
        let (path, tag) = (repository.clone(), tag.clone());
        let delete = move |shared: &Shared| {
            if let Some(disk) = shared.disk() {
                disk.remove_tag(&path, &tag)?;
            }
            let mut index = shared.index_mut();
            Ok(index.repository_mut(&path).is_some_and(|names| names.tags.remove(&tag).is_some()))
        };
        self.change(repository, delete).await
    }

    /// Changes the names of one repository when the earlier changes of it have ended.
    async fn change<T: Send + 'static>(
        &self,
        repository: &RepositoryPath,
        change: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let lock = self.lock(repository).await;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let _lock = lock;
            change(&shared)
        };
        match &self.shared.backend {
            Backend::Disk(_) => blocking(work).await,
            Backend::Memory | Backend::Discard => work(),
        }
    }

    async fn lock(&self, repository: &RepositoryPath) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.shared.locks.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.len() >= LOCKS_KEPT {
                // A change that holds the lock or waits for it has another reference to it.
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(repository.clone()).or_default())
        };
        lock.lock_owned().await
    }
}

impl Shared {
    fn place(&self, path: &RepositoryPath, placement: &Placement) -> Result<Placed, StoreError> {
        let Placement { digest, tags, manifest, parts, complete } = placement;
        if *complete && let Some(parts) = parts {
            let lacking = self.index().lacking(path, parts);
            if !lacking.is_empty() {
                return Ok(Placed::PartsMissing(lacking));
            }
        }
        let kept = self.disk().is_none().then(|| manifest.bytes().clone());
        // The same bytes may be pushed again with another media type.
        let known =
            self.index().manifest(path, digest).is_some_and(|e| e.media_type == *manifest.media_type());
        let entry = (!known).then(|| placement.entry(kept));
        if let Some(disk) = self.disk() {
            if let Some(entry) = &entry {
                disk.write_content(digest, manifest.bytes())?;
                disk.link_manifest(path, digest, entry)?;
            }
            tags.iter().try_for_each(|tag| disk.write_tag(path, tag, digest))?;
        }
        let mut index = self.index_mut();
        if let Some(entry) = entry {
            index.add_manifest(path, *digest, entry);
        }
        for tag in tags {
            index.add_tag(path, tag.clone(), *digest);
        }
        Ok(Placed::Done)
    }
}
