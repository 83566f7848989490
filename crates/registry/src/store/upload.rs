//! Uploads of blobs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use oci::{Algorithm, Digest, Hasher, RepositoryPath};
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::error::{StoreError, at};

/// The maximum memory that is reserved for the announced length of a body, in bytes. The announced length is not trusted
/// beyond that.
const RESERVE_MAX: u64 = 16 << 20;
/// How much of a file is read at once, in bytes.
const READ_SIZE: usize = 256 << 10;

/// The ID of an upload. It is random, so that no client uses the upload of another by accident.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UploadId(String);

impl UploadId {
    fn random() -> Self {
        Self(hex::encode(rand::random::<[u8; 16]>()))
    }

    /// Makes an ID from the text in a URL. The text is not validated, because IDs are only looked up.
    pub(crate) fn named(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the bytes of an upload are written.
#[derive(Debug)]
pub(crate) enum Sink {
    Memory(BytesMut),
    File { file: File, path: TempPath },
    Discard,
}

/// The content of a finished upload.
#[derive(Debug)]
pub(crate) enum Finished {
    Memory(Bytes),
    File(TempPath),
    Discarded,
}

/// An unfinished upload.
pub(crate) struct Upload {
    repository: RepositoryPath,
    sink: Sink,
    hasher: Hasher,
    algorithm: Algorithm,
    received: u64,
}

impl Upload {
    pub(crate) fn new(repository: RepositoryPath, sink: Sink) -> Self {
        let algorithm = Algorithm::Sha256;
        Self { repository, sink, hasher: algorithm.hasher(), algorithm, received: 0 }
    }

    /// Returns how many bytes have been received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Hashes with this algorithm, if nothing has been hashed yet.
    pub(crate) fn hash_with(&mut self, algorithm: Algorithm) {
        if self.received == 0 {
            self.hasher = algorithm.hasher();
            self.algorithm = algorithm;
        }
    }

    /// Reserves memory for the length that a request announces, in bytes.
    pub(crate) fn expect(&mut self, announced: u64) {
        if let Sink::Memory(bytes) = &mut self.sink {
            // The cast cannot truncate: the limit fits every address space.
            bytes.reserve(announced.min(RESERVE_MAX) as usize);
        }
    }

    /// Writes the next chunk.
    pub(crate) async fn write(&mut self, piece: &Bytes) -> Result<(), StoreError> {
        match &mut self.sink {
            Sink::Memory(bytes) => bytes.extend_from_slice(piece),
            Sink::File { file, path } => file.write_all(piece).await.map_err(at("write", path))?,
            Sink::Discard => {}
        }
        self.hasher.update(piece);
        self.received += piece.len() as u64;
        Ok(())
    }

    /// Ends the upload. Returns its size, its digest by the given algorithm, and its content.
    ///
    /// The digest is `None` if the bytes would have to be read again but were discarded.
    pub(crate) async fn finish(
        self,
        algorithm: Algorithm,
    ) -> Result<(u64, Option<Digest>, Finished), StoreError> {
        let hashed = (algorithm == self.algorithm).then(|| self.hasher.finish());
        match self.sink {
            Sink::Discard => Ok((self.received, hashed, Finished::Discarded)),
            Sink::Memory(bytes) => {
                let digest = hashed.unwrap_or_else(|| {
                    let mut hasher = algorithm.hasher();
                    hasher.update(&bytes);
                    hasher.finish()
                });
                Ok((self.received, Some(digest), Finished::Memory(bytes.freeze())))
            }
            Sink::File { mut file, path } => {
                file.flush().await.map_err(at("write", &path))?;
                file.sync_all().await.map_err(at("sync", &path))?;
                let digest = match hashed {
                    Some(digest) => digest,
                    None => hash_file(&path, algorithm).await?,
                };
                Ok((self.received, Some(digest), Finished::File(path)))
            }
        }
    }
}

async fn hash_file(path: &TempPath, algorithm: Algorithm) -> Result<Digest, StoreError> {
    let mut file = File::open(path).await.map_err(at("open", path))?;
    let mut hasher = algorithm.hasher();
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = file.read(&mut buffer).await.map_err(at("read", path))?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..read]);
    }
}

/// An upload that is locked for one request. It is `None` after its end.
pub(crate) type Held = OwnedMutexGuard<Option<Upload>>;

struct Open {
    repository: RepositoryPath,
    upload: Arc<tokio::sync::Mutex<Option<Upload>>>,
    touched: Instant,
}

/// All open uploads of a store.
#[derive(Default)]
pub(crate) struct Uploads {
    open: Mutex<HashMap<UploadId, Open>>,
}

/// Why an upload is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoUpload {
    /// The repository has no such upload, or no longer has it.
    Unknown,
    /// Another request is writing to it.
    Busy,
}

impl Uploads {
    /// Opens an upload, unless too many are open. Uploads without a request for `idle` are dropped first.
    pub(crate) fn open(&self, upload: Upload, limit: usize, idle: Duration) -> Option<UploadId> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // An upload that a request has locked is in use, however long ago that request began.
        open.retain(|_, open| open.touched.elapsed() < idle || open.upload.try_lock().is_err());
        if open.len() >= limit {
            return None;
        }
        let id = UploadId::random();
        let repository = upload.repository.clone();
        let upload = Arc::new(tokio::sync::Mutex::new(Some(upload)));
        open.insert(id.clone(), Open { repository, upload, touched: Instant::now() });
        Some(id)
    }

    /// Locks an upload for one request.
    pub(crate) fn hold(
        &self,
        repository: &RepositoryPath,
        id: &UploadId,
        idle: Duration,
    ) -> Result<Held, NoUpload> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open
            .get_mut(id)
            .filter(|open| open.repository == *repository && open.touched.elapsed() < idle)
            .ok_or(NoUpload::Unknown)?;
        found.touched = Instant::now();
        Arc::clone(&found.upload).try_lock_owned().map_err(|_| NoUpload::Busy)
    }

    /// Drops an upload.
    pub(crate) fn close(&self, id: &UploadId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
