//! What a client has learnt of registries while it attached things and looked for what is attached.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::name::{Host, Repository, Tag};

/// How many tags that may be written to are kept before those that nobody writes to any more are dropped.
const TURNS: usize = 256;

/// What readers and writers of one client remember. It grows with what this process writes, never with what a registry says.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    learnt: Mutex<Learnt>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Learnt {
    /// Whether a host has a referrers API.
    referrers_api: HashMap<Host, bool>,
    /// Repositories that have the empty configuration.
    empty_config: HashSet<Repository>,
    /// The tags that were written here, by their hashes: one that is taken for another costs a request.
    written: HashSet<u64>,
    /// Whose turn it is to read, extend and write a tag.
    turns: HashMap<(Repository, Tag), Weak<Turn<()>>>,
}

impl Memory {
    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a host is known to have no referrers API.
    pub(super) fn lacks_referrers(&self, host: &Host) -> bool {
        self.learnt().referrers_api.get(host) == Some(&false)
    }

    /// Takes note that a host has a referrers API, or has none. One that had it keeps it: a single answer that denies it is
    /// about something else.
    pub(super) fn learn_referrers(&self, host: &Host, there: bool) {
        let mut learnt = self.learnt();
        match learnt.referrers_api.get_mut(host) {
            Some(known) => *known |= there,
            None => drop(learnt.referrers_api.insert(host.clone(), there)),
        }
    }

    pub(super) fn has_empty_config(&self, repository: &Repository) -> bool {
        self.learnt().empty_config.contains(repository)
    }

    pub(super) fn learn_empty_config(&self, repository: &Repository) {
        self.learnt().empty_config.insert(repository.clone());
    }

    /// A registry that refuses a manifest may have cleaned up what it is made of.
    pub(super) fn forget_empty_config(&self, repository: &Repository) {
        self.learnt().empty_config.remove(repository);
    }

    /// Whether this client has written a tag, so that no earlier listing tells about it.
    pub(super) fn has_written(&self, repository: &Repository, tag: &Tag) -> bool {
        self.learnt().written.contains(&self.hasher.hash_one((repository, tag)))
    }

    pub(super) fn learn_written(&self, repository: &Repository, tag: &Tag) {
        self.learnt().written.insert(self.hasher.hash_one((repository, tag)));
    }

    /// Waits until nobody else in this process reads, extends and writes a tag. Who has the turn waits for no other.
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
    fn a_host_that_had_the_api_keeps_it() {
        let (memory, host) = (Memory::default(), repository("app").host);
        assert!(!memory.lacks_referrers(&host), "nothing is known");
        memory.learn_referrers(&host, false);
        assert!(memory.lacks_referrers(&host));
        memory.learn_referrers(&host, true);
        memory.learn_referrers(&host, false);
        assert!(!memory.lacks_referrers(&host));
    }

    #[test]
    fn a_tag_is_one_callers_at_a_time_and_others_are_free() {
        let (memory, tag) = (Memory::default(), "v1".parse().unwrap());
        let first = memory.turn(&repository("a"), &tag).now_or_never().unwrap();
        assert!(memory.turn(&repository("a"), &tag).now_or_never().is_none(), "taken");
        assert!(memory.turn(&repository("b"), &tag).now_or_never().is_some(), "another tag");
        drop(first);
        assert!(memory.turn(&repository("a"), &tag).now_or_never().is_some(), "given back");
    }

    #[test]
    fn turns_that_are_over_are_forgotten() {
        let (memory, tag) = (Memory::default(), "v1".parse().unwrap());
        let held = memory.turn(&repository("held"), &tag).now_or_never().unwrap();
        for number in 0..3 * TURNS {
            drop(memory.turn(&repository(&format!("r{number}")), &tag).now_or_never().unwrap());
        }
        assert!(memory.learnt().turns.len() <= TURNS);
        assert!(memory.turn(&repository("held"), &tag).now_or_never().is_none(), "one that is held is kept");
        drop(held);
    }
}
