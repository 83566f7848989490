//! What a client remembers about registries while it writes and reads attached content.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use oci_types::Digest;
use oci_types::{Repository, Tag};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// How many locks of tags are kept before the unused ones are dropped.
const TURNS: usize = 256;

/// State that is shared by the readers and writers of one client. Its size depends on what this process writes, never on what a
/// registry sends.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    learnt: Mutex<Learnt>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Learnt {
    /// Repositories that have the empty configuration.
    empty_config: HashSet<Repository>,
    /// The hashes of tags that this client has written, each with the hashes of the digests that it named before and after the
    /// write. A hash collision costs one extra request.
    written: HashMap<u64, (Option<u64>, u64)>,
    /// The locks of tasks that read, extend and write a tag.
    turns: HashMap<(Repository, Tag), Weak<Turn<()>>>,
}

impl Memory {
    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_empty_config(&self, repository: &Repository) -> bool {
        self.learnt().empty_config.contains(repository)
    }

    pub(super) fn learn_empty_config(&self, repository: &Repository) {
        self.learnt().empty_config.insert(repository.clone());
    }

    /// Forgets the empty configuration of a repository: a registry that refuses a manifest may have collected its blobs as
    /// garbage.
    pub(super) fn forget_empty_config(&self, repository: &Repository) {
        self.learnt().empty_config.remove(repository);
    }

    /// Returns `true` if this client has written the tag, so that an earlier listing is out of date for it.
    pub(super) fn has_written(&self, repository: &Repository, tag: &Tag) -> bool {
        self.learnt().written.contains_key(&self.hasher.hash_one((repository, tag)))
    }

    /// Records that this client writes a tag, which named `before` and will name `after`.
    pub(super) fn learn_written(
        &self,
        repository: &Repository,
        tag: &Tag,
        before: Option<Digest>,
        after: Digest,
    ) {
        let hash = |digest: Digest| self.hasher.hash_one(digest);
        let entry = (before.map(hash), hash(after));
        self.learnt().written.insert(self.hasher.hash_one((repository, tag)), entry);
    }

    /// Returns `true` if the registry still shows the digest that a tag named before this client wrote it.
    pub(super) fn lags(&self, repository: &Repository, tag: &Tag, shown: Option<Digest>) -> bool {
        let shown = shown.map(|digest| self.hasher.hash_one(digest));
        let written = self.learnt().written.get(&self.hasher.hash_one((repository, tag))).copied();
        written.is_some_and(|(before, after)| shown == before && shown != Some(after))
    }

    /// Waits until no other task of this process reads, extends and writes the tag. A task must not hold more than one such lock.
    pub(super) async fn turn(&self, repository: &Repository, tag: &Tag) -> OwnedMutexGuard<()> {
        let turn = {
            let turns = &mut self.learnt().turns;
            if turns.len() >= TURNS {
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            let slot = turns.entry((repository.clone(), tag.clone())).or_default();
            slot.upgrade().unwrap_or_else(|| {
                let turn = Arc::new(Turn::default());
                *slot = Arc::downgrade(&turn);
                turn
            })
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn repository(path: &str) -> Repository {
        format!("registry.example/{path}").parse().unwrap()
    }

    #[test]
    fn a_tag_lags_while_it_names_the_digest_from_before_the_write() {
        let (memory, tag, app) = (Memory::default(), "v1".parse().unwrap(), repository("app"));
        let (old, new, other) = (Digest::of(b"old"), Digest::of(b"new"), Digest::of(b"other"));
        assert!(!memory.lags(&app, &tag, None), "this client has not written it");
        memory.learn_written(&app, &tag, None, old);
        assert!(memory.lags(&app, &tag, None));
        memory.learn_written(&app, &tag, Some(old), new);
        assert!(memory.lags(&app, &tag, Some(old)));
        for shown in [Some(new), Some(other), None] {
            assert!(!memory.lags(&app, &tag, shown), "{shown:?}");
        }
    }

    #[test]
    fn one_caller_at_a_time_holds_the_lock_of_a_tag() {
        let (memory, tag) = (Memory::default(), "v1".parse().unwrap());
        let first = memory.turn(&repository("a"), &tag).now_or_never().unwrap();
        assert!(memory.turn(&repository("a"), &tag).now_or_never().is_none(), "locked");
        assert!(memory.turn(&repository("b"), &tag).now_or_never().is_some(), "another repository");
        drop(first);
        assert!(memory.turn(&repository("a"), &tag).now_or_never().is_some(), "released");
    }

    #[test]
    fn unused_locks_are_dropped() {
        let (memory, tag) = (Memory::default(), "v1".parse().unwrap());
        let held = memory.turn(&repository("held"), &tag).now_or_never().unwrap();
        for number in 0..3 * TURNS {
            drop(memory.turn(&repository(&format!("r{number}")), &tag).now_or_never().unwrap());
        }
        assert!(memory.learnt().turns.len() <= TURNS);
        assert!(memory.turn(&repository("held"), &tag).now_or_never().is_none(), "a held lock is kept");
        drop(held);
    }
}
