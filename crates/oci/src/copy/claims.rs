//! Who moves a blob to a host: one leader, while all others wait for it and then mount.
//!
//! A leader waits for nobody, so leaders and followers cannot wait for each other in a circle. A leader that fails, or is
//! dropped, makes room for the next one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::digest::Digest;
use crate::name::{Host, Repository, RepositoryPath};

/// Which host has which blob, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    table: Arc<Mutex<Table>>,
}

/// The hosts that have a blob or are getting it.
type Table = HashMap<Digest, Vec<(Host, Slot)>>;

#[derive(Debug)]
enum Slot {
    /// A repository of the host has the blob.
    Held(RepositoryPath),
    /// Somebody is moving it there; the channel closes when that is over.
    Moving(watch::Receiver<()>),
}

/// What to do about a blob for a repository.
pub(super) enum Claim {
    /// Mount it from this repository of the host.
    Mount(RepositoryPath),
    /// Wait until this closes, and claim again.
    Wait(watch::Receiver<()>),
    /// Move it.
    Lead(Lead),
}

/// The duty to move a blob to a host. Dropped without success, it passes to whoever claims next.
#[derive(Debug)]
pub(super) struct Lead {
    claims: Claims,
    digest: Digest,
    host: Host,
    /// Wakes the followers by being dropped.
    _over: watch::Sender<()>,
}

impl Claims {
    pub(super) fn claim(&self, repository: &Repository, digest: Digest) -> Claim {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = table.entry(digest).or_default();
        match slots.iter().find(|(host, _)| *host == repository.host) {
            Some((_, Slot::Held(path))) => Claim::Mount(path.clone()),
            Some((_, Slot::Moving(over))) => Claim::Wait(over.clone()),
            None => {
                let (over, waiting) = watch::channel(());
                slots.push((repository.host.clone(), Slot::Moving(waiting)));
                let host = repository.host.clone();
                Claim::Lead(Lead { claims: self.clone(), digest, host, _over: over })
            }
        }
    }

    fn set(&self, host: &Host, digest: Digest, slot: Option<Slot>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = table.entry(digest).or_default();
        slots.retain(|(known, _)| known != host);
        slots.extend(slot.map(|slot| (host.clone(), slot)));
        if slots.is_empty() {
            table.remove(&digest);
        }
    }

    fn is_moving(&self, host: &Host, digest: Digest) -> bool {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = table.get(&digest).into_iter().flatten();
        slots.into_iter().any(|(known, slot)| known == host && matches!(slot, Slot::Moving(_)))
    }
}

impl Lead {
    /// The blob is in this repository now.
    pub(super) fn succeeded(self, repository: &Repository) {
        self.claims.set(&self.host, self.digest, Some(Slot::Held(repository.path.clone())));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.claims.is_moving(&self.host, self.digest) {
            self.claims.set(&self.host, self.digest, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> Repository {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn followers_mount_what_the_leader_moved() {
        let claims = Claims::default();
        let blob = Digest::of(b"blob");
        let Claim::Lead(lead) = claims.claim(&repository("a.io/one"), blob) else {
            panic!("the first leads")
        };
        let Claim::Wait(mut over) = claims.claim(&repository("a.io/two"), blob) else {
            panic!("the second waits")
        };
        assert!(
            matches!(claims.claim(&repository("b.io/one"), blob), Claim::Lead(_)),
            "another host is its own matter"
        );
        lead.succeeded(&repository("a.io/one"));
        assert!(over.changed().await.is_err(), "the wait is over");
        let Claim::Mount(from) = claims.claim(&repository("a.io/two"), blob) else { panic!("mounts") };
        assert_eq!(from.as_str(), "one");
    }

    #[tokio::test]
    async fn a_leader_that_fails_makes_room() {
        let claims = Claims::default();
        let blob = Digest::of(b"blob");
        let Claim::Lead(lead) = claims.claim(&repository("a.io/one"), blob) else {
            panic!("the first leads")
        };
        let Claim::Wait(mut over) = claims.claim(&repository("a.io/two"), blob) else {
            panic!("the second waits")
        };
        drop(lead);
        assert!(over.changed().await.is_err(), "the wait is over");
        assert!(
            matches!(claims.claim(&repository("a.io/two"), blob), Claim::Lead(_)),
            "the second leads now"
        );
    }
}
