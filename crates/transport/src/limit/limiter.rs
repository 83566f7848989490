//! The limits of one host: lanes for reads, writes and tokens, their common rate, and the detection of outages.

use std::time::Duration;

use tokio::time::Instant;

use super::bounds::Bounds;
use super::lane::{Lane, Readiness};
use super::outage::{Failure, Watch};
use super::pace::Pace;
use super::{Observed, Outage};
use crate::class::Class;
use crate::settings::HostSettings;

/// The number of lanes of a host.
pub(super) const LANES: usize = 3;

/// Returns the lane of a class. Tokens have the first lane, since other requests wait for them.
pub(super) fn lane_of(class: Class) -> usize {
    match class {
        Class::Token => 0,
        _ if class.is_write() => 2,
        _ => 1,
    }
}

/// The limits of one host, as far as they are known. The limiter learns from [`Limiter::observe`].
#[derive(Clone, Debug)]
pub struct Limiter {
    /// Indexed by [`lane_of`]. Tokens have permits of their own, so a token request never waits for a request that needs the
    /// token.
    lanes: [Lane; LANES],
    /// The common rate of all lanes, if a cap is set.
    common_pace: Option<Pace>,
    watch: Watch,
    /// Bulk requests in progress, by lane.
    bulk: [usize; LANES],
    /// The latest announced end of a quota for which requests wait.
    quota_deadline: Option<Instant>,
    /// The end of a quota that is used up beyond that deadline.
    used_up: Option<Instant>,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Admission {
    /// The request may be sent now. It is counted until [`Limiter::leave`].
    Go(Pass),
    /// The request has to wait. The caller should ask again at the given time; without one, after another request is answered or
    /// ends.
    Wait(Option<Instant>),
    /// The host is given up.
    Closed(Outage),
    /// The quota of the host is used up for this time, and the request must not wait that long.
    UsedUp(Duration),
}

/// Identifies an admitted request for the limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    class: Class,
    admitted: Instant,
}

impl Limiter {
    /// Constructs the limits of a host from its settings alone.
    pub fn new(settings: &HostSettings, now: Instant) -> Self {
        let lane = |rate: Option<f64>| {
            let bounds = Bounds {
                window: settings.concurrency.max(1),
                first_window: settings.start_concurrency.max(1),
                rate: rate.into_iter().chain(settings.requests_per_second).fold(f64::INFINITY, f64::min),
                first_rate: settings.start_requests_per_second,
                start_burst: settings.start_burst,
            };
            Lane::new(&bounds, now)
        };
        Self {
            lanes: [lane(None), lane(None), lane(settings.writes_per_second)],
            common_pace: settings.requests_per_second.map(|rate| Pace::new(rate, 1.0, now)),
            watch: Watch::new(settings.patience),
            bulk: [0; LANES],
            quota_deadline: settings.quota_deadline,
            used_up: None,
        }
    }

    /// Asks for the admission of a request.
    pub fn admit(&mut self, now: Instant, class: Class) -> Admission {
        if let Some(outage) = self.watch.outage(now, self.resting_until()) {
            return Admission::Closed(outage);
        }
        if let Some(end) = self.used_up.filter(|end| now < *end) {
            return Admission::UsedUp(end - now);
        }
        let bulk = self.bulk[lane_of(class)];
        let lane = self.lane(class);
        if class.is_bulk() && bulk >= share_of_bulk(lane.window()) {
            lane.wants_window();
            return Admission::Wait(None);
        }
        match lane.readiness(now) {
            Readiness::AfterAnother => return Admission::Wait(None),
            Readiness::At(at) => return Admission::Wait(Some(at)),
            Readiness::Ready => {}
        }
        if let Some(pace) = &mut self.common_pace {
            let at = pace.next(now);
            if at > now {
                return Admission::Wait(Some(at));
            }
            pace.take();
        }
        self.lane(class).enter(now, class.is_bulk());
        let others = self.lanes.iter_mut().enumerate().filter(|(lane, _)| *lane != lane_of(class));
        others.for_each(|(_, lane)| lane.spend_burst());
        self.bulk[lane_of(class)] += usize::from(class.is_bulk());
        Admission::Go(Pass { class, admitted: now })
    }

    /// Records the outcome of a request.
    pub fn observe(&mut self, now: Instant, pass: Pass, observed: Observed) {
        let Pass { class, admitted } = pass;
        match observed {
            Observed::Served | Observed::UsedUp(_) => self.watch.served(now),
            Observed::Refused(_) | Observed::Failed => {
                let refused = observed != Observed::Failed;
                let rested = self.lane(class).has_rested(admitted);
                self.watch.failed(now, Failure { admitted, refused, rested });
            }
        }
        let quota_end = self
            .quota_end(now, observed)
            .filter(|end| matches!(observed, Observed::UsedUp(_)) || self.watch.announced(*end));
        let limit = self.watch.rest_limit(now);
        self.lane(class).observe(now, admitted, observed, class.is_bulk(), limit);
        if let Some(end) = quota_end {
            self.lane(class).wait_for_quota(end);
        }
    }

    /// Returns the end of a quota that an answer announces, if requests wait for it.
    fn quota_end(&mut self, now: Instant, observed: Observed) -> Option<Instant> {
        let (Observed::Refused(Some(time)) | Observed::UsedUp(time)) = observed else { return None };
        let (deadline, end) = (self.quota_deadline?, now + time);
        if end > deadline {
            self.used_up = Some(end);
            return None;
        }
        (end > now).then_some(end)
    }

    /// Records that a request has ended, including its body.
    pub fn leave(&mut self, pass: Pass) {
        self.bulk[lane_of(pass.class)] -= usize::from(pass.class.is_bulk());
        self.lane(pass.class).leave(pass.admitted);
    }

    /// Undoes the admission of a request that was never sent.
    pub fn withdraw(&mut self, pass: Pass) {
        self.bulk[lane_of(pass.class)] -= usize::from(pass.class.is_bulk());
        self.lane(pass.class).withdraw(pass.admitted);
        if let Some(pace) = &mut self.common_pace {
            pace.give_back();
        }
    }

    /// Returns the end of the rest, if the host rests.
    pub fn resting_until(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(Lane::resting_until).max()
    }

    /// Returns `true` if the host rests until the end of a quota that it has announced.
    pub(super) fn waits_for_quota(&self) -> bool {
        self.lanes.iter().any(Lane::waits_for_quota)
    }

    /// Returns the number of requests in progress.
    pub fn under_way(&self) -> usize {
        self.lanes.iter().map(Lane::under_way).sum()
    }

    /// Returns the number of requests in progress in one lane.
    pub(super) fn under_way_in(&self, lane: usize) -> usize {
        self.lanes[lane].under_way()
    }

    /// Counts bulk requests that do not exist, so that other requests wait for them.
    #[cfg(test)]
    pub(super) fn miscount_bulk(&mut self, class: Class) {
        self.bulk[lane_of(class)] = usize::MAX;
    }

    fn lane(&mut self, class: Class) -> &mut Lane {
        &mut self.lanes[lane_of(class)]
    }
}

/// Returns how much of a window bulk requests may fill. The rest is reserved for small requests, which others wait for.
fn share_of_bulk(window: usize) -> usize {
    (window - window / 4).max(1)
}
