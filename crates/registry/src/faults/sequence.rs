//! One order for the requests of one or several servers, so that a test can act at the k-th request of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Effect;

/// Numbers requests from 1 in the order of their arrival. Servers with the same sequence ([`super::Faults::count_with`])
/// share the numbers. Clones are the same sequence.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    progress: watch::Sender<Progress>,
    effects: Mutex<BTreeMap<u64, Effect>>,
}

#[derive(Debug, Default)]
struct Progress {
    arrived: u64,
    served: BTreeSet<u64>,
}

impl Sequence {
    /// Returns how many requests have arrived so far.
    pub fn count(&self) -> u64 {
        self.shared.progress.borrow().arrived
    }

    /// Applies an effect to exactly the k-th request. The quota and the faults do not apply to that request.
    ///
    /// [`Effect::Hang`] pauses a run before the request is served, [`Effect::HangAnswer`] after it.
    pub fn strike(&self, k: u64, effect: Effect) {
        self.shared.effects.lock().unwrap_or_else(PoisonError::into_inner).insert(k, effect);
    }

    /// Waits until the k-th request has arrived. It is not served yet.
    pub async fn arrived(&self, k: u64) {
        self.wait(|progress| progress.arrived >= k).await;
    }

    /// Waits until the k-th request has been processed or refused. Its response may not have been sent yet.
    pub async fn served(&self, k: u64) {
        self.wait(|progress| progress.served.contains(&k)).await;
    }

    async fn wait(&self, until: impl FnMut(&Progress) -> bool) {
        // `self` keeps the sender alive, so the wait ends only when the condition holds.
        let _ = self.shared.progress.subscribe().wait_for(until).await;
    }

    /// Counts a request that arrives now, and returns its ticket with the effect that strikes it.
    pub(super) fn next(&self) -> (Ticket, Option<Effect>) {
        let mut number = 0;
        self.shared.progress.send_modify(|progress| {
            progress.arrived += 1;
            number = progress.arrived;
        });
        let effect = self.shared.effects.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        (Ticket { sequence: self.clone(), number }, effect)
    }
}

/// The number of one request.
#[derive(Debug)]
pub(crate) struct Ticket {
    sequence: Sequence,
    number: u64,
}

impl Ticket {
    /// Records that the request has been processed or refused.
    pub(crate) fn serve(&self) {
        self.sequence.shared.progress.send_modify(|progress| {
            progress.served.insert(self.number);
        });
    }
}
