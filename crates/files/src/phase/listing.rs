//! Finds out which files a store has: with a listing if that is cheaper, with a request per file otherwise.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::stream::{StreamExt as _, iter};
use manifest::files::Scheme;

use super::AT_ONCE;
use crate::error::{Error, ErrorKind};
use crate::object::Object;
use crate::stores::{Page, StoreRead};

/// The number of wanted files that pay for one page of a listing. A listing with more pages is abandoned: most of its objects are
/// other files.
const FILES_A_PAGE: usize = 4;
/// The memory for the metadata of the objects of a store, in bytes. Metadata beyond it is requested when it is needed.
const METADATA_MAX: usize = 8 << 20;

/// What a store has answered about a file.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A complete listing does not have the file.
    NotListed,
    /// The file is proven to be absent.
    Absent,
    There(Object),
    Unreadable(Arc<Error>),
}

/// Whether to confirm absences with a request per file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Send a request for each file that a complete listing does not have.
    ForAbsent,
    /// Accept that a complete listing does not have a file.
    ForNothing,
}

/// Finds the files with these names, which must be in byte order. Returns an answer for each name.
///
/// # Errors
/// If the store as a whole cannot be read.
pub(super) async fn find_all(store: &dyn StoreRead, names: &[&str], ask: Ask) -> Result<Vec<Found>, Error> {
    let memory = MetadataBudget(AtomicUsize::new(METADATA_MAX));
    let mut listing =
        Listing { store, names, memory: &memory, found: vec![None; names.len()], is_complete: false };
    listing.read().await?;
    let Listing { found, is_complete, .. } = listing;
    let asks = |index: usize| !is_complete || (ask == Ask::ForAbsent && found[index].is_none());
    let open: Vec<usize> = (0..names.len()).filter(|index| found[*index].is_none() && asks(*index)).collect();
    let memory = &memory;
    let answers = iter(open.into_iter().map(|index| async move {
        let found = store.find(names[index]).await.map(|object| object.map(|object| memory.keep(object)));
        (index, found_by(found))
    }));
    let answers: Vec<(usize, Found)> = answers.buffer_unordered(AT_ONCE).collect().await;
    let mut all: Vec<Found> = found
        .into_iter()
        .map(|object| object.map_or(Found::NotListed, |object| listed(store, object)))
        .collect();
    for (index, found) in answers {
        all[index] = found;
    }
    Ok(all)
}

/// Finds the files with these names, which must be in byte order, with their hashes if the store has them. Listings of S3 lack
/// hashes, so this sends a request for each object that exists.
pub(super) async fn find_with_hashes(store: &dyn StoreRead, names: &[&str]) -> Result<Vec<Found>, Error> {
    let found = find_all(store, names, Ask::ForNothing).await?;
    let is_s3 = store.url().scheme() == Scheme::S3;
    let memory = &MetadataBudget(AtomicUsize::new(METADATA_MAX));
    let complete = iter(names.iter().zip(found).map(|(name, found)| async move {
        match found {
            Found::There(object) if is_s3 && object.sha256.is_none() => {
                let found = store.find(name).await;
                found_by(found.map(|object| object.map(|object| memory.keep(object))))
            }
            found => found,
        }
    }));
    Ok(complete.buffered(AT_ONCE).collect().await)
}

/// Whether a store has an object with some name.
#[derive(Clone, Debug)]
pub enum Presence {
    /// No answer shows the object. A write on the condition that it does not exist proves its absence.
    Absent,
    /// The object exists.
    There(Box<Object>),
    /// The store could not be queried for it.
    Unreadable(Arc<Error>),
}

/// Looks up files by name: with a listing if that is cheaper, with a request per file otherwise. The names must be in byte order
/// without duplicates. Returns an answer for each name, in the same order.
///
/// # Errors
/// If the store as a whole cannot be read.
pub async fn look(store: &dyn StoreRead, names: &[&str]) -> Result<Vec<Presence>, Error> {
    let found = find_with_hashes(store, names).await?;
    let presence = |found| match found {
        Found::NotListed | Found::Absent => Presence::Absent,
        Found::There(object) => Presence::There(Box::new(object)),
        Found::Unreadable(error) => Presence::Unreadable(error),
    };
    Ok(found.into_iter().map(presence).collect())
}

fn found_by(answer: Result<Option<Object>, Error>) -> Found {
    match answer {
        Ok(Some(object)) => Found::There(object),
        Ok(None) => Found::Absent,
        Err(error) => Found::Unreadable(Arc::new(error)),
    }
}

/// Checks an object from a listing.
fn listed(store: &dyn StoreRead, object: Object) -> Found {
    match object.bounded() {
        Ok(object) => Found::There(object),
        Err(kind) => Found::Unreadable(Arc::new(Error::new(format!("listing {}", store.url()), kind))),
    }
}

/// The remaining memory for metadata, in bytes.
struct MetadataBudget(AtomicUsize);

impl MetadataBudget {
    /// Returns the object. Its metadata is dropped if the memory for metadata is used up.
    fn keep(&self, object: Object) -> Object {
        let Some(attributes) = &object.attributes else { return object };
        let memory = attributes.memory();
        let fits = self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(memory)).is_ok();
        if fits { object } else { Object { attributes: None, ..object } }
    }
}

struct Listing<'a> {
    store: &'a dyn StoreRead,
    names: &'a [&'a str],
    memory: &'a MetadataBudget,
    found: Vec<Option<Object>>,
    /// Whether the listing has reached the last wanted name.
    is_complete: bool,
}

impl Listing<'_> {
    /// Reads pages. The first page also shows whether the store can be read at all.
    async fn read(&mut self) -> Result<(), Error> {
        let (Some(first), Some(last)) = (self.names.first(), self.names.last()) else { return Ok(()) };
        let prefix = common_directory(first, last);
        let budget = (self.names.len() / FILES_A_PAGE).max(1);
        let (mut token, mut seen): (Option<String>, HashSet<String>) = (None, HashSet::new());
        let mut previous: Option<String> = None;
        let mut is_ordered = true;
        for number in 0..budget {
            let page = match self.store.page(prefix, first, token.as_deref()).await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                // The identity may be allowed to read single objects even if it may not list them.
                Err(error) if number == 0 && matches!(error.kind(), ErrorKind::Forbidden(_)) => {
                    return self.without_listing(error).await;
                }
                Err(error) => return Err(error),
            };
            let Page { objects, next } = page;
            for (name, object) in objects {
                is_ordered &= previous.as_deref().is_none_or(|previous| previous < name.as_str());
                if let Ok(index) = self.names.binary_search(&name.as_str()) {
                    self.found[index] = Some(self.memory.keep(object));
                }
                previous = Some(name);
            }
            let is_past = is_ordered && previous.as_deref().is_some_and(|previous| previous > *last);
            match next {
                _ if is_past => {
                    self.is_complete = true;
                    return Ok(());
                }
                None => {
                    self.is_complete = true;
                    return Ok(());
                }
                // A repeated page token would never end.
                Some(next) if !seen.insert(next.clone()) => {
                    tracing::warn!(
                        "{}: the listing repeats itself; files are asked for one by one",
                        self.store.url()
                    );
                    return Ok(());
                }
                Some(next) => token = Some(next),
            }
        }
        tracing::debug!(
            "{}: the listing has many other objects; files are asked for one by one",
            self.store.url()
        );
        Ok(())
    }

    /// Checks with one file that single objects can be read. `error` is the failure of the listing.
    async fn without_listing(&mut self, error: Error) -> Result<(), Error> {
        match self.store.find(self.names[0]).await {
            Ok(object) => {
                self.found[0] = object;
                Ok(())
            }
            Err(other) if matches!(other.kind(), ErrorKind::Forbidden(_)) => Err(error),
            Err(other) => Err(other),
        }
    }
}

/// Returns the common directory of two names with a trailing slash, or an empty string. All names between the two in byte order
/// are in it.
fn common_directory<'n>(first: &'n str, last: &str) -> &'n str {
    let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let end = first.as_bytes()[..common].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    &first[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Attributes;

    #[test]
    fn metadata_is_kept_within_the_budget() {
        let custom = [("k".to_owned(), "v".repeat(300))].into();
        let attributes = Some(Box::new(Attributes { custom, ..Attributes::default() }));
        let object = Object { size: 1, attributes, ..Object::default() };
        let memory = MetadataBudget(AtomicUsize::new(METADATA_MAX));
        let kept = (0..100_000).filter(|_| memory.keep(object.clone()).attributes.is_some()).count();
        assert!((1_000..20_000).contains(&kept), "{kept}");
        let none = MetadataBudget(AtomicUsize::new(0));
        assert_eq!(none.keep(object.clone()), Object { attributes: None, ..object });
    }

    #[test]
    fn the_common_directory_ends_with_a_slash() {
        assert_eq!(common_directory("a/b/c", "a/b/d"), "a/b/");
        assert_eq!(common_directory("a/b", "a/bc/d"), "a/");
        assert_eq!(common_directory("a", "b"), "");
        assert_eq!(common_directory("ü/a", "ü/b"), "ü/");
        assert_eq!(common_directory("a/x", "a/x"), "a/");
    }
}
