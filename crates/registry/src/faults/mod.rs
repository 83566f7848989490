//! Latency, a quota and faults for the requests to a server. All of them can be changed while the server runs.

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

/// The latency, quota and faults of one server. Clones share them. By default there are none.
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

/// What applies to one request.
#[derive(Debug)]
pub(crate) struct Encounter {
    /// How long the request waits before anything else happens.
    pub(crate) latency: Duration,
    /// What happens to it then.
    pub(crate) outcome: Outcome,
    /// The number of the request, if requests are numbered.
    pub(crate) ticket: Option<Ticket>,
}

/// What happens to a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The request is served.
    Served,
    /// The quota is exhausted. The value is the time for `Retry-After`, if the header is sent.
    Refused(Option<Duration>),
    /// A fault applies.
    Struck(Injection),
}

impl Faults {
    /// Delays the processing of every request by this time.
    pub fn set_latency(&self, latency: Duration) {
        self.conditions().latency = latency;
    }

    /// Sets the quota from now on, with the full burst available.
    pub fn set_quota(&self, quota: Quota) {
        self.conditions().buckets = Buckets::new(quota, Instant::now());
    }

    /// Adds a fault after the existing ones. The returned [`Watch`] reports how often it has struck.
    pub fn add(&self, fault: Fault) -> Watch {
        let (standing, watch) = Standing::new(fault);
        self.conditions().faults.push(standing);
        watch
    }

    /// Numbers the requests from now on with a sequence, which other servers may share.
    pub fn count_with(&self, sequence: &Sequence) {
        self.conditions().sequence = Some(sequence.clone());
    }

    /// Removes all faults. Latency, quota and sequence remain.
    pub fn clear(&self) {
        self.conditions().faults.clear();
    }

    /// Determines what applies to a request that arrives now. If the sequence strikes it, the quota and the faults do not apply
    /// to it. If the quota refuses it, the faults do not apply to it. Only the first fault that strikes applies, and the faults
    /// after it do not count the request.
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
