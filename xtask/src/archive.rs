//! Archives that depend on their content only: the same files make the same bytes on every machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::error::Error;

/// Files and directories to pack, by their paths. Paths are relative to the root of the archive, with `/` between
/// components.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    mode: u32,
    /// The identifier of the user and of the group that the entry belongs to.
    owner: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    File(Vec<u8>),
}

impl Tree {
    /// Adds a file that belongs to root, and its directories.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.add(path, Entry { kind: Kind::File(content.into()), mode, owner: 0 });
    }

    /// Adds a directory, and those above it.
    pub(crate) fn directory(&mut self, path: &str, mode: u32, owner: u64) {
        self.add(path, Entry { kind: Kind::Directory, mode, owner });
    }

    /// Adds a file of this machine. Follows symbolic links.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn copy(&mut self, path: &str, mode: u32, from: &Path) -> Result<(), Error> {
        let content = fs::read(from).map_err(Error::file("reading", from))?;
        self.file(path, mode, content);
        Ok(())
    }

    /// Adds all files below a directory of this machine, as the directory `path`. The mode is that of plain files.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub(crate) fn copy_all(&mut self, path: &str, from: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(from).map_err(Error::file("listing", from))? {
            let entry = entry.map_err(Error::file("listing", from))?;
            let below = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.copy_all(&below, &entry.path())?;
            } else {
                self.copy(&below, PLAIN, &entry.path())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for directory in above {
            let plain = Entry { kind: Kind::Directory, mode: PROGRAM, owner: 0 };
            self.entries.entry(directory.to_owned()).or_insert(plain);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Returns the files with their paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::File(content) => Some((path.as_str(), content.as_slice())),
            Kind::Directory => None,
        })
    }

    /// Writes the tree below a directory, with its modes. Everything belongs to this process's user.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn unpack(&self, directory: &Path) -> Result<(), Error> {
        for (path, entry) in &self.entries {
            let path = directory.join(path);
            match &entry.kind {
                Kind::Directory => fs::create_dir_all(&path),
                Kind::File(content) => fs::write(&path, content),
            }
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)))
            .map_err(Error::file("writing", path))?;
        }
        Ok(())
    }

    /// Returns a tar archive of the tree. Entries are sorted by path. `time` is the time of all of them, in seconds since 1970.
    ///
    /// # Errors
    /// If a path does not fit into an archive.
    pub(crate) fn tar(&self, time: u64) -> io::Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_mtime(time);
            header.set_size(0);
            match &entry.kind {
                Kind::Directory => {
                    header.set_entry_type(EntryType::Directory);
                    builder.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Kind::File(content) => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_size(content.len() as u64);
                    builder.append_data(&mut header, path, content.as_slice())?;
                }
            }
        }
        builder.into_inner()
    }
}

/// The mode of a file that everyone may read.
pub(crate) const PLAIN: u32 = 0o644;
/// The mode of a program, and of a directory that everyone may read.
pub(crate) const PROGRAM: u32 = 0o755;

/// Compresses bytes, without a name and a time.
///
/// # Errors
/// None in practice: the bytes are written to memory.
pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Returns the SHA-256 of bytes in lowercase hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn sample(reversed: bool) -> Tree {
        let mut tree = Tree::default();
        let mut files = vec![("usr/bin/kpromo", PROGRAM, "program"), ("etc/passwd", PLAIN, "root")];
        if reversed {
            files.reverse();
        }
        files.into_iter().for_each(|(path, mode, content)| tree.file(path, mode, content));
        tree.directory("home/nonroot", 0o750, 65532);
        tree
    }

    #[test]
    fn an_archive_does_not_depend_on_the_order_of_additions() {
        let packed = |tree: &Tree| gzip(&tree.tar(7).unwrap()).unwrap();
        assert_eq!(packed(&sample(false)), packed(&sample(true)));
        assert_ne!(
            packed(&sample(false)),
            gzip(&sample(false).tar(8).unwrap()).unwrap(),
            "the time is part of the archive"
        );
    }

    #[test]
    fn an_archive_has_the_directories_the_modes_the_owners_and_one_time() {
        let bytes = sample(true).tar(1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            let path = entry.path().unwrap().display().to_string();
            seen.push((path, header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap(), content));
        }
        let expected = [
            ("etc/", 0o755, 0, ""),
            ("etc/passwd", 0o644, 0, "root"),
            ("home/", 0o755, 0, ""),
            ("home/nonroot/", 0o750, 65532, ""),
            ("usr/", 0o755, 0, ""),
            ("usr/bin/", 0o755, 0, ""),
            ("usr/bin/kpromo", 0o755, 0, "program"),
        ];
        let expected =
            expected.map(|(path, mode, id, content)| (path.to_owned(), mode, id, id, content.to_owned()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_unpacked_tree_has_the_files_with_their_modes() {
        let directory = tempfile::tempdir().unwrap();
        sample(false).unpack(directory.path()).unwrap();
        let mode =
            |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(fs::read(directory.path().join("usr/bin/kpromo")).unwrap(), b"program");
        assert_eq!([mode("usr/bin/kpromo"), mode("etc/passwd"), mode("home/nonroot")], [0o755, 0o644, 0o750]);
    }

    #[test]
    fn a_compressed_archive_has_no_name_no_time_and_no_system() {
        let packed = gzip(b"content").unwrap();
        assert_eq!(packed[..4], [0x1f, 0x8b, 8, 0], "gzip, deflate, no name");
        assert_eq!(packed[4..8], [0; 4], "no time");
        assert_eq!(packed[9], 255, "an unknown system");
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
