//! Opens the stores of a run.

use std::collections::HashMap;
use std::sync::Arc;

use manifest::files::{FileManifests, Filestore, StoreUrl};

use super::given_up::GivenUp;
use super::readers::{ProjectReaders, Readers, Writers};
use crate::error::Error;
use crate::stores::{GoogleTokens, Store, StoreRead, Stores};

/// The stores of a run.
#[derive(Debug)]
pub struct Opened {
    /// For the phases that read.
    pub readers: Readers,
    /// For the phase that writes.
    pub writers: Writers,
}

/// Opens all stores of a run. `tokens` returns the token source for a store of Google Cloud Storage.
///
/// # Errors
/// If stores cannot be used: returns all of them.
pub async fn open_stores(
    stores: &Stores,
    manifests: &FileManifests,
    tokens: impl Fn(&Filestore, bool) -> Option<Arc<dyn GoogleTokens>>,
) -> Result<Opened, GivenUp> {
    let mut opening = Opening { stores, opened: HashMap::new(), errors: Vec::new() };
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for project in &manifests.projects {
        let source = opening.open(&project.source, tokens(&project.source, true)).await;
        let mut destinations = Vec::new();
        for destination in &project.destinations {
            destinations.extend(opening.open(destination, tokens(destination, false)).await);
        }
        let Some(source) = source else { continue };
        let read = |store: &Store| -> Arc<dyn StoreRead> { store.shared() };
        readers.push(ProjectReaders {
            source: read(&source),
            destinations: destinations.iter().map(read).collect(),
        });
        writers.push(destinations.iter().map(Store::shared).collect());
    }
    if opening.errors.is_empty() {
        return Ok(Opened { readers: Readers { projects: readers }, writers: Writers { projects: writers } });
    }
    Err(GivenUp::Unavailable(opening.errors))
}

/// Identifies a store: several accounts may write to the same URL.
type Key = (StoreUrl, Option<Arc<str>>, bool);

struct Opening<'a> {
    stores: &'a Stores,
    /// The opened stores. `None`: the store cannot be used, and `errors` has the reason.
    opened: HashMap<Key, Option<Store>>,
    errors: Vec<Error>,
}

impl Opening<'_> {
    async fn open(&mut self, store: &Filestore, tokens: Option<Arc<dyn GoogleTokens>>) -> Option<Store> {
        let key = (store.url.clone(), store.service_account.clone(), tokens.is_some());
        if let Some(opened) = self.opened.get(&key) {
            return opened.clone();
        }
        let opened = self.stores.open(&store.url, tokens).await;
        let opened = opened.map_err(|error| self.errors.push(error)).ok();
        self.opened.insert(key, opened.clone());
        opened
    }
}
