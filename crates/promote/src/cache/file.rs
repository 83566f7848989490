//! The file of an inventory cache: how a cache is recognised, created, and replaced if it is damaged.
//!
//! A file that is not recognised as a cache is never opened as a database, renamed or changed: a mistyped path must not destroy
//! another file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError};

use super::error::{CacheError, failed};
use super::tables::{ABOUT, FACTS, FINISHED, SCHEMA};

/// The size of the database's page cache, in bytes.
const MEMORY: usize = 8 << 20;
/// The magic number at the start of a redb file.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// The text that a cache of any version contains.
const MARKER: &[u8] = b"kpromo inventory ";
/// The size of the buffer for searching a file, in bytes.
const PIECE: usize = 64 << 10;

/// The kind of file at the path of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// No file, or an empty one.
    Nothing,
    /// A cache of this or another version, possibly damaged.
    Ours,
    /// Any other file.
    Foreign,
}

/// The reason why a file that is a cache could not be opened.
enum OpenError {
    /// The content must not be used, for the given reason.
    Refused(&'static str),
    Failed(CacheError),
}

/// Opens a cache, or creates one if there is none. A cache that is damaged or of another version is renamed and replaced by a
/// new one; the returned text then says why.
///
/// # Errors
/// If the file is not a cache, is in use, or cannot be read or written.
pub(super) fn open(path: &Path) -> Result<(Database, Option<String>), CacheError> {
    match inspect(path).map_err(|error| failed(path, error))? {
        Found::Foreign => return Err(CacheError::Foreign(path.to_owned())),
        Found::Nothing => create(path)?,
        Found::Ours => {}
    }
    let refused = match open_ours(path) {
        Ok(database) => return Ok((database, None)),
        Err(OpenError::Refused(why)) => why,
        Err(OpenError::Failed(error)) => return Err(error),
    };
    let aside = aside(path);
    fs::rename(path, &aside).map_err(|error| failed(path, error))?;
    let text = format!(
        "the inventory cache {} is {refused}: it is moved to {}, and this run reads every repository",
        path.display(),
        aside.display()
    );
    create(path)?;
    match open_ours(path) {
        Ok(database) => Ok((database, Some(text))),
        Err(OpenError::Failed(error)) => Err(error),
        Err(OpenError::Refused(why)) => Err(failed(path, io::Error::other(why))),
    }
}

/// Determines the kind of a file without opening it as a database, which would change the file.
fn inspect(path: &Path) -> io::Result<Found> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() {
        return Ok(Found::Foreign);
    }
    if metadata.len() == 0 {
        return Ok(Found::Nothing);
    }
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    (&mut file).take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    let is_ours = magic == MAGIC && contains(file, MARKER)?;
    Ok(if is_ours { Found::Ours } else { Found::Foreign })
}

/// Returns whether `from` contains `text`.
fn contains(mut from: impl Read, text: &[u8]) -> io::Result<bool> {
    let mut buffer = vec![0; PIECE];
    let mut kept = 0;
    loop {
        let read = match from.read(&mut buffer[kept..]) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let filled = kept + read;
        if buffer[..filled].windows(text.len()).any(|window| window == text) {
            return Ok(true);
        }
        // The text may begin in this buffer and end in the next one.
        kept = filled.min(text.len() - 1);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

/// Creates a cache under a temporary name next to `path` and then moves it there, so that a file at `path` is always complete.
fn create(path: &Path) -> Result<(), CacheError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{:016x}", rand::random::<u64>()));
    let new = PathBuf::from(name);
    let created = write_new(&new)
        .and_then(|()| put_in_place(&new, path).map_err(Into::into))
        .map_err(|error| CacheError::Failed(path.to_owned(), Box::new(error)));
    // Fails if the file was renamed, which is fine: it no longer exists under this name.
    let _ = fs::remove_file(&new);
    created
}

fn write_new(path: &Path) -> Result<(), redb::Error> {
    let database = Builder::new().set_cache_size(MEMORY).create(path)?;
    let transaction = database.begin_write()?;
    transaction.open_table(ABOUT)?.insert("schema", SCHEMA)?;
    transaction.open_table(FACTS)?;
    transaction.open_table(FINISHED)?;
    transaction.commit()?;
    Ok(())
}

/// Moves a new cache to its path, unless another process has created one there in the meantime.
fn put_in_place(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path)?.len() {
            0 => fs::rename(new, path),
            _ => Ok(()),
        },
        // The file system does not support hard links.
        Err(_) => fs::rename(new, path),
    }
}

fn open_ours(path: &Path) -> Result<Database, OpenError> {
    let fail = |error: redb::Error| OpenError::Failed(failed(path, error));
    // A damaged file can crash the process without this check: redb trusts a database that was closed properly.
    let opened = Builder::new().set_cache_size(MEMORY).set_check_integrity_on_open(true).open(path);
    let database = match opened {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
            return Err(OpenError::Failed(CacheError::InUse(path.to_owned())));
        }
        Err(DatabaseError::Storage(redb::StorageError::Io(error)))
            if error.kind() != io::ErrorKind::InvalidData && error.kind() != io::ErrorKind::UnexpectedEof =>
        {
            return Err(OpenError::Failed(failed(path, error)));
        }
        Err(_) => return Err(OpenError::Refused("damaged")),
    };
    let transaction = database.begin_write().map_err(|error| fail(error.into()))?;
    let has_schema = match transaction.open_table(ABOUT) {
        Ok(about) => {
            use redb::ReadableTable as _;
            let schema = about.get("schema").map_err(|error| fail(error.into()))?;
            schema.is_some_and(|schema| schema.value() == SCHEMA)
        }
        Err(_) => false,
    };
    let has_tables = transaction.open_table(FACTS).is_ok() && transaction.open_table(FINISHED).is_ok();
    if !has_schema || !has_tables {
        return Err(OpenError::Refused("of another version"));
    }
    transaction.commit().map_err(|error| fail(error.into()))?;
    Ok(database)
}

/// Returns an unused path that a damaged file is renamed to.
fn aside(path: &Path) -> PathBuf {
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { ".refused".to_owned() } else { format!(".refused.{number}") });
        PathBuf::from(name)
    };
    (0..u32::MAX).map(named).find(|aside| !aside.exists()).unwrap_or_else(|| named(u32::MAX))
}

#[cfg(test)]
mod tests {
    use redb::TableDefinition;

    use super::super::tests::{filled, remembered};
    use super::*;

    #[test]
    fn a_file_that_is_not_a_cache_is_refused_and_left_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let other = Builder::new().create(&path).unwrap();
        let transaction = other.begin_write().unwrap();
        let table: TableDefinition<'_, u64, u64> = TableDefinition::new("facts");
        transaction.open_table(table).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        drop(other);
        let database = fs::read(&path).unwrap();
        let mut text = b"registries:\n- name: gcr.io/staging\n".repeat(1_000);
        text.extend_from_slice(MARKER);
        for foreign in [database, text, b"x".to_vec(), MAGIC.to_vec()] {
            fs::write(&path, &foreign).unwrap();
            let error = open(&path).unwrap_err();
            assert!(matches!(error, CacheError::Foreign(_)), "{error}");
            assert!(fs::read(&path).unwrap() == foreign, "the file is unchanged");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no other file is created");
        }
        assert!(matches!(open(directory.path()).unwrap_err(), CacheError::Foreign(_)), "a directory");
    }

    #[test]
    fn a_damaged_cache_is_renamed_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let kept = |name: &str| fs::read(directory.path().join(name)).unwrap();
        for name in ["cache.refused", "cache.refused.1"] {
            filled(&path);
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(bytes.len() - 1_000);
            fs::write(&path, &bytes).unwrap();
            assert_eq!(inspect(&path).unwrap(), Found::Ours);
            let (_, refused) = remembered(&path);
            assert!(refused.unwrap().contains("reads every repository"));
            assert!(kept(name) == bytes, "files that were renamed earlier are kept");
        }
    }

    #[test]
    fn a_cache_of_another_version_is_renamed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let other = Builder::new().create(&path).unwrap();
        let transaction = other.begin_write().unwrap();
        transaction.open_table(ABOUT).unwrap().insert("schema", "kpromo inventory 0").unwrap();
        transaction.commit().unwrap();
        drop(other);
        let (_, refused) = open(&path).unwrap();
        assert!(refused.unwrap().contains("of another version"));
    }

    #[test]
    fn an_empty_file_becomes_a_cache_and_no_temporary_file_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        fs::write(&path, "").unwrap();
        assert!(open(&path).unwrap().1.is_none());
        assert!(open(&path).unwrap().1.is_none(), "it is a cache now");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_text_is_found_across_the_boundary_of_two_buffers() {
        for before in [0, 1, PIECE - 9, PIECE - 8, PIECE - 1, PIECE, 3 * PIECE - 4] {
            let mut bytes = vec![b'k'; before];
            assert!(!contains(bytes.as_slice(), MARKER).unwrap());
            bytes.extend_from_slice(MARKER);
            bytes.extend_from_slice(&[b'x'; 100]);
            assert!(contains(bytes.as_slice(), MARKER).unwrap(), "{before}");
        }
    }
}
