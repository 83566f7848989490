//! Local directories: `file:///…`.
//!
//! A file is written without a name (`O_TMPFILE`), and gets its name when it is complete and on disk. A killed process leaves no
//! partial file, except on file systems without `O_TMPFILE` or during the replacement of a file: there, a file `.kpromo-*` may
//! be left. Metadata is not kept.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use manifest::files::StoreUrl;
use nix::fcntl::{AT_FDCWD, AtFlags};
use tempfile::TempPath;
use tokio::io::AsyncSeekExt as _;

use super::content::Content;
use super::store::{Condition, Page, PartUpload, StoreRead, StoreWrite, Upload, Written};
use crate::error::{Error, ErrorKind};
use crate::hash::Hashes;
use crate::object::Object;

/// The mode of a new file, before the umask.
const MODE: u32 = 0o666;

/// A directory.
#[derive(Debug)]
pub(super) struct Local {
    url: StoreUrl,
}

impl Local {
    pub(super) fn new(url: StoreUrl) -> Self {
        Self { url }
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.url.key(name))
    }

    fn error(&self, doing: &str, name: &str, kind: impl Into<ErrorKind>) -> Error {
        Error::new(format!("{doing} {}", self.url.file(name)), kind.into())
    }
}

/// Returns the object of a file.
fn object(metadata: &fs::Metadata) -> io::Result<Object> {
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let version =
        format!("{}:{}:{}.{}", metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    Ok(Object { size: metadata.len(), version, ..Object::default() })
}

/// Returns the object at a path, or `None` if there is none.
fn at(path: &Path) -> io::Result<Option<Object>> {
    match fs::metadata(path) {
        Ok(metadata) => object(&metadata).map(Some),
        // A dangling link exists, and must not be taken for an absent file.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl StoreRead for Local {
    fn url(&self) -> &StoreUrl {
        &self.url
    }

    fn page<'a>(
        &'a self,
        _prefix: &'a str,
        _from: &'a str,
        _token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Page>, Error>> {
        Box::pin(async move {
            let root = self.url.path();
            match tokio::fs::metadata(root).await {
                Ok(metadata) if metadata.is_dir() => Ok(None),
                Ok(_) => Err(Error::new(
                    format!("reading {}", self.url),
                    io::Error::other("not a directory").into(),
                )),
                Err(error) => Err(Error::new(format!("reading {}", self.url), error.into())),
            }
        })
    }

    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Object>, Error>> {
        Box::pin(async move { at(&self.path(name)).map_err(|error| self.error("reading", name, error)) })
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        version: Option<&'a str>,
        offset: u64,
    ) -> BoxFuture<'a, Result<Content, Error>> {
        Box::pin(async move {
            let fail = |kind: ErrorKind| self.error("reading", name, kind);
            let path = self.path(name);
            // Check the type first: opening a pipe would wait for a writer.
            match at(&path) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(fail(ErrorKind::NoObject)),
                Err(error) => return Err(fail(error.into())),
            }
            let mut file = tokio::fs::File::open(&path).await.map_err(|error| fail(error.into()))?;
            let metadata = file.metadata().await.map_err(|error| fail(error.into()))?;
            let object = object(&metadata).map_err(|error| fail(error.into()))?;
            if version.is_some_and(|version| version != object.version) {
                return Err(fail(ErrorKind::Changed));
            }
            file.seek(io::SeekFrom::Start(offset)).await.map_err(|error| fail(error.into()))?;
            Ok(Content::file(format!("reading {}", self.url.file(name)), object, file, offset))
        })
    }
}

impl StoreWrite for Local {
    fn put<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        content: Bytes,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async move {
            let mut partial = self.begin(name, upload, 0).await?;
            let hashes = Hashes { size: upload.size, sha256: upload.sha256, crc32c: 0, md5: None };
            partial.finish(content, &hashes).await
        })
    }

    fn begin<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        _part: u64,
    ) -> BoxFuture<'a, Result<Box<dyn PartUpload>, Error>> {
        Box::pin(async move {
            let (path, condition) = (self.path(name), upload.condition.clone());
            let base = PathBuf::from(self.url.path());
            let what = format!("writing {}", self.url.file(name));
            let begun = tokio::task::spawn_blocking(move || Partial::begin(base, path, condition)).await;
            let begun = begun.unwrap_or_else(|error| Err(io::Error::other(error).into()));
            let partial = begun.map_err(|kind| Error::new(what.as_str(), kind))?;
            Ok(Box::new(Writing { what, partial: Some(partial) }) as Box<dyn PartUpload>)
        })
    }
}

/// A file that is being written.
struct Partial {
    /// The directory of the store.
    base: PathBuf,
    path: PathBuf,
    condition: Condition,
    file: File,
    /// The temporary name of the file, if the file system has no files without a name. Dropping this deletes it.
    named: Option<TempPath>,
}

impl Partial {
    fn begin(base: PathBuf, path: PathBuf, condition: Condition) -> Result<Self, ErrorKind> {
        check_inside(&base, &path)?;
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        fs::create_dir_all(&directory)?;
        if let Some(file) = nameless(&directory) {
            return Ok(Self { base, path, condition, file, named: None });
        }
        let new = tempfile::Builder::new()
            .prefix(".kpromo-")
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(&directory)?;
        let (file, named) = new.into_parts();
        Ok(Self { base, path, condition, file, named: Some(named) })
    }

    fn write(&mut self, content: &[u8]) -> Result<(), ErrorKind> {
        Ok(self.file.write_all(content)?)
    }

    /// Gives the file its name.
    fn publish(self) -> Result<Written, ErrorKind> {
        self.file.sync_all()?;
        check_inside(&self.base, &self.path)?;
        let version = object(&self.file.metadata()?)?.version;
        let exists = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => ErrorKind::Precondition,
            _ => error.into(),
        };
        match &self.condition {
            Condition::Absent => self.link(&self.path).map_err(exists)?,
            Condition::Version(version) => {
                if at(&self.path)?.is_none_or(|object| object.version != *version) {
                    return Err(ErrorKind::Precondition);
                }
                // Only a rename can replace a file, and only a file with a name can be renamed.
                let directory = self.path.parent().unwrap_or(Path::new("/"));
                let beside =
                    tempfile::Builder::new().prefix(".kpromo-").make_in(directory, |path| self.link(path))?;
                beside.into_temp_path().persist(&self.path).map_err(|error| error.error)?;
            }
        }
        // Sync the directory, so that the name is as durable as the content.
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(Written { version })
    }

    /// Creates a hard link to the file at `path`, which must not exist.
    fn link(&self, path: &Path) -> io::Result<()> {
        match &self.named {
            Some(named) => fs::hard_link(named, path),
            None => {
                let nameless = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                nix::unistd::linkat(AT_FDCWD, nameless.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)
                    .map_err(io::Error::from)
            }
        }
    }
}

/// Checks that no directory between the base and a file is a link: the file would be written outside of the store.
fn check_inside(base: &Path, path: &Path) -> Result<(), ErrorKind> {
    let directories = path.ancestors().skip(1).take_while(|directory| *directory != base);
    for directory in directories {
        if fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_symlink()) {
            let directory = oci_types::text::visible(&directory.to_string_lossy());
            return Err(io::Error::other(format!(
                "{directory} is a link, and nothing is written through links below the base"
            ))
            .into());
        }
    }
    Ok(())
}

/// Opens a file without a name in a directory. `None` if the file system does not support it.
#[cfg(target_os = "linux")]
fn nameless(directory: &Path) -> Option<File> {
    let flags = nix::fcntl::OFlag::O_TMPFILE.bits();
    fs::OpenOptions::new().write(true).mode(MODE).custom_flags(flags).open(directory).ok()
}

/// Returns `None`: only Linux has files without a name.
#[cfg(not(target_os = "linux"))]
fn nameless(_directory: &Path) -> Option<File> {
    None
}

struct Writing {
    what: String,
    /// `None` after the upload has ended.
    partial: Option<Partial>,
}

impl Writing {
    /// Runs an operation on the file on a thread for blocking work.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Partial) -> Result<(T, Option<Partial>), ErrorKind> + Send + 'static,
    ) -> Result<T, Error> {
        let fail = |kind| Error::new(self.what.as_str(), kind);
        let partial = self.partial.take().ok_or_else(|| fail(ErrorKind::Interrupted))?;
        let done = tokio::task::spawn_blocking(move || work(partial)).await;
        let (result, rest) =
            done.unwrap_or_else(|error| Err(io::Error::other(error).into())).map_err(fail)?;
        self.partial = rest;
        Ok(result)
    }
}

impl PartUpload for Writing {
    fn part(&mut self, content: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.blocking(move |mut partial| {
            partial.write(&content)?;
            Ok(((), Some(partial)))
        }))
    }

    fn finish<'a>(&'a mut self, last: Bytes, _hashes: &'a Hashes) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(self.blocking(move |mut partial| {
            partial.write(&last)?;
            Ok((partial.publish()?, None))
        }))
    }

    fn abort(&mut self) -> BoxFuture<'_, ()> {
        self.partial = None;
        Box::pin(async {})
    }
}
