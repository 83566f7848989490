//! The search for the rate that a host sustains.

use tokio::time::Instant;

use super::bounds::Bounds;
use super::pace::Pace;

/// A host with a shorter round trip than this, in seconds, is near: a whole job there takes fractions of a second.
const NEAR: f64 = 0.005;
/// The fast search begins with this many requests in flight, times the round trip in seconds: 22 on a host that is near, and less
/// the farther it is, since a job takes seconds there anyway: five at 10 ms. As many are refused, once, when a quota is met.
const FAST_FLIGHT_SECONDS: f64 = 0.11;
/// The most requests in flight that the fast search begins with.
const MOST_FAST_FLIGHT: f64 = 24.0;
/// The rate of the fast search doubles in so many round trips of a near host, and in more of them the farther it is.
const FAST_ROUND_TRIPS_TO_DOUBLE: f64 = 12.0;
/// The most requests in flight during the fast search, by those that its rate puts there when the host answers as fast as it
/// can: where answers are late since host, line or this machine are busy, more would pile up, to be refused at once.
const FAST_FLIGHT_SLACK: f64 = 1.25;
/// The shortest round trip that is reckoned with, in seconds.
const SHORTEST_ROUND_TRIP: f64 = 1e-4;

/// After the first refusal the rate doubles in so many round trips…
const ROUND_TRIPS_TO_DOUBLE: f64 = 100.0;
/// …but neither faster nor slower than this, in seconds.
const SHORTEST_DOUBLING: f64 = 0.02;
const LONGEST_DOUBLING: f64 = 2.0;
/// Once a sustained rate is known, more is tried with care: the rate doubles in this time, in seconds, …
const CAREFUL_DOUBLING: f64 = 1.75;
/// …or in so many round trips, where these are longer.
const CAREFUL_ROUND_TRIPS_TO_DOUBLE: f64 = 15.0;

/// The part of the sustained rate that a rate returns to after it was halved…
const REGAINED: f64 = 0.97;
/// …in this time, in seconds.
const REGAIN: f64 = 0.3;
/// How long, in seconds, a rate stays near the sustained one before more is tried: at least this, …
const SHORTEST_PLATEAU: f64 = 5.0;
/// …for so many requests, so that the refusals that a trial costs are few among them, …
const PLATEAU_REQUESTS: f64 = 100.0;
/// …and for so many round trips, since what a trial costs grows with the number of requests in flight; …
const PLATEAU_ROUND_TRIPS: f64 = 150.0;
/// …but no longer than this.
const LONGEST_PLATEAU: f64 = 30.0;
/// The shortest time between two refusals, in seconds, over which the answers that came tell the sustained rate.
const MEASURABLE: f64 = 0.3;

/// The fewest answers that tell it: with fewer, chance and rests decide.
const MEASURABLE_ANSWERS: f64 = 5.0;

/// The part of a refused rate that is taken for the sustained one where nothing better is known.
const FIRST_GUESS: f64 = 0.9;
/// Of what was tried in vain beyond the sustained rate, the part that is added to it all the same.
const CREDITED: f64 = 0.25;
/// How many times the sustained rate has to be reached before a refusal to conclude that the quota was raised.
const FAR_MORE: f64 = 2.0;

/// The lowest rate, in requests a second: a host that sustains less is waited for, refusal by refusal.
const LOWEST_RATE: f64 = 0.2;
/// The highest: no timer could keep to a higher one.
const HIGHEST_RATE: f64 = 100_000.0;

/// How far the search has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Nothing was refused yet.
    Fast,
    /// Up to the next refusal.
    Growing,
    /// The rate stays near the sustained one, since then.
    Plateau { since: Instant },
}

/// The answers since the last refusal. They tell the sustained rate: at both refusals the host had nothing left, so what it
/// answered in between is what its quota gained.
#[derive(Clone, Copy, Debug)]
struct Measure {
    since: Instant,
    /// Answers, failed requests included: these too have left at the pace's rate.
    answers: f64,
    /// [`Pace::idle`] then: unused time tells nothing.
    idle: f64,
}

/// What the answers between two refusals tell.
#[derive(Clone, Copy, Debug)]
enum Measured {
    /// The time was too short.
    Nothing,
    /// Hardly anything was asked.
    Idle,
    /// Answers a second, while requests were sent.
    Rate(f64),
}

/// The rate of one lane: how fast its requests may leave.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pace: Pace,
    /// The cap, in requests a second.
    cap: f64,
    /// The rate to begin with, and to return to at the first refusal.
    start: f64,
    stage: Stage,
    /// Requests a second that the host sustains, as the last refusals have shown.
    sustained: Option<f64>,
    measure: Option<Measure>,
    /// Whether the rate has made a request wait since it last grew.
    is_limiting: bool,
    grown: Instant,
    /// The average round trip and the shortest one, in seconds.
    round_trip: f64,
    shortest: f64,
}

impl Search {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        let start = bounds.first_rate.clamp(LOWEST_RATE, HIGHEST_RATE).min(bounds.rate);
        // A cap holds from the first second on.
        let credit = if bounds.rate.is_finite() { 1.0 } else { bounds.start_burst.max(1.0) };
        Self {
            pace: Pace::new(start, credit, now),
            cap: bounds.rate,
            start,
            stage: Stage::Fast,
            sustained: None,
            measure: None,
            is_limiting: false,
            grown: now,
            round_trip: 0.0,
            shortest: f64::INFINITY,
        }
    }

    /// When the next request may leave, which may be now.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let next = self.pace.next(now);
        self.is_limiting |= next > now;
        next
    }

    /// The most requests that may be in flight, where the search bounds that: in the fast search once its burst is spent.
    pub(super) fn flight(&self) -> Option<f64> {
        // A rate that is at its cap is known to be borne.
        let is_searching = self.stage == Stage::Fast && self.pace.rate() < self.cap;
        let is_bounded = is_searching && !self.pace.has_burst() && self.shortest.is_finite();
        is_bounded.then(|| FAST_FLIGHT_SLACK * self.pace.rate() * self.shortest.max(SHORTEST_ROUND_TRIP))
    }

    /// Notes that a larger flight would have let a request leave.
    pub(super) fn wants_flight(&mut self) {
        self.is_limiting = true;
    }

    /// Counts a request that leaves.
    pub(super) fn take(&mut self) {
        self.pace.take();
    }

    /// Counts a request of another lane, which leaves less of the start burst.
    pub(super) fn spend_burst(&mut self) {
        self.pace.spend_burst();
    }

    /// Takes back one that was not sent.
    pub(super) fn give_back(&mut self) {
        self.pace.give_back();
    }

    /// The sustained rate, in requests a second, where it is known.
    pub(super) fn sustained(&self) -> Option<f64> {
        self.sustained
    }

    /// Whether more is still tried after each answer.
    pub(super) fn is_growing(&self) -> bool {
        !matches!(self.stage, Stage::Plateau { .. })
    }

    /// Continues after a rest, in which nothing was saved up.
    pub(super) fn resume(&mut self, now: Instant) {
        self.pace.empty(now);
        self.grown = now;
    }

    /// Continues after a time that says nothing about the rate.
    pub(super) fn resume_unmeasured(&mut self, now: Instant) {
        self.pace.skip(now);
        self.resume(now);
    }

    /// Counts an answer, or a failure.
    pub(super) fn answered(&mut self) {
        if let Some(measure) = &mut self.measure {
            measure.answers += 1.0;
        }
    }

    /// Takes in how long a small request took, in seconds.
    pub(super) fn timed(&mut self, trip: f64) {
        self.round_trip = if self.round_trip == 0.0 { trip } else { 0.9 * self.round_trip + 0.1 * trip };
        self.shortest = self.shortest.min(trip);
    }

    /// Raises the rate after a good answer, where the rate makes requests wait: what is not needed is not tried.
    pub(super) fn grow(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.grown).as_secs_f64().min(1.0);
        self.grown = now;
        let is_limiting = std::mem::take(&mut self.is_limiting);
        let rate = self.pace.rate();
        match (self.stage, self.sustained) {
            (Stage::Fast, _) => {
                let doublings = if is_limiting { passed / self.doubling() } else { 0.0 };
                self.set_rate(rate.max(self.fast_start()) * doublings.exp2(), now);
            }
            // The sustained rate returns whether it makes requests wait or not.
            (Stage::Plateau { .. }, Some(sustained)) if rate < REGAINED * sustained => {
                self.set_rate(rate + sustained * passed * (REGAINED - 0.5) / REGAIN, now);
            }
            _ if !is_limiting => {}
            (Stage::Plateau { since }, Some(sustained)) => {
                let plateau = self.plateau(sustained);
                if now.saturating_duration_since(since).as_secs_f64() > plateau {
                    self.stage = Stage::Growing;
                }
                let grown = rate + sustained * passed * (1.0 - REGAINED) / plateau;
                self.set_rate(grown.min(sustained.max(rate)), now);
            }
            _ => self.set_rate(rate * (passed / self.doubling()).exp2(), now),
        }
    }

    /// Learns from a refusal what the host sustains, and lowers the rate.
    pub(super) fn refused(&mut self, now: Instant) {
        let rate = self.pace.rate();
        if self.stage == Stage::Fast && rate > self.start {
            self.stage = Stage::Growing;
            self.set_rate(self.start, now);
        } else {
            let sustained = self.estimate(rate, now);
            self.sustained = Some(sustained);
            self.stage = Stage::Plateau { since: now };
            self.set_rate(sustained / 2.0, now);
        }
        self.measure = Some(Measure { since: now, answers: 0.0, idle: self.pace.idle() });
        self.pace.empty(now);
    }

    /// What the host sustains, judged by the refusal of `rate`.
    fn estimate(&self, rate: f64, now: Instant) -> f64 {
        match (self.stage, self.sustained, self.measured(now)) {
            // For much of the time less was asked than the host sustains, so what it answered tells nothing.
            (_, None, _) => FIRST_GUESS * rate,
            // So little was asked that it cannot have been too much: the refusal has another reason.
            (_, Some(before), Measured::Idle) => before,
            // The quota was raised: how far, the next refusal will tell.
            (Stage::Growing, Some(before), _) if rate > FAR_MORE * before => rate,
            // What was sustained for a whole plateau holds, and perhaps more: a part of the rest may have been saved up.
            (Stage::Growing, Some(before), measured) => {
                let credited = before + CREDITED * (rate - before);
                if let Measured::Rate(measured) = measured { credited.max(measured) } else { credited }
            }
            (_, Some(_), Measured::Rate(measured)) => measured.min(rate),
            (_, Some(before), Measured::Nothing) => before.min(rate),
        }
    }

    /// What the answers since the last refusal tell.
    fn measured(&self, now: Instant) -> Measured {
        let Some(measure) = self.measure else { return Measured::Nothing };
        let passed = now.saturating_duration_since(measure.since).as_secs_f64();
        let idle = self.pace.idle() - measure.idle;
        match passed - idle {
            _ if idle > passed / 2.0 => Measured::Idle,
            seconds if seconds >= MEASURABLE && measure.answers >= MEASURABLE_ANSWERS => {
                Measured::Rate(measure.answers / seconds)
            }
            _ => Measured::Nothing,
        }
    }

    /// The rate that the fast search begins with, in requests a second.
    fn fast_start(&self) -> f64 {
        let trip = self.shortest.max(SHORTEST_ROUND_TRIP);
        let flight = FAST_FLIGHT_SECONDS / trip * (NEAR / trip).min(1.0);
        flight.min(MOST_FAST_FLIGHT) / trip
    }

    /// How long it takes the rate to double, in seconds.
    fn doubling(&self) -> f64 {
        match (self.stage, self.sustained) {
            (Stage::Fast, _) => {
                let trip = self.round_trip.max(SHORTEST_ROUND_TRIP);
                (FAST_ROUND_TRIPS_TO_DOUBLE * trip * (trip / NEAR).max(1.0).powi(2)).min(LONGEST_DOUBLING)
            }
            (_, None) => (ROUND_TRIPS_TO_DOUBLE * self.round_trip).clamp(SHORTEST_DOUBLING, LONGEST_DOUBLING),
            (_, Some(_)) => CAREFUL_DOUBLING.max(CAREFUL_ROUND_TRIPS_TO_DOUBLE * self.round_trip),
        }
    }

    /// How long to stay at the sustained rate, in seconds.
    fn plateau(&self, sustained: f64) -> f64 {
        (PLATEAU_REQUESTS / sustained)
            .max(PLATEAU_ROUND_TRIPS * self.round_trip)
            .clamp(SHORTEST_PLATEAU, LONGEST_PLATEAU)
    }

    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.pace.set_rate(rate.clamp(LOWEST_RATE, HIGHEST_RATE).min(self.cap), now);
    }
}
