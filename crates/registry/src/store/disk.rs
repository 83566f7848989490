//! A registry in a directory.
//!
//! ```text
//! DIRECTORY/lock                                       held by the one process that has the directory open
//! DIRECTORY/uploads/…                                  incoming content; emptied when the directory is opened
//! DIRECTORY/blobs/<algorithm>/<hash>                   content, of blobs and manifests alike
//! DIRECTORY/repositories/<name>/_blobs/<algorithm>-<hash>      empty: the repository has this blob
//! DIRECTORY/repositories/<name>/_manifests/<algorithm>-<hash>  JSON: the repository has this manifest, and what it is
//! DIRECTORY/repositories/<name>/_tags/<tag>                    the digest that the tag names
//! ```
//!
//! Every file appears complete: it is written to a temporary file, synced and renamed, and then its directory is synced. Content
//! is written before the names that refer to it, and removed after them. Content without a name is removed when the directory
//! is opened, because only then no request can be about to refer to it. No component of a repository name begins with `_`, so
//! names and directories cannot collide.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use oci::{Digest, MediaType, RepositoryPath, Tag};
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempPath};

use super::error::{StoreError, at};
use super::index::{Content, Index, ManifestEntry};

/// An open directory. All methods block.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    directories: Directories,
    /// Holds the lock while the directory is open.
    _lock: File,
}

/// The link of a manifest on disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestLink {
    media_type: String,
    size: u64,
    blobs_size: u64,
    subject: Option<Digest>,
    uploaded: i64,
}

/// The three kinds of names in a repository, one directory each.
#[derive(Clone, Copy)]
enum Names {
    Blobs,
    Manifests,
    Tags,
}

impl Names {
    const fn directory(self) -> &'static str {
        match self {
            Self::Blobs => "_blobs",
            Self::Manifests => "_manifests",
            Self::Tags => "_tags",
        }
    }
}

impl Disk {
    /// Opens or creates a directory, removes the leftovers of a crash, and reads all names.
    pub(crate) fn open(root: &Path) -> Result<(Self, Index), StoreError> {
        let directories = Directories::default();
        directories.make(root)?;
        let lock = lock(root)?;
        let disk = Self { root: root.to_owned(), directories, _lock: lock };
        let uploads = disk.uploads();
        if uploads.exists() {
            fs::remove_dir_all(&uploads).map_err(at("empty", &uploads))?;
        }
        for directory in [uploads, root.join("blobs/sha256"), root.join("blobs/sha512"), disk.repositories()]
        {
            disk.directories.make(&directory)?;
        }
        let index = disk.read_index()?;
        disk.remove_unnamed(&index)?;
        Ok((disk, index))
    }

    fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    fn names(&self, repository: &RepositoryPath, names: Names) -> PathBuf {
        self.repositories().join(repository.as_str()).join(names.directory())
    }

    /// Returns the path of content.
    pub(crate) fn content(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Returns the size of content, in bytes. If the content does not exist, this is an error, because a name refers to it.
    fn size(&self, digest: &Digest) -> Result<u64, StoreError> {
        let place = self.content(digest);
        fs::metadata(&place).map(|metadata| metadata.len()).map_err(at("find the content", &place))
    }

    /// Creates a file for incoming content. It is removed unless it is kept.
    pub(crate) fn incoming(&self) -> Result<NamedTempFile, StoreError> {
        NamedTempFile::new_in(self.uploads()).map_err(at("create a file in", &self.uploads()))
    }

    /// Makes complete, synced content available under its digest.
    pub(crate) fn keep(&self, incoming: TempPath, digest: &Digest) -> Result<(), StoreError> {
        let place = self.content(digest);
        if !place.exists() {
            incoming.persist(&place).map_err(|e| at("move an upload to", &place)(e.error))?;
        }
        // Needed also if another request has written the content first, because it may not have synced the directory yet.
        sync_directory_of(&place)
    }

    /// Writes content from memory.
    pub(crate) fn write_content(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let place = self.content(digest);
        if place.exists() { sync_directory_of(&place) } else { self.write(&place, bytes) }
    }

    /// Reads the whole content.
    pub(crate) fn read_content(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        let place = self.content(digest);
        fs::read(&place).map(Bytes::from).map_err(at("read", &place))
    }

    pub(crate) fn link_blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<(), StoreError> {
        let directory = self.names(repository, Names::Blobs);
        self.directories.make(&directory)?;
        let place = directory.join(file_name(digest));
        File::create(&place).map_err(at("create", &place))?;
        sync_directory_of(&place)
    }

    pub(crate) fn link_manifest(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        entry: &ManifestEntry,
    ) -> Result<(), StoreError> {
        let link = ManifestLink {
            media_type: entry.media_type.as_str().to_owned(),
            size: entry.size,
            blobs_size: entry.blobs_size,
            subject: entry.subject,
            uploaded: entry.uploaded,
        };
        let directory = self.names(repository, Names::Manifests);
        self.directories.make(&directory)?;
        self.write(&directory.join(file_name(digest)), serde_json::json!(link).to_string().as_bytes())
    }

    pub(crate) fn write_tag(
        &self,
        repository: &RepositoryPath,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let directory = self.names(repository, Names::Tags);
        self.directories.make(&directory)?;
        self.write(&directory.join(tag.as_str()), digest.to_string().as_bytes())
    }

    pub(crate) fn remove_blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<(), StoreError> {
        remove(&self.names(repository, Names::Blobs).join(file_name(digest)))
    }

    pub(crate) fn remove_manifest(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        remove(&self.names(repository, Names::Manifests).join(file_name(digest)))
    }

    pub(crate) fn remove_tag(&self, repository: &RepositoryPath, tag: &Tag) -> Result<(), StoreError> {
        remove(&self.names(repository, Names::Tags).join(tag.as_str()))
    }

    fn write(&self, place: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut file = self.incoming()?;
        let written = file.write_all(bytes).and_then(|()| file.as_file().sync_all());
        written.map_err(at("write", file.path()))?;
        file.persist(place).map_err(|e| at("write", place)(e.error))?;
        sync_directory_of(place)
    }

    fn read_index(&self) -> Result<Index, StoreError> {
        let mut index = Index::default();
        let mut directories = vec![self.repositories()];
        while let Some(directory) = directories.pop() {
            for (name, path) in entries(&directory)? {
                let names = match name.as_str() {
                    "_blobs" => Names::Blobs,
                    "_manifests" => Names::Manifests,
                    "_tags" => Names::Tags,
                    _ => {
                        directories.push(path);
                        continue;
                    }
                };
                let repository = self.repository_at(&directory)?;
                for (name, path) in entries(&path)? {
                    self.read_name(&mut index, &repository, names, &name, &path)?;
                }
            }
        }
        Ok(index)
    }

    fn read_name(
        &self,
        index: &mut Index,
        repository: &RepositoryPath,
        names: Names,
        name: &str,
        path: &Path,
    ) -> Result<(), StoreError> {
        match names {
            Names::Blobs => {
                let digest = digest_of(name, path)?;
                let size = self.size(&digest)?;
                index.add_blob(repository, digest, Content { size, bytes: None });
            }
            Names::Manifests => {
                let digest = digest_of(name, path)?;
                self.size(&digest)?;
                let text = fs::read(path).map_err(at("read", path))?;
                let link: ManifestLink =
                    serde_json::from_slice(&text).map_err(|e| StoreError::foreign(path, e.to_string()))?;
                let entry = ManifestEntry {
                    media_type: MediaType::parse(&link.media_type),
                    size: link.size,
                    blobs_size: link.blobs_size,
                    subject: link.subject,
                    uploaded: link.uploaded,
                    bytes: None,
                };
                index.add_manifest(repository, digest, entry);
            }
            Names::Tags => {
                let text = fs::read_to_string(path).map_err(at("read", path))?;
                let tag = name.parse::<Tag>().map_err(|e| StoreError::foreign(path, e.to_string()))?;
                let digest =
                    text.parse().map_err(|e: oci::InvalidDigest| StoreError::foreign(path, e.to_string()))?;
                index.add_tag(repository, tag, digest);
            }
        }
        Ok(())
    }

    fn repository_at(&self, directory: &Path) -> Result<RepositoryPath, StoreError> {
        let relative = directory.strip_prefix(self.repositories()).unwrap_or(directory);
        let name =
            relative.to_str().ok_or_else(|| StoreError::foreign(directory, "its name is not UTF-8"))?;
        name.parse().map_err(|e: oci::InvalidName| StoreError::foreign(directory, e.to_string()))
    }

    fn remove_unnamed(&self, index: &Index) -> Result<(), StoreError> {
        let named: HashSet<Digest> = index
            .repositories()
            .flat_map(|(_, repository)| repository.blobs.iter().chain(repository.manifests.keys()))
            .copied()
            .collect();
        for algorithm in ["sha256", "sha512"] {
            for (name, path) in entries(&self.root.join("blobs").join(algorithm))? {
                let digest: Option<Digest> = format!("{algorithm}:{name}").parse().ok();
                if digest.is_some_and(|digest| !named.contains(&digest)) {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns a digest as a file name. Some systems do not allow a colon in it.
fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

fn digest_of(file_name: &str, path: &Path) -> Result<Digest, StoreError> {
    let text = file_name.replacen('-', ":", 1);
    text.parse().map_err(|e: oci::InvalidDigest| StoreError::foreign(path, e.to_string()))
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(at("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { directory: root.to_owned() }),
        Err(TryLockError::Error(error)) => Err(at("lock", &path)(error)),
    }
}

/// The directories that this process has synced.
#[derive(Debug, Default)]
struct Directories {
    known: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    /// Creates a directory and its missing parents, and syncs each of them. This includes directories that another request has
    /// just created and may not have synced yet.
    fn make(&self, directory: &Path) -> Result<(), StoreError> {
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(directory) {
            return Ok(());
        }
        let mut made = fs::create_dir(directory);
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            && let Some(above) = directory.parent().filter(|above| !above.as_os_str().is_empty())
        {
            self.make(above)?;
            // Only one retry: a file system such as that of /proc reports a missing parent every time.
            made = fs::create_dir(directory);
        }
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            made => made.map_err(at("make the directory", directory))?,
        }
        sync_directory_of(directory)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.to_owned());
        Ok(())
    }
}

fn sync_directory_of(place: &Path) -> Result<(), StoreError> {
    let directory = match place.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(at("sync the directory", directory))
}

fn remove(place: &Path) -> Result<(), StoreError> {
    match fs::remove_file(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at("remove", place)(error)),
        Ok(()) => sync_directory_of(place),
    }
}

fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let read = || -> io::Result<Vec<(String, PathBuf)>> {
        fs::read_dir(directory)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
            })
            .collect()
    };
    read().map_err(at("list", directory))
}
