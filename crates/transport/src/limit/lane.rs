//! One of a host's two budgets, reads or writes: a rate and a window that grow while answers are good.

use std::time::Duration;

use tokio::time::Instant;

use super::Observed;
use super::pace::Pace;

/// The rest after a first refusal for which the host names no time, in seconds; each further one in a row doubles it.
const FIRST_REST: f64 = 0.1;
/// As many requests as the host should have room for again when such a rest is over.
const RESTED: f64 = 2.0;
/// The longest such rest, in seconds.
const LONGEST_REST: f64 = 15.0;

/// While a limit is searched of which nothing is known, the rate doubles in so many round trips…
const ROUND_TRIPS_TO_DOUBLE: f64 = 100.0;
/// …but neither faster nor slower than this, in seconds.
const SHORTEST_DOUBLING: f64 = 0.02;
const LONGEST_DOUBLING: f64 = 2.0;
/// Where one was found before, more is tried with more care: the rate doubles in this time, in seconds, …
const CAREFUL_DOUBLING: f64 = 1.75;
/// …or in so many round trips, where these are longer.
const CAREFUL_ROUND_TRIPS_TO_DOUBLE: f64 = 15.0;

/// The part of what a host bears that a rate comes back to after it was halved…
const REGAINED: f64 = 0.97;
/// …in this time, in seconds.
const REGAIN: f64 = 0.3;
/// How long, in seconds, a rate stays about what the host bears before more is tried: at least this, …
const SHORTEST_PLATEAU: f64 = 5.0;
/// …for so many requests, so that the refusals that a trial costs are few among them, …
const PLATEAU_REQUESTS: f64 = 100.0;
/// …and for so many round trips, since what a trial costs grows with what is under way; …
const PLATEAU_ROUND_TRIPS: f64 = 150.0;
/// …but no longer than this.
const LONGEST_PLATEAU: f64 = 30.0;
/// The shortest time between two refusals, in seconds, over which counting what was served tells what a host bears.
const MEASURABLE: f64 = 0.3;

/// The part of the rate that was refused first of all that is thought to be borne.
const FIRST_GUESS: f64 = 0.9;
/// Of what was tried in vain beyond what is borne, the part that is thought to be borne too.
const CREDITED: f64 = 0.25;
/// How many times as much as before has to be tried to think that the host bears far more now.
const FAR_MORE: f64 = 2.0;

/// The lowest rate: a host that bears less than this is waited for, refusal by refusal.
const LEAST_RATE: f64 = 0.2;
/// The highest: what no timer could keep to is no limit.
const MOST_RATE: f64 = 100_000.0;

/// The bounds of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// The most requests under way at once.
    pub(super) window: usize,
    /// How many to begin with.
    pub(super) first_window: usize,
    /// The most requests a second.
    pub(super) rate: f64,
    /// How many to begin with.
    pub(super) first_rate: f64,
    /// How many may leave at once before the first rate holds.
    pub(super) start_burst: f64,
}

/// Whether a lane lets a request in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Passage {
    /// It may leave.
    Open,
    /// Not before this.
    Until(Instant),
    /// Not before another request ends or is answered.
    Full,
}

/// How far the search for what the host bears has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Search {
    /// Up to the next refusal.
    On,
    /// The rate stays near what was found, since then.
    Off { since: Instant },
}

/// What was served since the refusal before, which tells what a host bears: at both refusals nothing was left, so what was
/// served in between is what came in.
#[derive(Clone, Copy, Debug)]
struct Measure {
    since: Instant,
    served: f64,
    /// [`Pace::idle`] then: while nobody asks, nothing is learnt.
    idle: f64,
}

/// What is known of the time between two refusals.
#[derive(Clone, Copy, Debug)]
enum Measured {
    /// It was too short to tell.
    Nothing,
    /// Hardly anything was asked.
    Idle,
    /// Requests a second that were served while there were any.
    Rate(f64),
}

/// A rest after a refusal.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    /// When the one request left that finds out whether the rest is over.
    probed: Option<Instant>,
}

/// One budget of a host.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    bounds: Bounds,
    pace: Pace,
    window: f64,
    under_way: usize,
    search: Search,
    /// Requests a second that the host bears, as the last refusals have told.
    borne: Option<f64>,
    measure: Option<Measure>,
    rest: Option<Rest>,
    /// Refusals since something was served; those of one event count once.
    refusals: u32,
    /// When a refusal was last taken in.
    setback: Option<Instant>,
    /// When a loss was.
    loss: Option<Instant>,
    /// Whether the rate, or the window, has held a request back since it last grew.
    held_by_rate: bool,
    held_by_window: bool,
    grown: Instant,
    /// In seconds.
    round_trip: f64,
}

impl Lane {
    pub(super) fn new(bounds: Bounds, now: Instant) -> Self {
        let rate = bounds.first_rate.clamp(LEAST_RATE, MOST_RATE).min(bounds.rate);
        // A cap holds from the first second on.
        let credit = if bounds.rate.is_finite() { 1.0 } else { bounds.start_burst.max(1.0) };
        Self {
            bounds,
            pace: Pace::new(rate, credit, now),
            window: bounds.first_window.clamp(1, bounds.window) as f64,
            under_way: 0,
            search: Search::On,
            borne: None,
            measure: None,
            rest: None,
            refusals: 0,
            setback: None,
            loss: None,
            held_by_rate: false,
            held_by_window: false,
            grown: now,
            round_trip: 0.0,
        }
    }

    /// Whether a request may leave now. Nothing is counted yet.
    pub(super) fn passage(&mut self, now: Instant) -> Passage {
        if let Some(rest) = &self.rest {
            return match rest.probed {
                Some(_) => Passage::Full,
                None if now < rest.until => Passage::Until(rest.until),
                None => Passage::Open,
            };
        }
        if self.under_way >= self.room() {
            self.wants_room();
            return Passage::Full;
        }
        let next = self.pace.next(now);
        if next > now {
            self.held_by_rate = true;
            return Passage::Until(next);
        }
        Passage::Open
    }

    /// Takes note that a larger window would have let a request in.
    pub(super) fn wants_room(&mut self) {
        self.held_by_window = true;
    }

    /// How many requests may be under way.
    pub(super) fn room(&self) -> usize {
        (self.window as usize).clamp(1, self.bounds.window)
    }

    /// How many are.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Until when the host wants to be left alone, if it does.
    pub(super) fn resting_until(&self) -> Option<Instant> {
        self.rest.map(|rest| rest.until)
    }

    /// Counts a request that leaves.
    pub(super) fn enter(&mut self, now: Instant, bulk: bool) {
        self.under_way += 1;
        match &mut self.rest {
            // Its answer comes when all of it is sent: others would wait for that.
            Some(_) if bulk => {
                self.end_rest(now);
                self.pace.take();
            }
            Some(rest) => rest.probed = Some(now),
            None => self.pace.take(),
        }
    }

    /// Counts one that has ended, its body included, or that was given up without an answer.
    pub(super) fn leave(&mut self, admitted: Instant) {
        self.end_probe(admitted);
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Takes back one that was let in and never left.
    pub(super) fn withdraw(&mut self, admitted: Instant) {
        if self.rest.is_none_or(|rest| rest.probed != Some(admitted)) {
            self.pace.give_back();
        }
        self.leave(admitted);
    }

    /// Takes in what came of a request that left at `admitted`.
    pub(super) fn observe(&mut self, now: Instant, admitted: Instant, observed: Observed, bulk: bool) {
        match observed {
            Observed::Served => self.served(now, admitted, bulk),
            Observed::Refused(asked) | Observed::Unavailable(asked) => self.refused(now, admitted, asked),
            Observed::Lost => {
                self.end_probe(admitted);
                // Losses stand apart: refusals that come with one are news all the same.
                if self.loss.is_none_or(|loss| admitted >= loss) {
                    self.halve_window();
                    self.loss = Some(now);
                }
            }
        }
    }

    fn served(&mut self, now: Instant, admitted: Instant, bulk: bool) {
        if !bulk {
            let trip = now.saturating_duration_since(admitted).as_secs_f64();
            self.round_trip = if self.round_trip == 0.0 { trip } else { 0.9 * self.round_trip + 0.1 * trip };
        }
        if let Some(measure) = &mut self.measure {
            measure.served += 1.0;
        }
        match self.rest {
            // An answer to what left before the refusal says nothing about now.
            Some(rest) if rest.probed == Some(admitted) => {
                self.refusals = 0;
                self.end_rest(now);
            }
            Some(_) => {}
            None => {
                if self.is_news(admitted) {
                    self.refusals = 0;
                }
                self.grow(now);
            }
        }
    }

    /// Grows what has held requests back, and nothing else: what is not needed is not tried.
    fn grow(&mut self, now: Instant) {
        if std::mem::take(&mut self.held_by_window) {
            let step = if self.search == Search::On { 1.0 } else { 1.0 / self.window };
            self.window = (self.window + step).min(self.bounds.window as f64);
        }
        let passed = now.saturating_duration_since(self.grown).as_secs_f64().min(1.0);
        self.grown = now;
        let held = std::mem::take(&mut self.held_by_rate);
        let rate = self.pace.rate();
        match (self.search, self.borne) {
            // What is known to be borne comes back, asked for or not.
            (Search::Off { .. }, Some(borne)) if rate < REGAINED * borne => {
                self.set_rate(rate + borne * passed * (REGAINED - 0.5) / REGAIN, now);
            }
            _ if !held => {}
            (Search::Off { since }, Some(borne)) => {
                let plateau = self.plateau(borne);
                if now.saturating_duration_since(since).as_secs_f64() > plateau {
                    self.search = Search::On;
                }
                self.set_rate((rate + borne * passed * (1.0 - REGAINED) / plateau).min(borne.max(rate)), now);
            }
            (_, borne) => self.set_rate(rate * 2_f64.powf(passed / self.doubling(borne.is_some())), now),
        }
    }

    /// How long it takes a rate to double that is being searched, in seconds.
    fn doubling(&self, is_careful: bool) -> f64 {
        if is_careful {
            CAREFUL_DOUBLING.max(CAREFUL_ROUND_TRIPS_TO_DOUBLE * self.round_trip)
        } else {
            (ROUND_TRIPS_TO_DOUBLE * self.round_trip).clamp(SHORTEST_DOUBLING, LONGEST_DOUBLING)
        }
    }

    fn refused(&mut self, now: Instant, admitted: Instant, asked: Option<Duration>) {
        let is_probe = self.rest.is_some_and(|rest| rest.probed == Some(admitted));
        if !is_probe && !self.is_news(admitted) {
            // What left with the refused one is refused with it: the same event, unless it asks for a longer rest.
            if let (Some(rest), Some(asked)) = (&mut self.rest, asked) {
                rest.until = rest.until.max(now + asked);
            }
            return;
        }
        self.refusals += 1;
        if self.refusals == 1 {
            self.learn(now);
            self.halve_window();
        }
        self.setback = Some(now);
        let pause = asked.unwrap_or_else(|| self.rest_after(self.refusals));
        self.rest = Some(Rest { until: now + pause, probed: None });
    }

    fn end_rest(&mut self, now: Instant) {
        self.rest = None;
        self.pace.empty(now);
        self.grown = now;
    }

    /// How long to leave the host alone after so many refusals in a row, where it does not say.
    fn rest_after(&self, refusals: u32) -> Duration {
        let first = self.borne.map_or(FIRST_REST, |borne| FIRST_REST.max(RESTED / borne));
        Duration::from_secs_f64((first * 2_f64.powi(refusals.min(20) as i32 - 1)).min(LONGEST_REST))
    }

    /// Learns from a refusal what the host bears, and halves the rate.
    fn learn(&mut self, now: Instant) {
        let rate = self.pace.rate();
        let borne = match (self.search, self.borne, self.measured(now)) {
            (_, None, _) => FIRST_GUESS * rate,
            // So little was asked that it cannot have been too much: the refusal has another reason.
            (_, Some(before), Measured::Idle) => before,
            // Far more is borne than before: how much, the next refusal will tell.
            (Search::On, Some(before), _) if rate > FAR_MORE * before => rate,
            // What was borne for a whole plateau is borne, and perhaps more: part of the rest may have been saved up.
            (Search::On, Some(before), measured) => {
                let credited = before + CREDITED * (rate - before);
                if let Measured::Rate(measured) = measured { credited.max(measured) } else { credited }
            }
            (Search::Off { .. }, Some(_), Measured::Rate(measured)) => measured.min(rate),
            (Search::Off { .. }, Some(before), Measured::Nothing) => before.min(rate),
        };
        self.borne = Some(borne);
        self.search = Search::Off { since: now };
        self.set_rate(borne / 2.0, now);
        self.measure = Some(Measure { since: now, served: 0.0, idle: self.pace.idle() });
        self.pace.empty(now);
    }

    /// What was served since the last refusal.
    fn measured(&self, now: Instant) -> Measured {
        let Some(measure) = self.measure else { return Measured::Nothing };
        let passed = now.saturating_duration_since(measure.since).as_secs_f64();
        let idle = self.pace.idle() - measure.idle;
        match passed - idle {
            _ if idle > passed / 2.0 => Measured::Idle,
            seconds if seconds >= MEASURABLE && measure.served > 0.0 => {
                Measured::Rate(measure.served / seconds)
            }
            _ => Measured::Nothing,
        }
    }

    /// How long to stay at what the host bears, in seconds.
    fn plateau(&self, borne: f64) -> f64 {
        (PLATEAU_REQUESTS / borne)
            .max(PLATEAU_ROUND_TRIPS * self.round_trip)
            .clamp(SHORTEST_PLATEAU, LONGEST_PLATEAU)
    }

    fn halve_window(&mut self) {
        self.window = (self.window / 2.0).max(1.0);
    }

    /// Whether a request left after the last setback, so that what became of it is news.
    fn is_news(&self, admitted: Instant) -> bool {
        self.setback.is_none_or(|setback| admitted >= setback)
    }

    /// A probe that had no answer tells nothing; the next request is another.
    fn end_probe(&mut self, admitted: Instant) {
        if let Some(rest) = &mut self.rest
            && rest.probed == Some(admitted)
        {
            rest.probed = None;
        }
    }

    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.pace.set_rate(rate.clamp(LEAST_RATE, MOST_RATE).min(self.bounds.rate), now);
    }
}
