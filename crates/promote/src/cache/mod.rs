//! The inventory cache: what earlier runs have seen in production, kept between runs (`--inventory-cache`).
//!
//! Tags in production never move, so kpromo need not look up again what it has seen there once. The cache only ever saves
//! lookups: kpromo always asks the registry before it writes.

mod error;
mod file;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use oci::{Digest, Host, Repository, Tag};
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};

pub use self::error::CacheError;
use self::error::failed;
use self::tables::{FACTS, FINISHED};

/// The part of the cached repositories that a run checks again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recheck {
    /// A random sample of the repositories that need not be looked up. The value is the fraction, from 0 to 1.
    Sample(f64),
    /// Everything.
    All,
}

/// An open cache file. Only one process at a time can have it open.
#[derive(Debug)]
pub struct Cache {
    database: Database,
    path: PathBuf,
    recheck: Recheck,
}

/// The tags and manifests that were seen in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The tags and the digests they name.
    tags: BTreeMap<Box<str>, Digest>,
    /// Manifests that were looked up by digest. The values carry no information.
    untagged: BTreeMap<Digest, ()>,
}

impl Cache {
    /// Opens a cache, or creates one if there is none. A cache that is damaged or of another version is renamed and replaced by
    /// a new one; the returned text then says why.
    ///
    /// # Errors
    /// If the file is not a cache, is in use, or cannot be read or written.
    pub fn open(path: &Path, recheck: Recheck) -> Result<(Self, Option<String>), CacheError> {
        let (database, refused) = file::open(path)?;
        Ok((Self { database, path: path.to_owned(), recheck }, refused))
    }

    /// Returns the part of the cached repositories to check again.
    pub(crate) fn recheck(&self) -> Recheck {
        self.recheck
    }

    /// Returns a snapshot of the remembered facts.
    pub(crate) fn remembered(&self) -> Result<Remembered, CacheError> {
        let view = || -> Result<_, redb::Error> { Ok(self.database.begin_read()?.open_table(FACTS)?) };
        view()
            .map(|table| Remembered { table, path: self.path.clone() })
            .map_err(|error| failed(&self.path, error))
    }

    /// Removes all facts about the hosts in `forgotten` and stores those in `learnt`, in one transaction. Also removes the
    /// completed images of these hosts.
    pub(crate) fn learn<'a>(
        &self,
        forgotten: &[Host],
        learnt: impl Iterator<Item = Result<(&'a Repository, Facts), CacheError>>,
    ) -> Result<(), CacheError> {
        let encoded = |learnt: Result<(&Repository, Facts), CacheError>| {
            learnt.map(|(repository, facts)| (repository.to_string(), facts.encode()))
        };
        self.replace(FACTS, forgotten, learnt.map(encoded))?;
        // If the facts about a host were wrong, the completed images recorded for it cannot be trusted either.
        self.replace(FINISHED, forgotten, std::iter::empty())
    }

    /// Returns the images of a repository that were seen to be complete under this cache key.
    pub(crate) fn finished(
        &self,
        repository: &Repository,
        cache_key: &str,
    ) -> Result<BTreeSet<Digest>, CacheError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(FINISHED)?;
            let found = table.get(finished_key(repository, cache_key).as_str())?;
            Ok(found.map(|bytes| bytes.value().to_vec()).unwrap_or_default())
        };
        let bytes = read().map_err(|error| failed(&self.path, error))?;
        let mut bytes = bytes.as_slice();
        Ok(std::iter::from_fn(|| hash_of(field(&mut bytes)?)).collect())
    }

    /// Removes the completed images of the hosts in `forgotten` and stores those in `learnt`, in one transaction.
    pub(crate) fn learn_finished<'a>(
        &self,
        forgotten: &[Host],
        cache_key: &str,
        learnt: impl Iterator<Item = (&'a Repository, BTreeSet<Digest>)>,
    ) -> Result<(), CacheError> {
        let encoded = |(repository, digests): (&Repository, BTreeSet<Digest>)| {
            let mut bytes = Vec::new();
            digests.iter().for_each(|digest| put_hash(&mut bytes, digest));
            Ok((finished_key(repository, cache_key), bytes))
        };
        self.replace(FINISHED, forgotten, learnt.map(encoded))
    }

    /// Removes all entries of a table about the hosts in `forgotten` and inserts the new ones, in one transaction.
    fn replace(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        forgotten: &[Host],
        new: impl Iterator<Item = Result<(String, Vec<u8>), CacheError>>,
    ) -> Result<(), CacheError> {
        let mut new = new.peekable();
        if forgotten.is_empty() && new.peek().is_none() {
            return Ok(());
        }
        let fail = |error: redb::Error| failed(&self.path, error);
        let transaction = self.database.begin_write().map_err(|error| fail(error.into()))?;
        {
            let mut table = transaction.open_table(table).map_err(|error| fail(error.into()))?;
            let is_kept = |key: &str| !forgotten.iter().any(|host| is_on(key, host));
            table.retain(|key, _| is_kept(key)).map_err(|error| fail(error.into()))?;
            for entry in new {
                let (key, value) = entry?;
                table.insert(key.as_str(), value.as_slice()).map_err(|error| fail(error.into()))?;
            }
        }
        transaction.commit().map_err(|error| fail(error.into()))
    }
}

/// A snapshot of the remembered facts.
pub(crate) struct Remembered {
    table: ReadOnlyTable<&'static str, &'static [u8]>,
    path: PathBuf,
}

impl Remembered {
    /// Returns the facts about a repository. They are empty if there are none.
    pub(crate) fn of(&self, repository: &Repository) -> Result<Facts, CacheError> {
        let found =
            self.table.get(repository.to_string().as_str()).map_err(|error| failed(&self.path, error))?;
        // Facts that cannot be decoded count as unknown and are overwritten later.
        Ok(found.and_then(|bytes| Facts::decode(bytes.value())).unwrap_or_default())
    }
}

impl Facts {
    /// Returns whether the repository was seen to hold the manifest under this tag or, if `tag` is `None`, at all.
    pub(crate) fn show(&self, tag: Option<&Tag>, digest: &Digest) -> bool {
        match tag {
            Some(tag) => self.tags.get(tag.as_str()) == Some(digest),
            None => self.untagged.contains_key(digest) || self.tags.values().any(|named| named == digest),
        }
    }

    /// Records that the repository holds a manifest.
    pub(crate) fn learn(&mut self, tag: Option<&Tag>, digest: Digest) {
        match tag {
            Some(tag) => drop(self.tags.insert(tag.as_str().into(), digest)),
            None => drop(self.untagged.insert(digest, ())),
        }
    }

    /// Records that the repository does not hold the manifest under this tag or, if `tag` is `None`, at all.
    pub(crate) fn forget(&mut self, tag: Option<&Tag>, digest: &Digest) {
        match tag {
            Some(tag) => drop(self.tags.remove(tag.as_str())),
            None => {
                self.untagged.remove(digest);
                self.tags.retain(|_, named| named != digest);
            }
        }
    }

    /// Encodes each tag as its length, its bytes and its digest. A manifest without a tag is encoded with a tag of length 0.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let tagged = self.tags.iter().map(|(tag, digest)| (&**tag, digest));
        for (tag, digest) in tagged.chain(self.untagged.keys().map(|digest| ("", digest))) {
            // A tag has at most 128 bytes.
            bytes.push(u8::try_from(tag.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(tag.as_bytes());
            put_hash(&mut bytes, digest);
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        while !bytes.is_empty() {
            let tag = std::str::from_utf8(field(&mut bytes)?).ok()?;
            let digest = hash_of(field(&mut bytes)?)?;
            match tag {
                "" => drop(facts.untagged.insert(digest, ())),
                tag => drop(facts.tags.insert(tag.into(), digest)),
            }
        }
        Some(facts)
    }
}

/// Splits off a field that is preceded by its length in one byte.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first()?;
    let (field, rest) = rest.split_at_checked(usize::from(*length))?;
    *bytes = rest;
    Some(field)
}

/// Returns the digest with this hash. The length of the hash determines the algorithm.
fn hash_of(hash: &[u8]) -> Option<Digest> {
    hash.try_into().map(Digest::Sha256).or_else(|_| hash.try_into().map(Digest::Sha512)).ok()
}

fn put_hash(bytes: &mut Vec<u8>, digest: &Digest) {
    // A hash has at most 64 bytes.
    bytes.push(u8::try_from(digest.hash().len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(digest.hash());
}

/// Returns the key of an entry in the table of completed images. The key starts with the repository so that entries can be
/// removed by host. A repository name contains no space.
fn finished_key(repository: &Repository, cache_key: &str) -> String {
    format!("{repository} {cache_key}")
}

/// Returns whether a repository, given as text, is on a host.
fn is_on(repository: &str, host: &Host) -> bool {
    repository.strip_prefix(host.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn facts(seed: u8) -> Facts {
        let mut facts = Facts::default();
        for number in 0..20 {
            let tag: Tag = format!("v{seed}.{number}").parse().unwrap();
            facts.learn(Some(&tag), Digest::of(&[seed, number]));
            facts.learn(None, Digest::of(&[seed, number, 0]));
        }
        facts
    }

    fn repositories() -> Vec<Repository> {
        ["a.io/one", "a.io/two", "a.io.b/one", "b.io/one"].map(|name| name.parse().unwrap()).into()
    }

    /// Creates a cache with facts about all repositories.
    pub(super) fn filled(path: &Path) {
        let (cache, refused) = Cache::open(path, Recheck::All).unwrap();
        assert_eq!(refused, None);
        let repositories = repositories();
        let learnt = repositories.iter().zip(0..).map(|(name, seed)| Ok((name, facts(seed))));
        cache.learn(&[], learnt).unwrap();
    }

    pub(super) fn remembered(path: &Path) -> (Vec<Facts>, Option<String>) {
        let (cache, refused) = Cache::open(path, Recheck::All).unwrap();
        let remembered = cache.remembered().unwrap();
        (repositories().iter().map(|name| remembered.of(name).unwrap()).collect(), refused)
    }

    #[test]
    fn learnt_facts_are_remembered_and_forgotten_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        filled(&path);
        let (all, refused) = remembered(&path);
        assert_eq!((all.clone(), refused), ((0..4).map(facts).collect(), None));

        let (cache, _) = Cache::open(&path, Recheck::All).unwrap();
        cache.learn(&["a.io".parse().unwrap()], std::iter::empty()).unwrap();
        drop(cache);
        let expected = vec![Facts::default(), Facts::default(), facts(2), facts(3)];
        assert_eq!(remembered(&path).0, expected, "a host with the same prefix in its name is another host");
    }

    #[test]
    fn completed_images_are_remembered_by_repository_and_cache_key() {
        let directory = tempfile::tempdir().unwrap();
        let (cache, _) = Cache::open(&directory.path().join("cache"), Recheck::All).unwrap();
        let [one, two, ..] = &repositories()[..] else { panic!("there are four") };
        let digests: BTreeSet<Digest> = [Digest::of(b"1"), Digest::of(b"2")].into();
        cache.learn_finished(&[], "key a", std::iter::once((one, digests.clone()))).unwrap();
        assert_eq!(cache.finished(one, "key a").unwrap(), digests);
        assert!(cache.finished(one, "key b").unwrap().is_empty(), "another signer");
        assert!(cache.finished(two, "key a").unwrap().is_empty());
        cache.learn_finished(&["a.io".parse().unwrap()], "key a", std::iter::empty()).unwrap();
        assert!(cache.finished(one, "key a").unwrap().is_empty());
    }

    #[test]
    fn a_tag_shows_its_digest_and_no_other() {
        let facts = facts(1);
        let tag: Tag = "v1.7".parse().unwrap();
        assert!(facts.show(Some(&tag), &Digest::of(&[1, 7])));
        assert!(!facts.show(Some(&tag), &Digest::of(&[1, 8])));
        assert!(!facts.show(Some(&"v2.7".parse().unwrap()), &Digest::of(&[1, 7])));
        assert!(facts.show(None, &Digest::of(&[1, 7, 0])), "seen without a tag");
        assert!(facts.show(None, &Digest::of(&[1, 7])), "a tagged manifest exists");
        assert!(!facts.show(None, &Digest::of(&[2])));
    }

    #[test]
    fn only_one_process_can_open_a_cache() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let first = Cache::open(&path, Recheck::All).unwrap();
        assert!(matches!(Cache::open(&path, Recheck::All), Err(CacheError::InUse(_))));
        drop(first);
        assert!(Cache::open(&path, Recheck::All).is_ok());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no/such/directory/cache");
        let error = Cache::open(&path, Recheck::All).unwrap_err().to_string();
        assert!(error.contains("no/such/directory/cache cannot be used"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// A damaged file never causes a panic, and a cache returns either exactly what was learnt or nothing.
        #[test]
        fn a_damaged_file_yields_correct_facts_or_none(
            flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..4),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                let directory = tempfile::tempdir().unwrap();
                filled(&directory.path().join("cache"));
                fs::read(directory.path().join("cache")).unwrap()
            });
            let mut bytes = WHOLE.clone();
            if let Some(cut) = cut {
                bytes.truncate(cut.index(WHOLE.len()));
            }
            for (at, flip) in flips {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] ^= flip;
                }
            }
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("cache");
            fs::write(&path, &bytes).unwrap();
            // If the damage makes the file unrecognisable, `open` refuses it.
            if let Err(CacheError::Foreign(_)) = Cache::open(&path, Recheck::All) {
                prop_assert!(fs::read(&path).unwrap() == bytes);
                return Ok(());
            }
            fs::write(&path, &bytes).unwrap();
            let (found, refused) = remembered(&path);
            for (facts, seed) in found.iter().zip(0..) {
                let is_new = refused.is_some() || bytes.is_empty();
                let expected = if is_new { Facts::default() } else { self::facts(seed) };
                prop_assert_eq!(facts, &expected);
            }
        }

        #[test]
        fn an_invalid_record_is_not_decoded_to_facts(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(facts) = Facts::decode(&bytes) {
                let again = Facts::decode(&facts.encode());
                prop_assert_eq!(again, Some(facts));
            }
        }
    }
}
