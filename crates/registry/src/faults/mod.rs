//! What happens to requests of a server: latency, a quota, faults. All of it can be changed while the server runs.

mod effect;
mod fault;
mod quota;
mod sequence;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use effect::{Before, Injection, refused};
pub use effect::{Canned, Effect};
use fault::Standing;
pub use fault::{Fault, Watch};
use quota::Buckets;
pub use quota::{Allowance, Quota, Window};
pub use sequence::Sequence;
pub(crate) use sequence::Ticket;
use tokio::time::Instant;

use crate::tally::Kind;

/// The latency, quota and faults of one server; clones share them. By default there are none.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    conditions: Arc<Mutex<Conditions>>,
}

#[derive(Debug, Default)]
struct Conditions {
    latency: Duration,
    buckets: Buckets,
    faults: Vec<Standing>,
    sequence: Option<Sequence>,
}

/// What one request meets.
#[derive(Debug)]
pub(crate) struct Encounter {
    /// What it waits before anything else happens.
    pub(crate) latency: Duration,
    /// What then becomes of it.
    pub(crate) outcome: Outcome,
    /// Its number, where requests are numbered.
    pub(crate) ticket: Option<Ticket>,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is served.
    Served,
    /// The quota is used up; when to come again, if that is told.
    Refused(Option<Duration>),
    /// A fault applies.
    Struck(Injection),
}

impl Faults {
    /// Makes every request wait this long before it is looked at.
    pub fn set_latency(&self, latency: Duration) {
        self.conditions().latency = latency;
    }

    /// Sets the quota from now on, with a full burst.
    pub fn set_quota(&self, quota: Quota) {
        self.conditions().buckets = Buckets::new(quota, Instant::now());
    }

    /// Adds a fault after those that are there. What is returned tells how often it has struck.
    pub fn add(&self, fault: Fault) -> Watch {
        let (standing, watch) = Standing::new(fault);
        self.conditions().faults.push(standing);
        watch
    }

    /// Numbers the requests from now on as the next ones of a sequence, which other servers may share.
    pub fn count_with(&self, sequence: &Sequence) {
        self.conditions().sequence = Some(sequence.clone());
    }

    /// Removes all faults; latency, quota and sequence stay.
    pub fn clear(&self) {
        self.conditions().faults.clear();
    }

    /// What a request meets that arrives now. What the sequence strikes meets nothing else; then the quota is asked, and
    /// what it refuses meets no fault. The first fault that strikes is the only one, and those after it do not see the
    /// request.
    pub(crate) fn encounter(&self, kind: Kind, path: &str) -> Encounter {
        let mut conditions = self.conditions();
        let latency = conditions.latency;
        let (ticket, effect) = conditions.sequence.as_ref().map(Sequence::next).unzip();
        let outcome = match effect.flatten() {
            Some(effect) => Outcome::Struck(effect.into()),
            None => conditions.outcome(kind, path),
        };
        Encounter { latency, outcome, ticket }
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conditions {
    fn outcome(&mut self, kind: Kind, path: &str) -> Outcome {
        if let Err(retry_after) = self.buckets.take(kind.is_write(), Instant::now()) {
            return Outcome::Refused(retry_after);
        }
        let struck = self.faults.iter_mut().find_map(|fault| fault.strike(kind, path));
        struck.map_or(Outcome::Served, |effect| Outcome::Struck(effect.into()))
    }
}
