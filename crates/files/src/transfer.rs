//! Copies content from one source to several stores, and hashes the stream.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{join, join_all};
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use manifest::files::{Scheme, Sha256};
use tokio_util::sync::CancellationToken;
use transport::{Budget, Retry};

use crate::error::{Error, ErrorKind};
use crate::hash::{Hasher, Hashes};
use crate::object::Object;
use crate::stores::{Content, PartUpload, StoreRead, StoreWrite, Upload, Written};

/// The maximum size of a file that is written in one request, in bytes. Larger files are written in parts.
pub const SMALL_MAX: u64 = 8 << 20;
/// The size of a part, in bytes.
pub const PART: u64 = 8 << 20;
/// The time that parts in transit have to arrive after the run is stopped. An upload that is aborted earlier may keep them.
const PART_GRACE: Duration = Duration::from_secs(5);
/// The maximum number of writes of an object whose answers do not prove the write.
const WRITES: u32 = 3;

/// The content of an object as a stream. A stream that breaks off is resumed at the same offset and version.
///
/// If the store does not return the rest, the content is read again from the start, and the bytes already returned are skipped.
struct Resumed<'a> {
    store: &'a dyn StoreRead,
    name: &'a str,
    object: &'a Object,
    content: Option<Content>,
    offset: u64,
    /// The number of bytes at the start of `content` that were returned before.
    known: u64,
    /// Whether to read from the start, because the store refuses to return the rest.
    is_whole: bool,
    budget: Budget,
}

/// Returns the content of an object in pieces.
pub(crate) fn content<'a>(
    store: &'a dyn StoreRead,
    name: &'a str,
    object: &'a Object,
    first: Option<Content>,
) -> BoxStream<'a, Result<Bytes, Error>> {
    let budget = Budget::new(Retry::default());
    let start = Resumed { store, name, object, content: first, offset: 0, known: 0, is_whole: false, budget };
    let pieces =
        try_unfold(start, |mut state| async move { Ok(state.next().await?.map(|piece| (piece, state))) });
    pieces.boxed()
}

impl Resumed<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let what = || format!("reading {}", self.store.url().file(self.name));
        loop {
            let failure = match self.piece().await {
                Ok(Some(piece)) => {
                    self.offset += piece.len() as u64;
                    if self.offset > self.object.size {
                        return Err(Error::new(what(), self.longer()));
                    }
                    self.budget.progressed();
                    return Ok(Some(piece));
                }
                Ok(None) if self.offset == self.object.size => return Ok(None),
                Ok(None) => {
                    let detail = format!("{} of {} bytes came", self.offset, self.object.size);
                    Error::new(what(), ErrorKind::Unreadable(detail))
                }
                Err(error) if error.is_temporary() => error,
                Err(error) if self.offset > 0 && !self.is_whole && is_refused_part(&error) => {
                    tracing::debug!("{error}; it is read again from the start");
                    self.is_whole = true;
                    error
                }
                Err(error) => return Err(error),
            };
            // Release the host's concurrency slot before the next request.
            self.content = None;
            self.budget.attempt();
            match self.budget.pause(None) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    /// Returns the next piece that was not returned before.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        if self.content.is_none() {
            if self.offset == self.object.size && self.offset > 0 {
                return Ok(None);
            }
            self.open().await?;
        }
        loop {
            let Some(content) = &mut self.content else { return Ok(None) };
            let Some(mut piece) = content.next().await? else { return Ok(None) };
            let known = usize::try_from(self.known).unwrap_or(usize::MAX).min(piece.len());
            self.known -= known as u64;
            let rest = piece.split_off(known);
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
    }

    /// Opens the content at the offset where it broke off, or at the start.
    async fn open(&mut self) -> Result<(), Error> {
        let version = (!self.object.version.is_empty()).then_some(self.object.version.as_str());
        let offset = if self.is_whole { 0 } else { self.offset };
        let content = self.store.open(self.name, version, offset).await?;
        let Some(known) = self.offset.checked_sub(content.start) else {
            let detail = format!("it begins at byte {} instead of {offset}", content.start);
            let what = format!("reading {}", self.store.url().file(self.name));
            return Err(Error::new(what, ErrorKind::Range(detail)));
        };
        self.known = known;
        self.content = Some(content);
        Ok(())
    }

    /// Returns the error for content that is longer than the object: `Changed` if the answer names another version.
    fn longer(&self) -> ErrorKind {
        let version =
            self.content.as_ref().map(|content| content.object.version.as_str()).unwrap_or_default();
        if !version.is_empty() && version != self.object.version {
            return ErrorKind::Changed;
        }
        ErrorKind::Unreadable(format!("more than the {} bytes of the object came", self.object.size))
    }
}

/// Returns whether an error may mean that the store does not support ranges.
fn is_refused_part(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Range(_) | ErrorKind::Forbidden(_) => true,
        ErrorKind::Answer { status, .. } => status.is_client_error(),
        _ => false,
    }
}

/// Reads the whole content of an object to hash it, without keeping it in memory.
///
/// # Errors
/// If the object cannot be read, or changes while it is read.
pub async fn read_all(
    store: &dyn StoreRead,
    name: &str,
    object: &Object,
    hasher: Hasher,
) -> Result<Hashes, Error> {
    let mut hasher = hasher;
    let mut pieces = pin!(content(store, name, object, None));
    while let Some(piece) = pieces.next().await {
        hasher.update(&piece?);
    }
    Ok(hasher.finish())
}

/// Returns the memory that the transfer of content of this size to this number of stores takes, in bytes: the content and its
/// copies in requests, or three parts.
pub fn memory(size: u64, stores: usize) -> u64 {
    if size <= SMALL_MAX { size * (1 + stores.min(3) as u64) } else { 3 * PART }
}

/// The destination of a transfer.
#[derive(Debug)]
pub struct Target<'a> {
    /// The store.
    pub store: &'a dyn StoreWrite,
    /// The name below the store's URL.
    pub name: &'a str,
    /// The properties of the object to write.
    pub upload: Upload,
}

/// The source of a transfer: the pieces of the content, and its expected size and hash.
pub struct Source<'a> {
    /// What is read, for error messages.
    pub what: String,
    /// The size, in bytes.
    pub size: u64,
    /// The hash that the content must have.
    pub sha256: Sha256,
    /// The pieces, of any size. The stream is not polled before the stores are ready.
    pub pieces: BoxStream<'a, Result<Bytes, Error>>,
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("what", &self.what).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Writes content to a store. The write is atomic, and happens only if the content has the size and the hash in `upload`. The
/// pieces may have any size. At most two parts of the content are in memory.
///
/// # Errors
/// If the content breaks off, does not match `upload`, or cannot be written. Nothing is left in the store then.
pub async fn put_stream(
    store: &dyn StoreWrite,
    name: &str,
    upload: Upload,
    pieces: BoxStream<'_, Result<Bytes, Error>>,
    stop: &CancellationToken,
) -> Result<Written, Error> {
    let what = format!("writing {}", store.url().file(name));
    let source = Source { what: what.clone(), size: upload.size, sha256: upload.sha256, pieces };
    let mut written = transfer(source, vec![Target { store, name, upload }], stop).await;
    written.pop().unwrap_or_else(|| Err(Error::new(what, ErrorKind::Interrupted)))
}

/// Writes content to several stores. Each write is atomic, and happens only if the content has the size and the hash of `source`.
/// Returns a result for each target, in the same order.
pub async fn transfer(
    source: Source<'_>,
    targets: Vec<Target<'_>>,
    stop: &CancellationToken,
) -> Vec<Result<Written, Error>> {
    let count = targets.len();
    // `Parts` polls the stream again after its end.
    let source = Source { pieces: source.pieces.fuse().boxed(), ..source };
    let done = if source.size <= SMALL_MAX {
        small(source, targets, stop).await
    } else {
        large(source, targets, stop).await
    };
    done.unwrap_or_else(|error| vec![Err(error); count])
}

/// Compares the size and the hash of content that was read with the expected ones.
fn check(what: &str, hashes: &Hashes, size: u64, wanted: Sha256) -> Result<(), Error> {
    if hashes.size != size {
        return Err(Error::new(what, ErrorKind::Changed));
    }
    if hashes.sha256 != wanted {
        return Err(Error::new(what, ErrorKind::Mismatch { found: Some(hashes.sha256), wanted }));
    }
    Ok(())
}

/// Writes content that fits into memory. Once it is read, it is written even if the run is stopped.
async fn small(
    source: Source<'_>,
    targets: Vec<Target<'_>>,
    stop: &CancellationToken,
) -> Result<Vec<Result<Written, Error>>, Error> {
    let Source { what, size, sha256, pieces } = source;
    let interrupted = || Error::new(what.as_str(), ErrorKind::Interrupted);
    let mut parts = Parts { pieces, rest: Bytes::new(), hasher: Hasher::new() };
    let content = tokio::select! {
        content = parts.next(size) => content?,
        () = stop.cancelled() => return Err(interrupted()),
    };
    parts.end(&what).await?;
    let hashes = parts.hasher.finish();
    check(&what, &hashes, size, sha256)?;
    let writes = targets.iter().map(|target| put(target, &content));
    Ok(join_all(writes).await)
}

/// Writes an object. If the answer does not prove the write and the object is absent, it is written again.
async fn put(target: &Target<'_>, content: &Bytes) -> Result<Written, Error> {
    let mut budget = Budget::new(Retry { attempts: WRITES, ..Retry::default() });
    loop {
        budget.attempt();
        let written = target.store.put(target.name, &target.upload, content.clone()).await;
        let error = match settle(target, written).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unproven(_)) => error,
            settled => return settled,
        };
        match budget.pause(None) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
    }
}

/// Checks the object if a failed write may have been done nevertheless.
async fn settle(target: &Target<'_>, written: Result<Written, Error>) -> Result<Written, Error> {
    let Target { store, name, upload } = target;
    match written {
        Err(error) if error.is_undecided() => {
            let Ok(Some(object)) = store.find(name).await else { return Err(error) };
            // The metadata came with the write, before the content, so it does not prove what is stored.
            let object = object.without_claims();
            let is_there = object.size == upload.size
                && match object.is(&upload.sha256, None) {
                    Some(is_wanted) => is_wanted,
                    None => {
                        let hashes = read_all(*store, name, &object, Hasher::new()).await;
                        hashes.is_ok_and(|hashes| hashes.sha256 == upload.sha256)
                    }
                };
            if is_there { Ok(Written { version: object.version }) } else { Err(error) }
        }
        decided => decided,
    }
}

/// An upload in parts, or the error that ended it.
type Begun = Result<Box<dyn PartUpload>, Error>;

/// Writes content in parts: while one part is sent to all stores, the next part is read.
async fn large(
    source: Source<'_>,
    targets: Vec<Target<'_>>,
    stop: &CancellationToken,
) -> Result<Vec<Result<Written, Error>>, Error> {
    let Source { what, size, sha256, pieces } = source;
    let begins = targets.iter().map(|target| target.store.begin(target.name, &target.upload, PART));
    let mut uploads: Vec<Begun> = join_all(begins).await;
    // Google's answer has the MD5, which is compared.
    let is_gcs = targets.iter().any(|target| target.store.url().scheme() == Scheme::Gcs);
    let hasher = if is_gcs { Hasher::with_md5() } else { Hasher::new() };
    let mut parts = Parts { pieces, rest: Bytes::new(), hasher };
    let last = match send_parts(&mut parts, &mut uploads, size, &what, stop).await {
        Ok(last) => parts.end(&what).await.map(|()| last),
        Err(error) => Err(error),
    };
    let Parts { pieces, hasher, .. } = parts;
    // Release the concurrency slot at the source's host before the uploads are completed.
    drop(pieces);
    let hashes = hasher.finish();
    let last = last.and_then(|last| check(&what, &hashes, size, sha256).map(|()| last));
    let ends = uploads.iter_mut().zip(&targets).map(|(upload, target)| async {
        let upload = match upload {
            Ok(upload) => upload,
            Err(error) => return Err(error.clone()),
        };
        let end = match &last {
            Ok(last) => settle(target, upload.finish(last.clone(), &hashes).await).await,
            Err(error) => Err(error.clone()),
        };
        if end.is_err() {
            upload.abort().await;
        } else {
            upload.leave();
        }
        end
    });
    Ok(join_all(ends).await)
}

/// Sends all parts except the last, which is returned. An upload that fails is aborted, and the others continue.
///
/// After the run is stopped, parts in transit have [`PART_GRACE`] to arrive.
async fn send_parts(
    parts: &mut Parts<'_>,
    uploads: &mut [Begun],
    size: u64,
    what: &str,
    stop: &CancellationToken,
) -> Result<Bytes, Error> {
    let interrupted = || Error::new(what, ErrorKind::Interrupted);
    let next = async |parts: &mut Parts<'_>| {
        tokio::select! {
            next = parts.next(PART) => next,
            () = stop.cancelled() => Err(interrupted()),
        }
    };
    let mut current = next(parts).await?;
    let mut sent = 0;
    loop {
        sent += current.len() as u64;
        if sent >= size || current.is_empty() {
            return Ok(current);
        }
        let sends = join_all(uploads.iter_mut().map(|upload| async {
            let failed = match upload {
                Ok(running) => tokio::select! {
                    sent = running.part(current.clone()) => sent.err(),
                    () = grace(stop) => Some(interrupted()),
                },
                Err(_) => None,
            };
            if let Some(error) = failed
                && let Ok(mut running) = std::mem::replace(upload, Err(error))
            {
                running.abort().await;
            }
        }));
        let (read, _) = join(next(parts), sends).await;
        current = read?;
        if stop.is_cancelled() {
            return Err(interrupted());
        }
        if let Some(error) = all_failed(uploads) {
            return Err(Error::new(what, error.kind().clone()));
        }
    }
}

/// Waits until the run is stopped and [`PART_GRACE`] is over.
async fn grace(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(PART_GRACE).await;
}

/// Returns one of the errors if all uploads have failed.
fn all_failed(uploads: &[Begun]) -> Option<&Error> {
    if uploads.iter().any(Result::is_ok) {
        return None;
    }
    uploads.iter().find_map(|upload| upload.as_ref().err())
}

/// Splits content into parts of equal size.
struct Parts<'a> {
    pieces: BoxStream<'a, Result<Bytes, Error>>,
    /// The rest of a piece, which belongs to the next part.
    rest: Bytes,
    hasher: Hasher,
}

impl Parts<'_> {
    /// Reads the next part. It is shorter at the end.
    async fn next(&mut self, part: u64) -> Result<Bytes, Error> {
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        let mut content = BytesMut::with_capacity(part);
        loop {
            let taken = self.rest.split_to(self.rest.len().min(part - content.len()));
            self.hasher.update(&taken);
            content.extend_from_slice(&taken);
            if content.len() == part {
                return Ok(content.freeze());
            }
            match self.pieces.next().await {
                Some(piece) => self.rest = piece?,
                None => return Ok(content.freeze()),
            }
        }
    }

    /// Checks that the stream has no more content.
    async fn end(&mut self, what: &str) -> Result<(), Error> {
        let changed = || Error::new(what, ErrorKind::Changed);
        if !self.rest.is_empty() {
            return Err(changed());
        }
        while let Some(piece) = self.pieces.next().await {
            if !piece?.is_empty() {
                return Err(changed());
            }
        }
        Ok(())
    }
}
