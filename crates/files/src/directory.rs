//! Creates a manifest of the files in a directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use manifest::files::{FileName, Sha256};
use oci_types::text::visible;
use sha2::Digest as _;

use crate::yaml::Entry;

/// The maximum depth of directories.
const DEPTH_MAX: usize = 64;
/// The size of the read buffer, in bytes.
const PIECE: usize = 256 * 1024;
/// The minimum number of hashing threads: a disk is faster with several concurrent reads, even on a machine with one core.
const THREADS_MIN: usize = 2;

/// The files of a directory.
#[derive(Debug)]
pub struct Described {
    /// The entries, depth first; the names in each directory are in byte order.
    pub entries: Vec<Entry>,
    /// The number of bytes that were hashed.
    pub bytes: u64,
}

/// Some files of a directory cannot be described. Lists all faults.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct DirectoryError(Vec<String>);

/// Creates the entries for all files below a directory whose names begin with `prefix`. A prefix that ends with a slash selects
/// a directory. Links to files are followed.
///
/// # Errors
/// If the directory has a link to a directory, a dangling link, a name that is not UTF-8 or has control characters, or something
/// that cannot be read. The error lists all of them.
pub fn describe_directory(directory: &Path, prefix: &str) -> Result<Described, DirectoryError> {
    let root =
        fs::metadata(directory).map_err(|error| DirectoryError(vec![cannot_read(directory, &error)]))?;
    if !root.is_dir() {
        return Err(DirectoryError(vec![format!("{}: not a directory", shown(directory))]));
    }
    let mut walk = Walk { prefix, found: Vec::new(), faults: Vec::new() };
    walk.directory(directory, "", 0);
    let Walk { found, faults, .. } = walk;
    if !faults.is_empty() {
        return Err(DirectoryError(faults));
    }
    hash_all(found)
}

struct Walk<'a> {
    prefix: &'a str,
    found: Vec<(String, PathBuf)>,
    faults: Vec<String>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, name: &str, depth: usize) {
        if depth == DEPTH_MAX {
            return self.faults.push(format!("{}: directories are nested too deep", shown(directory)));
        }
        let listed = fs::read_dir(directory).and_then(io::Result::<Vec<_>>::from_iter);
        let mut entries = match listed {
            Ok(entries) => entries,
            Err(error) => return self.faults.push(cannot_read(directory, &error)),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Some(last) = entry.file_name().to_str().map(str::to_owned) else {
                // Without UTF-8, the name cannot be compared with the prefix, so the file may belong to the manifest.
                self.faults.push(format!("{}: the name is not text in UTF-8", shown(&path)));
                continue;
            };
            let name = if name.is_empty() { last } else { format!("{name}/{last}") };
            if !self.may_hold(&name) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.directory(&path, &name, depth + 1),
                Ok(_) if !name.starts_with(self.prefix) => {}
                Ok(_) => self.file(name, path),
                Err(error) => self.faults.push(cannot_read(&path, &error)),
            }
        }
    }

    /// Returns whether a file with this name, or a file below a directory with this name, may have the prefix.
    fn may_hold(&self, name: &str) -> bool {
        name.starts_with(self.prefix)
            || self.prefix.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
    }

    fn file(&mut self, name: String, path: PathBuf) {
        // `metadata` follows links.
        let fault = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => "a link to a directory, which is not followed".to_owned(),
            Ok(metadata) if !metadata.is_file() => "not a regular file".to_owned(),
            Ok(_) => match name.parse::<FileName>() {
                Ok(_) => return self.found.push((name, path)),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => "a link to nothing".to_owned(),
            Err(error) => return self.faults.push(cannot_read(&path, &error)),
        };
        self.faults.push(format!("{}: {fault}", shown(&path)));
    }
}

/// Hashes files on several threads.
fn hash_all(files: Vec<(String, PathBuf)>) -> Result<Described, DirectoryError> {
    let threads = thread::available_parallelism().map_or(THREADS_MIN, |number| number.get().max(THREADS_MIN));
    let next = AtomicUsize::new(0);
    let hashed: Mutex<Vec<Option<(Sha256, u64)>>> = Mutex::new(vec![None; files.len()]);
    let faults: Mutex<Vec<String>> = Mutex::default();
    let work = || {
        let mut piece = vec![0; PIECE];
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some((_, path)) = files.get(index) else { return };
            match hash(path, &mut piece) {
                Ok(hash) => lock(&hashed)[index] = Some(hash),
                Err(error) => lock(&faults).push(cannot_read(path, &error)),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.min(files.len()) {
            scope.spawn(work);
        }
    });
    let mut faults = faults.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !faults.is_empty() {
        faults.sort();
        return Err(DirectoryError(faults));
    }
    let hashed = hashed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let bytes = hashed.iter().flatten().map(|(_, size)| size).sum();
    let entries = files.into_iter().zip(hashed);
    let entries = entries.filter_map(|((name, _), hash)| Some(Entry { name, sha256: hash?.0 }));
    Ok(Described { entries: entries.collect(), bytes })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Hashes a file. Fails if the file changes in the meantime.
fn hash(path: &Path, piece: &mut [u8]) -> io::Result<(Sha256, u64)> {
    let mut file = File::open(path)?;
    let before = state(&file.metadata()?);
    let changed =
        || io::Error::other("it changed while it was hashed; run it again when nothing writes to it");
    let (mut hasher, mut size) = (sha2::Sha256::new(), 0);
    loop {
        match file.read(piece) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&piece[..read]);
                size += read as u64;
                // A file that grows as fast as it is read never ends.
                if size > before.size {
                    return Err(changed());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // Another file may have been moved to the path in the meantime.
    let is_same =
        size == before.size && state(&file.metadata()?) == before && state(&fs::metadata(path)?) == before;
    if is_same { Ok((Sha256::new(hasher.finalize().into()), size)) } else { Err(changed()) }
}

/// The metadata that changes when the content of a file changes.
#[derive(PartialEq, Eq)]
struct State {
    size: u64,
    file: (u64, u64),
    times: [(i64, i64); 2],
}

fn state(metadata: &fs::Metadata) -> State {
    let times = [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())];
    State { size: metadata.len(), file: (metadata.dev(), metadata.ino()), times }
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    format!("{}: cannot be read: {error}", shown(path))
}

/// Merges entries into those of an existing manifest. Existing names keep their order. New names are inserted in byte order if
/// the manifest is in that order, and appended otherwise.
///
/// # Errors
/// If names have another hash in the manifest. Returns a message for each of them.
pub fn merge(existing: Vec<Entry>, new: Vec<Entry>) -> Result<Vec<Entry>, Vec<String>> {
    let known: BTreeMap<&str, &Sha256> =
        existing.iter().map(|entry| (entry.name.as_str(), &entry.sha256)).collect();
    let conflicts: Vec<String> = new
        .iter()
        .filter_map(|entry| match known.get(entry.name.as_str()) {
            Some(sha256) if **sha256 != entry.sha256 => Some(format!(
                "{}: the manifest has the SHA-256 {sha256}, the directory {}",
                entry.name, entry.sha256
            )),
            _ => None,
        })
        .collect();
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let added: Vec<Entry> =
        new.into_iter().filter(|entry| !known.contains_key(entry.name.as_str())).collect();
    let is_ordered = existing.is_sorted_by(|a, b| order(&a.name, &b.name).is_le());
    let mut merged = existing;
    merged.extend(added);
    if is_ordered {
        merged.sort_by(|a, b| order(&a.name, &b.name));
    }
    Ok(merged)
}

/// The order of a walk: the names in each directory in byte order.
fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.split('/').cmp(b.split('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, byte: u8) -> Entry {
        Entry { name: name.to_owned(), sha256: Sha256::new([byte; 32]) }
    }

    fn names(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn new_entries_are_inserted_in_order_only_into_an_ordered_manifest() {
        let merged = merge(vec![entry("a", 1), entry("c", 1)], vec![entry("b", 1), entry("c", 1)]).unwrap();
        assert_eq!(names(&merged), ["a", "b", "c"]);
        let merged = merge(vec![entry("c", 1), entry("a", 1)], vec![entry("b", 1)]).unwrap();
        assert_eq!(names(&merged), ["c", "a", "b"], "an unordered manifest keeps its order");
    }

    #[test]
    fn a_name_with_another_hash_is_a_conflict() {
        let conflicts =
            merge(vec![entry("a", 1), entry("b", 1)], vec![entry("b", 2), entry("a", 3)]).unwrap_err();
        assert_eq!(conflicts.len(), 2, "{conflicts:?}");
    }

    #[test]
    fn the_prefix_is_text_and_with_a_trailing_slash_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["v1/tool", "v1.10/tool", "v10", "w/v1/x"] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let described = |prefix: &str| {
            let described = describe_directory(directory.path(), prefix).unwrap();
            described.entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(described("v1"), ["v1/tool", "v1.10/tool", "v10"]);
        assert_eq!(described("v1/"), ["v1/tool"]);
        assert_eq!(described("w/v1/x"), ["w/v1/x"]);
        assert_eq!(described("w/v1/xx"), [""; 0]);
        assert_eq!(described("").len(), 4);
    }

    #[test]
    fn a_file_that_changes_while_it_is_hashed_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        File::create(&path).unwrap().set_len(64 << 20).unwrap();
        let (begun, is_over) = (std::sync::Barrier::new(2), std::sync::atomic::AtomicBool::new(false));
        let described = thread::scope(|scope| {
            scope.spawn(|| {
                use std::os::unix::fs::FileExt as _;
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                begun.wait();
                while !is_over.load(Relaxed) {
                    // The size stays the same.
                    file.write_all_at(b"x", 10).unwrap();
                    thread::sleep(std::time::Duration::from_millis(1));
                }
            });
            begun.wait();
            let described = describe_directory(directory.path(), "");
            is_over.store(true, Relaxed);
            described
        });
        assert!(described.unwrap_err().to_string().contains("it changed while it was hashed"));
        assert_eq!(describe_directory(directory.path(), "").unwrap().bytes, 64 << 20);
    }
}
