//! The spool: disk space for the data that destinations that are behind still have to read.
//!
//! It is one unnamed file, which the system removes however the process ends. It is opened when it is first needed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::extents::Extents;

/// How long the disk may take for one operation before it counts as failed.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// The location and maximum size of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The directory of the file; `None` for the system's directory for temporary files.
    pub directory: Option<PathBuf>,
    /// The maximum size in bytes, over all copies; 0 for no spool.
    pub limit: u64,
}

impl Default for SpoolSettings {
    /// 10 GiB in the system's directory for temporary files.
    fn default() -> Self {
        Self { directory: None, limit: 10 << 30 }
    }
}

/// The spool. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: SpoolSettings,
    /// `None` if the file could not be created.
    file: OnceCell<Option<File>>,
    extents: Mutex<Extents>,
    failed: AtomicBool,
    written: AtomicU64,
}

/// A part of the spool, which is freed when it is dropped.
#[derive(Debug)]
pub(super) struct Extent {
    shared: Arc<Shared>,
    start: u64,
    length: u64,
}

impl Spool {
    pub(super) fn new(settings: SpoolSettings) -> Self {
        let extents = Mutex::new(Extents::new(settings.limit));
        let (file, failed, written) = (OnceCell::new(), AtomicBool::new(false), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { settings, file, extents, failed, written }) }
    }

    /// Reserves `length` bytes. Returns `None` if the limit is reached or the disk has failed.
    pub(super) async fn reserve(&self, length: u64) -> Option<Arc<Extent>> {
        if self.shared.failed.load(Relaxed) {
            return None;
        }
        let start = self.shared.extents().take(length)?;
        let extent = Extent { shared: Arc::clone(&self.shared), start, length };
        let directory = self.shared.settings.directory.clone();
        let opening = async || match spawn_blocking(|| open(directory)).await.map_err(io::Error::other) {
            Ok(Ok(file)) => Some(file),
            Ok(Err(error)) | Err(error) => {
                self.shared.fail(&error);
                None
            }
        };
        self.shared.file.get_or_init(opening).await.is_some().then(|| Arc::new(extent))
    }

    /// Returns how much has been written so far, in bytes.
    pub(super) fn written(&self) -> u64 {
        self.shared.written.load(Relaxed)
    }
}

fn open(directory: Option<PathBuf>) -> io::Result<File> {
    directory.map_or_else(tempfile::tempfile, tempfile::tempfile_in)
}

impl Shared {
    fn extents(&self) -> MutexGuard<'_, Extents> {
        self.extents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the disk as failed: nothing more is written to it.
    fn fail(&self, error: &io::Error) {
        if !self.failed.swap(true, Relaxed) {
            let directory =
                self.settings.directory.as_ref().map_or("the system's".into(), |d| d.display().to_string());
            tracing::warn!(
                %directory, %error,
                "the spool's disk fails: destinations that are behind are served by reading staging again"
            );
        }
    }
}

impl Extent {
    /// Writes pieces one after another, starting `at` bytes after the start of the extent.
    ///
    /// # Errors
    /// Returns an error if the disk fails. The whole spool is then given up.
    pub(super) async fn write(self: &Arc<Self>, at: u64, pieces: Vec<Bytes>) -> io::Result<()> {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.within(at, length)?;
        self.on_disk(move |file, start| {
            let mut at = start + at;
            for piece in pieces {
                file.write_all_at(&piece, at)?;
                at += piece.len() as u64;
            }
            Ok(())
        })
        .await?;
        self.shared.written.fetch_add(length, Relaxed);
        Ok(())
    }

    /// Reads `length` bytes, starting `at` bytes after the start of the extent.
    ///
    /// # Errors
    /// Returns an error if the disk fails.
    pub(super) async fn read(self: &Arc<Self>, at: u64, length: usize) -> io::Result<Bytes> {
        self.within(at, length as u64)?;
        self.on_disk(move |file, start| {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, start + at)?;
            Ok(piece.into())
        })
        .await
    }

    /// Refuses access beyond the extent, so that a bug in a caller cannot damage the data of other copies.
    fn within(&self, at: u64, length: u64) -> io::Result<()> {
        let inside = at.checked_add(length).is_some_and(|end| end <= self.length);
        if inside { Ok(()) } else { Err(io::Error::other("beyond the room that was set aside")) }
    }

    /// Runs blocking work on the file. The work holds the extent, so the extent is not reused while the disk is still busy with
    /// it, even if the caller has stopped waiting.
    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&File, u64) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let extent = Arc::clone(self);
        let working = spawn_blocking(move || match extent.shared.file.get() {
            Some(Some(file)) => work(file, extent.start),
            _ => Err(io::Error::other("there is no file")),
        });
        let done = match timeout(DISK_PATIENCE, working).await {
            Ok(done) => done.map_err(io::Error::other).flatten(),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        done.inspect_err(|error| self.shared.fail(error))
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.shared.extents().give_back(self.start, self.length);
    }
}

#[cfg(test)]
impl Spool {
    /// Returns a spool whose disk rejects all writes.
    pub(super) fn on_a_failing_disk() -> Self {
        let spool = Self::new(SpoolSettings::default());
        let read_only = tempfile::NamedTempFile::new().and_then(|file| File::open(file.path())).unwrap();
        spool.shared.file.set(Some(read_only)).unwrap();
        spool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(limit: u64) -> Spool {
        Spool::new(SpoolSettings { limit, ..SpoolSettings::default() })
    }

    #[tokio::test]
    async fn written_data_is_read_back_and_space_is_reused() {
        let spool = spool(10);
        let first = spool.reserve(6).await.unwrap();
        assert!(spool.reserve(6).await.is_none(), "the limit applies to all extents together");
        first.write(0, vec![Bytes::from_static(b"abc"), Bytes::from_static(b"def")]).await.unwrap();
        assert_eq!(first.read(2, 3).await.unwrap(), "cde");
        drop(first);
        let second = spool.reserve(10).await.unwrap();
        second.write(4, vec![Bytes::from_static(b"xyz")]).await.unwrap();
        assert_eq!(second.read(4, 3).await.unwrap(), "xyz");
        assert_eq!(spool.written(), 9);
    }

    #[tokio::test]
    async fn access_beyond_an_extent_is_refused() {
        let spool = spool(10);
        let extent = spool.reserve(4).await.unwrap();
        assert!(extent.write(2, vec![Bytes::from_static(b"abc")]).await.is_err());
        assert!(extent.read(u64::MAX, 2).await.is_err());
    }

    #[tokio::test]
    async fn a_disk_that_has_failed_once_is_not_tried_again() {
        let spool = Spool::on_a_failing_disk();
        let extent = spool.reserve(4).await.unwrap();
        assert!(extent.write(0, vec![Bytes::from_static(b"abc")]).await.is_err());
        assert!(spool.reserve(4).await.is_none());
        assert_eq!(spool.written(), 0);
    }

    #[tokio::test]
    async fn a_missing_directory_disables_the_spool() {
        let directory = Some("/nonexistent/directory".into());
        let spool = Spool::new(SpoolSettings { directory, limit: 10 });
        assert!(spool.reserve(1).await.is_none());
        assert!(spool.reserve(1).await.is_none(), "it is not tried again");
    }
}
