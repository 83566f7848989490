//! One of a host's budgets, for reads, writes or tokens: a rate and a window that grow while answers are good.

use std::time::Duration;

use tokio::time::Instant;

use super::Observed;
use super::bounds::Bounds;
use super::faults::Faults;
use super::search::Search;

/// The rest after a first refusal, or a first overload, in seconds; each further one in a row doubles it.
const FIRST_REST: f64 = 0.1;
/// As many requests as the host should have gained again when the rest after a refusal is over.
const RESTED: f64 = 2.0;
/// The longest rest after a first refusal, in seconds: where few requests are sent, the sustained rate is hardly known.
const LONGEST_FIRST_REST: f64 = 1.0;
/// The longest rest after a refusal, in seconds, unless the host asks for more.
const LONGEST_REST: f64 = 15.0;
/// The longest rest after an overload, in seconds: short, so that the end of an outage is soon noticed.
const LONGEST_OVERLOAD_REST: f64 = 2.0;

/// By how much a window grows in a round trip after an overload: slowly enough to see the next one come.
const CAREFUL_STEP: f64 = 0.25;

/// Whether a lane lets a request leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Readiness {
    /// It may leave.
    Ready,
    /// Not before this.
    At(Instant),
    /// Not before another request ends or is answered.
    AfterAnother,
}

/// Why a lane rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Refusal,
    Overload,
}

/// A time in which nothing is sent; then a single request, the probe, finds out whether the host is ready again.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    cause: Cause,
    /// When the probe left.
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
    /// Refusals since a request was served; those of one round trip count once.
    refusals: u32,
    /// When the last refusal was taken in.
    refused: Option<Instant>,
    /// Overloads in a row; failures of one round trip count once.
    overloads: u32,
    /// When the last overload was found.
    overloaded: Option<Instant>,
    /// Whether the host was ever overloaded by as much as the window allowed.
    has_overloaded: bool,
    /// Whether the window has made a request wait since it last grew.
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

    /// Whether a request may leave now. Nothing is counted yet.
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

    /// Notes that a larger window would have let a request leave.
    pub(super) fn wants_window(&mut self) {
        self.is_limiting = true;
    }

    /// How many requests may be under way.
    pub(super) fn window(&self) -> usize {
        (self.window as usize).clamp(1, self.most)
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Until when the lane rests, if it does.
    pub(super) fn resting_until(&self) -> Option<Instant> {
        self.rest.map(|rest| rest.until)
    }

    /// Whether a request that left at `admitted` did so after a rest that followed refusals, with nothing served since: that
    /// it failed too says that the rest has not helped.
    pub(super) fn has_rested(&self, admitted: Instant) -> bool {
        let rested =
            |count: u32, last: Option<Instant>| count > 0 && last.is_some_and(|last| admitted >= last);
        rested(self.refusals, self.refused) || self.is_overload_probe(admitted)
    }

    /// Counts a request that leaves.
    pub(super) fn enter(&mut self, now: Instant, is_bulk: bool) {
        self.under_way += 1;
        match &mut self.rest {
            // Its answer comes when all of it is sent: others would wait for that.
            Some(_) if is_bulk => {
                self.end_rest(now);
                self.search.take();
            }
            Some(rest) => rest.probed = Some(now),
            None => self.search.take(),
        }
    }

    /// Counts a request of another lane: what a host saves up for bursts, it saves up for all lanes together.
    pub(super) fn spend_burst(&mut self) {
        self.search.spend_burst();
    }

    /// Counts a request that has ended, its body included, or that was given up without an answer.
    pub(super) fn leave(&mut self, admitted: Instant) {
        self.end_probe(admitted);
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Takes back a request that was admitted and never sent.
    pub(super) fn withdraw(&mut self, admitted: Instant) {
        if self.rest.is_none_or(|rest| rest.probed != Some(admitted)) {
            self.search.give_back();
        }
        self.leave(admitted);
    }

    /// Takes in what became of a request that left at `admitted`. No rest goes on beyond `limit`.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        admitted: Instant,
        observed: Observed,
        is_bulk: bool,
        limit: Instant,
    ) {
        match observed {
            Observed::Served => self.served(now, admitted, is_bulk),
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
            if self.faults.is_sound() {
                self.overloads = 0;
            }
        }
        match self.rest {
            Some(rest) if rest.probed == Some(admitted) => {
                self.refusals = 0;
                self.end_rest(now);
            }
            // The request left before the refusal: its answer says nothing about now.
            Some(_) => {}
            None => {
                if is_news(admitted, self.refused) {
                    self.refusals = 0;
                }
                self.grow(now);
            }
        }
    }

    /// Grows what makes requests wait, and nothing else: what is not needed is not tried.
    fn grow(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_limiting) {
            let step = match self.has_overloaded {
                // A window that was too large once is enlarged with care.
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
            // What left with the refused request is refused with it: the same event, unless it asks for a longer rest.
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
            // A host that has served nothing yet is not there; that says nothing about the window.
            if self.faults.has_served() {
                self.halve_window();
                self.has_overloaded = true;
            }
        }
        self.faults.clear();
        self.overloads += 1;
        self.overloaded = Some(now);
        let pause = backoff(FIRST_REST, self.overloads, LONGEST_OVERLOAD_REST);
        // A rest that the host has asked for goes on.
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

    /// A probe without an answer tells nothing; the next request is another.
    fn end_probe(&mut self, admitted: Instant) {
        if let Some(rest) = &mut self.rest
            && rest.probed == Some(admitted)
        {
            rest.probed = None;
        }
    }
}

/// Whether a request left after the last event of a kind, so that what became of it is news.
fn is_news(admitted: Instant, last: Option<Instant>) -> bool {
    last.is_none_or(|last| admitted >= last)
}

/// How long to rest after the `number`th event in a row.
fn backoff(first: f64, number: u32, longest: f64) -> Duration {
    let doublings = number.saturating_sub(1).min(20);
    Duration::from_secs_f64((first * f64::from(doublings).exp2()).min(longest))
}
