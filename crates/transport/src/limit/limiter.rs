//! The limits of one host: a lane for reads, one for writes, what both may take together, and whether the host is there at all.

use tokio::time::Instant;

use super::lane::{Bounds, Lane, Passage};
use super::outage::Watch;
use super::pace::Pace;
use super::{Observed, Outage};
use crate::request::Class;
use crate::settings::HostSettings;

/// What one host bears, as far as it is known. It learns by [`Limiter::observe`].
#[derive(Clone, Debug)]
pub struct Limiter {
    reads: Lane,
    writes: Lane,
    /// What reads and writes may take together, where a cap is set.
    together: Option<Pace>,
    watch: Watch,
    /// Bulk requests under way, by lane.
    bulk: [usize; 2],
}

/// Whether a request may leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Admission {
    /// It may, now, and is counted until [`Limiter::leave`].
    Go(Pass),
    /// Not now. At the named time it is worth asking again; without one, when another request is answered or ends.
    Wait(Option<Instant>),
    /// The host is given up.
    Closed(Outage),
}

/// What a request was let in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    class: Class,
    admitted: Instant,
}

impl Limiter {
    /// The limits of a host of which nothing is known but its settings.
    pub fn new(settings: &HostSettings, now: Instant) -> Self {
        let lane = |rate: Option<f64>| {
            let bounds = Bounds {
                window: settings.concurrency.max(1),
                first_window: settings.start_concurrency.max(1),
                rate: rate.into_iter().chain(settings.requests_per_second).fold(f64::INFINITY, f64::min),
                first_rate: settings.start_requests_per_second,
                start_burst: settings.start_burst,
            };
            Lane::new(bounds, now)
        };
        Self {
            reads: lane(None),
            writes: lane(settings.writes_per_second),
            together: settings.requests_per_second.map(|rate| Pace::new(rate, 1.0, now)),
            watch: Watch::new(settings.patience),
            bulk: [0; 2],
        }
    }

    /// Asks to let a request leave now.
    pub fn admit(&mut self, now: Instant, class: Class) -> Admission {
        if let Some(outage) = self.watch.outage(now, self.resting_until()) {
            return Admission::Closed(outage);
        }
        let bulk = self.bulk[usize::from(class.is_write())];
        let lane = self.lane(class);
        if class.is_bulk() && bulk >= share_of_bulk(lane.room()) {
            lane.wants_room();
            return Admission::Wait(None);
        }
        match lane.passage(now) {
            Passage::Full => return Admission::Wait(None),
            Passage::Until(at) => return Admission::Wait(Some(at)),
            Passage::Open => {}
        }
        if let Some(pace) = &mut self.together {
            let at = pace.next(now);
            if at > now {
                return Admission::Wait(Some(at));
            }
            pace.take();
        }
        self.lane(class).enter(now, class.is_bulk());
        self.bulk[usize::from(class.is_write())] += usize::from(class.is_bulk());
        Admission::Go(Pass { class, admitted: now })
    }

    /// Takes in what came of a request.
    pub fn observe(&mut self, now: Instant, pass: Pass, observed: Observed) {
        match observed {
            Observed::Served => self.watch.served(now),
            Observed::Refused(_) => self.watch.failed(now, pass.admitted, |outage| outage.refused += 1),
            Observed::Unavailable(_) => {
                self.watch.failed(now, pass.admitted, |outage| outage.unavailable += 1);
            }
            Observed::Lost => self.watch.failed(now, pass.admitted, |outage| outage.lost += 1),
        }
        self.lane(pass.class).observe(now, pass.admitted, observed, pass.class.is_bulk());
    }

    /// Takes note that a request is over, its body included.
    pub fn leave(&mut self, pass: Pass) {
        self.bulk[usize::from(pass.class.is_write())] -= usize::from(pass.class.is_bulk());
        self.lane(pass.class).leave(pass.admitted);
    }

    /// Takes back a request that was let in and never sent.
    pub fn withdraw(&mut self, pass: Pass) {
        self.bulk[usize::from(pass.class.is_write())] -= usize::from(pass.class.is_bulk());
        self.lane(pass.class).withdraw(pass.admitted);
        if let Some(pace) = &mut self.together {
            pace.give_back();
        }
    }

    /// Until when the host wants to be left alone, if it does.
    pub fn resting_until(&self) -> Option<Instant> {
        self.reads.resting_until().max(self.writes.resting_until())
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.reads.under_way() + self.writes.under_way()
    }

    fn lane(&mut self, class: Class) -> &mut Lane {
        if class.is_write() { &mut self.writes } else { &mut self.reads }
    }
}

/// How much of a window bulk may fill: a part is always left to requests that are small and that others wait for.
fn share_of_bulk(window: usize) -> usize {
    (window - window / 4).max(1)
}
