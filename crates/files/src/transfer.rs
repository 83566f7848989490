//! Content from one place to several stores, hashed while it streams.

use std::fmt;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::future::{join, join_all};
use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use manifest::files::Sha256;
use tokio_util::sync::CancellationToken;
use transport::{Budget, Retry};

use crate::error::{Error, ErrorKind};
use crate::hash::{Hasher, Hashes};
use crate::object::Object;
use crate::stores::{Content, PartUpload, StoreRead, StoreWrite, Upload, Written};

/// The maximum size of a file that is written in one request, in bytes. Larger ones are written in parts.
pub const SMALL_MAX: u64 = 8 << 20;
/// The size of a part, in bytes.
pub const PART: u64 = 8 << 20;
/// The maximum number of parts of an upload to S3.
const PARTS_MAX: u64 = 10_000;

/// Returns the size of the parts of a file of this size: a multiple of [`PART`], so that there are not too many.
pub(crate) fn part_size(size: u64) -> u64 {
    size.div_ceil(PARTS_MAX).div_ceil(PART).max(1) * PART
}

/// The content of an object as a stream. A content that breaks off is continued where it broke off, at the same version.
struct Resumed<'a> {
    store: &'a dyn StoreRead,
    name: &'a str,
    object: &'a Object,
    content: Option<Content>,
    offset: u64,
    budget: Budget,
    is_over: bool,
}

/// Returns the content of an object in pieces.
pub(crate) fn content<'a>(
    store: &'a dyn StoreRead,
    name: &'a str,
    object: &'a Object,
    first: Option<Content>,
) -> BoxStream<'a, Result<Bytes, Error>> {
    let budget = Budget::new(Retry::default());
    let start = Resumed { store, name, object, content: first, offset: 0, budget, is_over: false };
    unfold(start, |mut state| async move {
        if state.is_over {
            return None;
        }
        let piece = state.next().await.transpose()?;
        state.is_over = piece.is_err();
        Some((piece, state))
    })
    .boxed()
}

impl Resumed<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let what = || format!("reading {}", self.store.url().file(self.name));
        loop {
            let failure = match self.piece().await {
                Ok(Some(piece)) => {
                    self.offset += piece.len() as u64;
                    if self.offset > self.object.size {
                        return Err(Error::new(what(), ErrorKind::Changed));
                    }
                    self.budget.progressed();
                    return Ok(Some(piece));
                }
                Ok(None) if self.offset == self.object.size => return Ok(None),
                Ok(None) => {
                    let told = format!("{} of {} bytes came", self.offset, self.object.size);
                    Error::new(what(), ErrorKind::Unreadable(told))
                }
                Err(error) if error.is_temporary() => error,
                Err(error) => return Err(error),
            };
            // The place at the host is given back before anything else is asked.
            self.content = None;
            self.budget.attempt();
            match self.budget.pause(None) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let content = match &mut self.content {
            Some(content) => content,
            None if self.offset == self.object.size && self.offset > 0 => return Ok(None),
            none => {
                let version = (!self.object.version.is_empty()).then_some(self.object.version.as_str());
                none.insert(self.store.open(self.name, version, self.offset).await?)
            }
        };
        content.next().await
    }
}

/// Reads the whole content of an object for its hashes, and keeps nothing of it.
///
/// # Errors
/// If it cannot be read, or changes while it is read.
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

/// Returns whether an object has the content with this hash: by what the store knows of it, or else by reading it.
///
/// # Errors
/// If it has to be read and cannot be, or changes while it is read.
pub async fn has_content(
    store: &dyn StoreRead,
    name: &str,
    object: &Object,
    sha256: &Sha256,
) -> Result<bool, Error> {
    match object.is(sha256, None) {
        Some(is) => Ok(is),
        None => Ok(read_all(store, name, object, Hasher::new()).await?.sha256 == *sha256),
    }
}

/// Returns the memory that a content of this size takes while it goes to so many stores, in bytes: the content, and copies of it
/// in requests; or three parts.
pub fn memory(size: u64, stores: usize) -> u64 {
    if size <= SMALL_MAX { size * (1 + stores.min(3) as u64) } else { 3 * part_size(size) }
}

/// Where a content goes.
#[derive(Debug)]
pub struct Target<'a> {
    /// The store.
    pub store: &'a dyn StoreWrite,
    /// The name below the store's URL.
    pub name: &'a str,
    /// What is to be written.
    pub upload: Upload,
}

/// A content: its pieces, and what it is to be.
pub struct Source<'a> {
    /// What is read, for errors.
    pub what: String,
    /// The size, in bytes.
    pub size: u64,
    /// The hash that the content must have.
    pub sha256: Sha256,
    /// The pieces, of any size. Nothing is asked of the stream before the stores are ready.
    pub pieces: BoxStream<'a, Result<Bytes, Error>>,
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("what", &self.what).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Writes a content to a store. An object appears as a whole, and only if the content has the size and the hash in `upload`.
/// The pieces are of any size, and at most two parts of the content are in memory.
///
/// # Errors
/// If the content breaks off or is not what `upload` says, or if it cannot be written. Nothing is left in the store then.
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

/// Writes a content to several stores: an object appears as a whole, and only if the content has the size and the hash of `source`.
/// Returns a result for each target, in their order.
pub async fn transfer(
    source: Source<'_>,
    targets: Vec<Target<'_>>,
    stop: &CancellationToken,
) -> Vec<Result<Written, Error>> {
    let count = targets.len();
    // A content is asked for more where its end has been seen.
    let source = Source { pieces: source.pieces.fuse().boxed(), ..source };
    let done = if source.size <= SMALL_MAX {
        small(source, targets, stop).await
    } else {
        large(source, targets, stop).await
    };
    done.unwrap_or_else(|error| vec![Err(error); count])
}

/// Compares the hash of a content that was read.
fn check(what: &str, hashes: &Hashes, size: u64, wanted: Sha256) -> Result<(), Error> {
    if hashes.size != size {
        return Err(Error::new(what, ErrorKind::Changed));
    }
    if hashes.sha256 != wanted {
        return Err(Error::new(what, ErrorKind::Mismatch { found: Some(hashes.sha256), wanted }));
    }
    Ok(())
}

/// Writes a content that fits into memory. Once it is read, it is written, also when the run is stopping.
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
    let writes = targets.iter().map(|target| target.store.put(target.name, &target.upload, content.clone()));
    Ok(join_all(writes).await)
}

/// An upload in parts, or why it was given up.
type Begun = Result<Box<dyn PartUpload>, Error>;

/// Writes a content in parts: while one part is sent to all stores, the next one is read.
async fn large(
    source: Source<'_>,
    targets: Vec<Target<'_>>,
    stop: &CancellationToken,
) -> Result<Vec<Result<Written, Error>>, Error> {
    let Source { what, size, sha256, pieces } = source;
    let part = part_size(size);
    let begins = targets.iter().map(|target| target.store.begin(target.name, &target.upload, part));
    let mut uploads: Vec<Begun> = join_all(begins).await;
    let mut parts = Parts { pieces, rest: Bytes::new(), hasher: Hasher::new() };
    let sent = tokio::select! {
        last = send_parts(&mut parts, &mut uploads, part, size, &what) => last,
        () = stop.cancelled() => Err(Error::new(what.as_str(), ErrorKind::Interrupted)),
    };
    let last = match sent {
        Ok(last) => parts.end(&what).await.map(|()| last),
        Err(error) => Err(error),
    };
    let Parts { pieces, hasher, .. } = parts;
    // The source's place at its host is given back before the uploads are completed.
    drop(pieces);
    let hashes = hasher.finish();
    let last = last.and_then(|last| check(&what, &hashes, size, sha256).map(|()| last));
    let ends = uploads.iter_mut().map(|upload| async {
        let upload = match upload {
            Ok(upload) => upload,
            Err(error) => return Err(error.clone()),
        };
        let end = match &last {
            Ok(last) => upload.finish(last.clone(), &hashes).await,
            Err(error) => Err(error.clone()),
        };
        if end.is_err() {
            upload.abort().await;
        }
        end
    });
    Ok(join_all(ends).await)
}

/// Sends all parts but the last, which is returned. An upload that fails is aborted, and the others go on.
async fn send_parts(
    parts: &mut Parts<'_>,
    uploads: &mut [Begun],
    part: u64,
    size: u64,
    what: &str,
) -> Result<Bytes, Error> {
    let mut current = parts.next(part).await?;
    let mut sent = 0;
    loop {
        sent += current.len() as u64;
        if sent >= size || current.is_empty() {
            return Ok(current);
        }
        let sends = join_all(uploads.iter_mut().map(|upload| async {
            let failed = match upload {
                Ok(running) => running.part(current.clone()).await.err(),
                Err(_) => None,
            };
            if let Some(error) = failed
                && let Ok(mut running) = std::mem::replace(upload, Err(error))
            {
                running.abort().await;
            }
        }));
        let (next, _) = join(parts.next(part), sends).await;
        current = next?;
        if let Some(error) = all_failed(uploads) {
            return Err(Error::new(what, error.kind().clone()));
        }
    }
}

/// Returns an error if no upload is left.
fn all_failed(uploads: &[Begun]) -> Option<&Error> {
    if uploads.iter().any(Result::is_ok) {
        return None;
    }
    uploads.iter().find_map(|upload| upload.as_ref().err())
}

/// A content in parts of equal size.
struct Parts<'a> {
    pieces: BoxStream<'a, Result<Bytes, Error>>,
    /// The bytes of a piece that belong to the next part.
    rest: Bytes,
    hasher: Hasher,
}

impl Parts<'_> {
    /// Reads the next part; less than a part at the end.
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

    /// Reads to the end, where nothing may be left.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_too_many_parts() {
        for (size, part) in [
            (SMALL_MAX + 1, PART),
            (20 << 30, PART),
            (PART * PARTS_MAX, PART),
            (PART * PARTS_MAX + 1, 2 * PART),
        ] {
            assert_eq!(part_size(size), part, "{size}");
            assert!(size.div_ceil(part_size(size)) <= PARTS_MAX);
        }
    }
}
