//! One budget of a host, for reads, writes or tokens: a rate and a window, which grow while requests succeed.

use std::time::Duration;

use tokio::time::Instant;

use super::Observed;
use super::bounds::Bounds;
use super::faults::Faults;
use super::search::Search;

/// The rest after a first refusal or overload, in seconds. Each further one in a row doubles it.
const FIRST_REST: f64 = 0.1;
/// How many requests the quota of the host should have regained at the end of the rest after a refusal.
const RESTED: f64 = 2.0;
/// The maximum rest after a first refusal, in seconds. If few requests are sent, the sustained rate is known only roughly.
const LONGEST_FIRST_REST: f64 = 1.0;
/// The maximum rest after a refusal, in seconds, unless the host asks for more.
const LONGEST_REST: f64 = 15.0;
/// The maximum rest after an overload, in seconds. It is short, so that the end of an outage is noticed soon.
const LONGEST_OVERLOAD_REST: f64 = 2.0;

/// How much a window grows in a round trip after an overload. It grows slowly, to detect the next overload in time.
const CAREFUL_STEP: f64 = 0.25;

/// Whether a lane permits a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Readiness {
    /// The request may be sent.
    Ready,
    /// The request must not be sent before this time.
    At(Instant),
    /// The request must wait until another request ends or is answered.
    AfterAnother,
}

/// Why a lane rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Refusal,
    Overload,
    /// The host has announced when its quota is renewed.
    Quota,
}

/// A time in which no request is sent. After it a single request, the probe, determines whether the host is ready again.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    cause: Cause,
    /// When the probe was sent.
    probed: Option<Instant>,
}

/// One budget of a host.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    most: usize,
    window: f64,
    under_way: usize,
    search: Search,
    faults: Faults,
    rest: Option<Rest>,
    /// Refusals since a request was last served. Refusals within one round trip count once.
    refusals: u32,
    /// When the last refusal was recorded.
    refused: Option<Instant>,
    /// Overloads in a row. Failures within one round trip count once.
    overloads: u32,
    /// When the last overload was detected.
    overloaded: Option<Instant>,
    /// Whether the host was ever overloaded by as many requests as the window permitted.
    has_overloaded: bool,
    /// Whether the window has delayed a request since it last grew.
    is_limiting: bool,
}

impl Lane {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        Self {
            most: bounds.window,
            window: bounds.first_window.clamp(1, bounds.window) as f64,
            under_way: 0,
            search: Search::new(bounds, now),
            faults: Faults::default(),
            rest: None,
            refusals: 0,
            refused: None,
            overloads: 0,
            overloaded: None,
            has_overloaded: false,
            is_limiting: false,
        }
    }

    /// Determines whether a request may be sent now. This does not count the request.
    pub(super) fn readiness(&mut self, now: Instant) -> Readiness {
        if let Some(rest) = &self.rest {
            return match rest.probed {
                Some(_) => Readiness::AfterAnother,
                None if now < rest.until => Readiness::At(rest.until),
                None => Readiness::Ready,
            };
        }
        if self.under_way >= self.window() {
            self.wants_window();
            return Readiness::AfterAnother;
        }
        if self.search.flight().is_some_and(|flight| self.under_way >= (flight as usize).max(1)) {
            self.search.wants_flight();
            return Readiness::AfterAnother;
        }
        let next = self.search.next(now);
        if next > now { Readiness::At(next) } else { Readiness::Ready }
    }

    /// Records that a larger window would have permitted a request.
    pub(super) fn wants_window(&mut self) {
        self.is_limiting = true;
    }

    /// Returns how many requests may be in progress.
    pub(super) fn window(&self) -> usize {
        (self.window as usize).clamp(1, self.most)
    }

    /// Returns how many requests are in progress.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Returns the end of the rest, if the lane rests.
    pub(super) fn resting_until(&self) -> Option<Instant> {
        self.rest.map(|rest| rest.until)
    }

    /// Rests until the end of a quota that the host has announced.
    pub(super) fn wait_for_quota(&mut self, end: Instant) {
        let until = self.rest.map_or(end, |rest| rest.until.max(end));
        self.begin_rest(until, Cause::Quota, until);
    }

    /// Returns `true` if the lane rests until the end of a quota that the host has announced.
    pub(super) fn waits_for_quota(&self) -> bool {
        self.rest.is_some_and(|rest| rest.cause == Cause::Quota)
    }

    /// Returns `true` if a request that was sent at `admitted` followed a rest after refusals or an overload, and no request was
    /// served since. If such a request fails too, the rest has not helped.
    pub(super) fn has_rested(&self, admitted: Instant) -> bool {
        let rested =
            |count: u32, last: Option<Instant>| count > 0 && last.is_some_and(|last| admitted >= last);
        rested(self.refusals, self.refused) || self.is_overload_probe(admitted)
    }

    /// Counts a request that is sent.
    pub(super) fn enter(&mut self, now: Instant, is_bulk: bool) {
        self.under_way += 1;
        match &mut self.rest {
            // A bulk request is answered only after all of it is sent, so it does not probe: the others would wait for it.
            Some(_) if is_bulk => {
                self.end_rest(now);
                self.search.take();
            }
            Some(rest) => rest.probed = Some(now),
            None => self.search.take(),
        }
    }

    /// Counts a request of another lane: all lanes share the burst that a host permits.
    pub(super) fn spend_burst(&mut self) {
        self.search.spend_burst();
    }

    /// Counts a request that has ended, including its body, or that was abandoned without an answer.
    pub(super) fn leave(&mut self, admitted: Instant) {
        self.end_probe(admitted);
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Undoes the admission of a request that was never sent.
    pub(super) fn withdraw(&mut self, admitted: Instant) {
        if self.rest.is_none_or(|rest| rest.probed != Some(admitted)) {
            self.search.give_back();
        }
        self.leave(admitted);
    }

    /// Records the outcome of a request that was sent at `admitted`. A rest ends at `limit` at the latest.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        admitted: Instant,
        observed: Observed,
        is_bulk: bool,
        limit: Instant,
    ) {
        match observed {
            Observed::Served | Observed::UsedUp(_) => self.served(now, admitted, is_bulk),
            Observed::Refused(asked) => self.refused(now, admitted, asked, limit),
            Observed::Failed => self.failed(now, admitted, limit),
        }
    }

    fn served(&mut self, now: Instant, admitted: Instant, is_bulk: bool) {
        if !is_bulk {
            self.search.timed(now.saturating_duration_since(admitted).as_secs_f64());
        }
        self.search.answered();
        if is_news(admitted, self.overloaded) {
            self.faults.record(false);
            if self.faults.has_recovered() {
                self.overloads = 0;
            }
        }
        match self.rest {
            Some(rest) if rest.probed == Some(admitted) => {
                self.refusals = 0;
                self.end_rest(now);
            }
            // The request was sent before the refusal, so its answer is out of date.
            Some(_) => {}
            None => {
                if is_news(admitted, self.refused) {
                    self.refusals = 0;
                }
                self.grow(now);
            }
        }
    }

    /// Increases only the limit that delays requests: capacity that is not needed is not probed.
    fn grow(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_limiting) {
            let step = match self.has_overloaded {
                // A window that was too large once grows carefully.
                true => CAREFUL_STEP / self.window,
                false if self.search.is_growing() => 1.0,
                false => 1.0 / self.window,
            };
            self.window = (self.window + step).min(self.most as f64);
        }
        self.search.grow(now);
    }

    fn refused(&mut self, now: Instant, admitted: Instant, asked: Option<Duration>, limit: Instant) {
        if !is_news(admitted, self.refused) {
            // Requests that were sent with the refused one are refused with it. They are the same event, unless they ask for a
            // longer rest.
            if let (Some(rest), Some(asked)) = (&mut self.rest, asked) {
                rest.until = rest.until.max((now + asked).min(limit));
            }
            return;
        }
        self.refusals += 1;
        if self.refusals == 1 {
            self.search.refused(now);
            self.halve_window();
        }
        self.refused = Some(now);
        let first = self
            .search
            .sustained()
            .map_or(FIRST_REST, |rate| (RESTED / rate).clamp(FIRST_REST, LONGEST_FIRST_REST));
        let own = backoff(first, self.refusals, LONGEST_REST);
        self.begin_rest(now + own.max(asked.unwrap_or_default()), Cause::Refusal, limit);
    }

    fn failed(&mut self, now: Instant, admitted: Instant, limit: Instant) {
        self.search.answered();
        let has_not_recovered = self.is_overload_probe(admitted);
        self.end_probe(admitted);
        if !has_not_recovered {
            if !is_news(admitted, self.overloaded) {
                return;
            }
            self.faults.record(true);
            if !self.faults.is_overload() {
                return;
            }
            // A host that has served nothing yet may not exist, so its failures say nothing about the window.
            if self.faults.has_served() {
                self.halve_window();
                self.has_overloaded = true;
            }
        }
        self.faults.clear();
        self.overloads += 1;
        self.overloaded = Some(now);
        let pause = backoff(FIRST_REST, self.overloads, LONGEST_OVERLOAD_REST);
        // A longer rest that the host has asked for continues.
        if self.rest.is_none_or(|rest| rest.until < now + pause) {
            self.begin_rest(now + pause, Cause::Overload, limit);
        }
    }

    fn begin_rest(&mut self, until: Instant, cause: Cause, limit: Instant) {
        self.rest = Some(Rest { until: until.min(limit), cause, probed: None });
    }

    fn end_rest(&mut self, now: Instant) {
        match self.rest.take() {
            Some(Rest { cause: Cause::Overload, .. }) => self.search.resume_unmeasured(now),
            _ => self.search.resume(now),
        }
    }

    fn halve_window(&mut self) {
        self.window = (self.window / 2.0).max(1.0);
    }

    fn is_overload_probe(&self, admitted: Instant) -> bool {
        self.rest.is_some_and(|rest| rest.probed == Some(admitted) && rest.cause == Cause::Overload)
    }

    /// Ends a probe without a result. The next request is the probe.
    fn end_probe(&mut self, admitted: Instant) {
        if let Some(rest) = &mut self.rest
            && rest.probed == Some(admitted)
        {
            rest.probed = None;
        }
    }
}

/// Returns `true` if a request was sent after the last event of a kind, so that its outcome is new information.
fn is_news(admitted: Instant, last: Option<Instant>) -> bool {
    last.is_none_or(|last| admitted >= last)
}

/// Returns the rest after the `number`th event in a row.
fn backoff(first: f64, number: u32, longest: f64) -> Duration {
    let doublings = number.saturating_sub(1).min(20);
    Duration::from_secs_f64((first * f64::from(doublings).exp2()).min(longest))
}
