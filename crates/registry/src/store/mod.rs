//! The content of a registry: blobs, manifests and tags, by repository.

mod change;
mod disk;
mod error;
mod index;
mod missing;
mod upload;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::{Bytes, BytesMut};
pub(crate) use change::{Placed, Placement};
use disk::Disk;
pub use error::StoreError;
use error::at;
pub(crate) use index::{Content, Index, ManifestEntry, RepositoryIndex};
pub use missing::{Holder, MissingPart, Part};
use oci::{Digest, RawManifest, RepositoryPath, Tag};
pub(crate) use upload::{Finished, Held, NoUpload, Sink, Upload, UploadId, Uploads};

use crate::config::Storage;

/// The content of one registry. Clones share it.
///
/// Names have the types of [`oci`], so that no name can form a path outside the directory.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    index: RwLock<Index>,
    backend: Backend,
    uploads: Uploads,
    /// One lock for each repository whose names change, so that disk and index change in the same order.
    locks: Mutex<HashMap<RepositoryPath, Arc<tokio::sync::Mutex<()>>>>,
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the directory, if the store has one.
    fn disk(&self) -> Option<&Disk> {
        match &self.backend {
            Backend::Disk(disk) => Some(disk),
            Backend::Memory | Backend::Discard => None,
        }
    }
}

enum Backend {
    Memory,
    Discard,
    Disk(Arc<Disk>),
}

/// Where the bytes of a blob are.
#[derive(Debug)]
pub(crate) enum Source {
    Memory(Bytes),
    File(PathBuf),
    Discarded,
}

impl Store {
    /// Returns an empty store in memory.
    pub fn in_memory() -> Self {
        Self::new(Index::default(), Backend::Memory)
    }

    /// Returns an empty store in memory that keeps only the digests and sizes of blobs.
    pub fn discarding() -> Self {
        Self::new(Index::default(), Backend::Discard)
    }

    /// Opens a directory as a store. Creates the directory if it does not exist.
    ///
    /// # Errors
    /// If another process has the directory open, if the directory has content that no registry has written, or if an operation
    /// of the file system fails.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let (disk, index) = blocking(move || Disk::open(&directory)).await?;
        Ok(Self::new(index, Backend::Disk(Arc::new(disk))))
    }

    pub(crate) async fn of(storage: &Storage) -> Result<Self, StoreError> {
        match storage {
            Storage::Memory => Ok(Self::in_memory()),
            Storage::Discard => Ok(Self::discarding()),
            Storage::Directory(directory) => Self::open(directory).await,
        }
    }

    fn new(index: Index, backend: Backend) -> Self {
        let shared = Shared {
            index: RwLock::new(index),
            backend,
            uploads: Uploads::default(),
            locks: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns all repositories, in the order of their names.
    pub fn repositories(&self) -> Vec<RepositoryPath> {
        self.index().repositories().filter(|(_, r)| !r.is_empty()).map(|(path, _)| path.clone()).collect()
    }

    /// Returns the tags of a repository and their digests. Returns no tags if the repository does not exist.
    pub fn tags(&self, repository: &RepositoryPath) -> BTreeMap<Tag, Digest> {
        self.index().repository(repository).map(|r| r.tags.clone()).unwrap_or_default()
    }

    /// Returns the digest that a tag names.
    pub fn resolve(&self, repository: &RepositoryPath, tag: &Tag) -> Option<Digest> {
        self.index().repository(repository)?.tags.get(tag).copied()
    }

    /// Returns whether a repository has a blob.
    pub fn has_blob(&self, repository: &RepositoryPath, digest: &Digest) -> bool {
        self.index().repository(repository).is_some_and(|r| r.blobs.contains(digest))
    }

    /// Returns whether a repository has a manifest.
    pub fn has_manifest(&self, repository: &RepositoryPath, digest: &Digest) -> bool {
        self.index().repository(repository).is_some_and(|r| r.manifests.contains_key(digest))
    }

    /// Returns the digests of a repository's manifests, in order.
    pub fn manifests(&self, repository: &RepositoryPath) -> Vec<Digest> {
        self.index().repository(repository).map(|r| r.manifests.keys().copied().collect()).unwrap_or_default()
    }

    /// Reads a manifest by its digest.
    ///
    /// # Errors
    /// If an operation of the file system fails.
    pub async fn manifest(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<RawManifest>, StoreError> {
        let found = self.index().repository(repository).and_then(|r| r.manifests.get(digest).cloned());
        let Some(entry) = found else { return Ok(None) };
        let bytes = self.manifest_bytes(*digest, &entry).await?;
        Ok(Some(RawManifest::new(entry.media_type, bytes)))
    }

    pub(crate) async fn manifest_bytes(
        &self,
        digest: Digest,
        entry: &ManifestEntry,
    ) -> Result<Bytes, StoreError> {
        match (&entry.bytes, &self.shared.backend) {
            (Some(bytes), _) => Ok(bytes.clone()),
            (None, Backend::Disk(disk)) => {
                let disk = Arc::clone(disk);
                blocking(move || disk.read_content(&digest)).await
            }
            (None, Backend::Memory | Backend::Discard) => Ok(Bytes::new()),
        }
    }

    /// Reads a blob. Returns `None` if it is not in the repository, or if its bytes were discarded.
    ///
    /// # Errors
    /// If an operation of the file system fails.
    pub async fn blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<Bytes>, StoreError> {
        match self.blob_source(repository, digest) {
            Some((_, Source::Memory(bytes))) => Ok(Some(bytes)),
            Some((_, Source::File(path))) => {
                tokio::fs::read(&path).await.map(|bytes| Some(bytes.into())).map_err(at("read", &path))
            }
            Some((_, Source::Discarded)) | None => Ok(None),
        }
    }

    /// Returns the size of a blob and where its bytes are.
    pub(crate) fn blob_source(&self, repository: &RepositoryPath, digest: &Digest) -> Option<(u64, Source)> {
        let Content { size, bytes } = self.index().blob(repository, digest)?;
        let source = match (bytes, &self.shared.backend) {
            (Some(bytes), _) => Source::Memory(bytes),
            (None, Backend::Disk(disk)) => Source::File(disk.content(digest)),
            (None, Backend::Memory | Backend::Discard) => Source::Discarded,
        };
        Some((size, source))
    }

    pub(crate) fn uploads(&self) -> &Uploads {
        &self.shared.uploads
    }

    /// Begins an upload.
    pub(crate) async fn begin_upload(&self, repository: &RepositoryPath) -> Result<Upload, StoreError> {
        let sink = match &self.shared.backend {
            Backend::Memory => Sink::Memory(BytesMut::new()),
            Backend::Discard => Sink::Discard,
            Backend::Disk(disk) => {
                let disk = Arc::clone(disk);
                let (file, path) = blocking(move || disk.incoming()).await?.into_parts();
                Sink::File { file: file.into(), path }
            }
        };
        Ok(Upload::new(repository.clone(), sink))
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.shared.index()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.shared.backend {
            Backend::Memory => "memory".to_owned(),
            Backend::Discard => "discard".to_owned(),
            Backend::Disk(disk) => format!("{disk:?}"),
        };
        f.debug_struct("Store").field("backend", &kind).field("repositories", &self.repositories()).finish()
    }
}

/// Runs blocking code on a thread where it delays no other task. It continues to its end even if its caller is dropped.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::Shutdown),
    }
}
