//! The search for the rate that a host sustains.

use tokio::time::Instant;

use super::bounds::Bounds;
use super::pace::Pace;

/// A host with a shorter round trip than this, in seconds, is near: a whole job there takes fractions of a second.
const NEAR: f64 = 0.005;
/// The fast search starts with this many requests in flight, times the round trip in seconds: 22 on a near host, and fewer on
/// more distant hosts, where a job takes seconds anyway: five at 10 ms. When a quota is met, this many requests are refused,
/// once.
const FAST_FLIGHT_SECONDS: f64 = 0.11;
/// The maximum number of requests in flight at the start of the fast search.
const MOST_FAST_FLIGHT: f64 = 24.0;
/// How many round trips the rate of the fast search takes to double on a near host. On more distant hosts it takes more.
const FAST_ROUND_TRIPS_TO_DOUBLE: f64 = 12.0;
/// The maximum number of requests in flight during the fast search, relative to the number that its rate causes if the host
/// answers at its fastest. If answers are late because host, network or this machine are busy, more requests would pile up and be
/// refused at once.
const FAST_FLIGHT_SLACK: f64 = 1.25;
/// The minimum round trip in calculations, in seconds.
const SHORTEST_ROUND_TRIP: f64 = 1e-4;

/// After the first refusal the rate doubles in this many round trips…
const ROUND_TRIPS_TO_DOUBLE: f64 = 100.0;
/// …but in no less and no more time than these, in seconds.
const SHORTEST_DOUBLING: f64 = 0.02;
const LONGEST_DOUBLING: f64 = 2.0;
/// Once a sustained rate is known, the search is careful: the rate doubles in this time, in seconds, …
const CAREFUL_DOUBLING: f64 = 1.75;
/// …or in this many round trips, if that takes longer.
const CAREFUL_ROUND_TRIPS_TO_DOUBLE: f64 = 15.0;

/// The proportion of the sustained rate that is regained after the rate was halved…
const REGAINED: f64 = 0.97;
/// …in this time, in seconds.
const REGAIN: f64 = 0.3;
/// How long, in seconds, a rate stays near the sustained one before the search continues: at least this long, …
const SHORTEST_PLATEAU: f64 = 5.0;
/// …for this many requests, so that the refusals that a trial costs are few among them, …
const PLATEAU_REQUESTS: f64 = 100.0;
/// …and for this many round trips, since the cost of a trial grows with the number of requests in flight; …
const PLATEAU_ROUND_TRIPS: f64 = 150.0;
/// …but no longer than this.
const LONGEST_PLATEAU: f64 = 30.0;
/// The minimum time between two refusals, in seconds, for which the answers determine the sustained rate.
const MEASURABLE: f64 = 0.3;

/// The minimum number of answers between two refusals that determine the sustained rate: with fewer, chance and rests dominate.
const MEASURABLE_ANSWERS: f64 = 5.0;

/// The proportion of a refused rate that is assumed to be sustained if nothing better is known.
const FIRST_GUESS: f64 = 0.9;
/// The proportion of a refused increase beyond the sustained rate that is added to the sustained rate nevertheless.
const CREDITED: f64 = 0.25;
/// The multiple of the sustained rate from which on a refusal means that the quota was raised.
const FAR_MORE: f64 = 2.0;

/// The minimum rate, in requests a second. If a host sustains less, the rests after refusals limit the rate.
const LOWEST_RATE: f64 = 0.2;
/// The maximum rate, in requests a second: no timer could follow a higher one.
const HIGHEST_RATE: f64 = 100_000.0;

/// The progress of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// No request was refused yet.
    Fast,
    /// The rate grows until the next refusal.
    Growing,
    /// The rate has stayed near the sustained one since this time.
    Plateau { since: Instant },
}

/// The answers since the last refusal, from which the sustained rate is determined. At both refusals the quota of the host was
/// used up, so the answers in between are what the quota has gained.
#[derive(Clone, Copy, Debug)]
struct Measure {
    since: Instant,
    /// The number of answers, including failed requests: these were sent at the rate of the pace too.
    answers: f64,
    /// The value of [`Pace::idle`] at that time: unused time says nothing about the quota.
    idle: f64,
}

/// The result of a measurement between two refusals.
#[derive(Clone, Copy, Debug)]
enum Measured {
    /// The time was too short.
    Nothing,
    /// Hardly any requests were sent.
    Idle,
    /// Answers a second, while requests were sent.
    Rate(f64),
}

/// The rate of one lane: how fast its requests may be sent.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pace: Pace,
    /// The cap, in requests a second.
    cap: f64,
    /// The initial rate, to which the first refusal returns.
    start: f64,
    stage: Stage,
    /// The rate that the host sustains, in requests a second, according to the last refusals.
    sustained: Option<f64>,
    measure: Option<Measure>,
    /// Whether the rate has delayed a request since it last grew.
    is_limiting: bool,
    grown: Instant,
    /// The average and the minimum round trip, in seconds.
    round_trip: f64,
    shortest: f64,
}

impl Search {
    pub(super) fn new(bounds: &Bounds, now: Instant) -> Self {
        let start = bounds.first_rate.clamp(LOWEST_RATE, HIGHEST_RATE).min(bounds.rate);
        // A cap applies from the first second on.
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

    /// Returns when the next request may be sent, which may be now.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let next = self.pace.next(now);
        self.is_limiting |= next > now;
        next
    }

    /// Returns the maximum number of requests in flight. It is limited only during the fast search, after the burst is used.
    pub(super) fn flight(&self) -> Option<f64> {
        // A rate at its cap is known to be sustained.
        let is_searching = self.stage == Stage::Fast && self.pace.rate() < self.cap;
        let is_bounded = is_searching && !self.pace.has_burst() && self.shortest.is_finite();
        is_bounded.then(|| FAST_FLIGHT_SLACK * self.pace.rate() * self.shortest.max(SHORTEST_ROUND_TRIP))
    }

    /// Records that more requests in flight would have permitted a request.
    pub(super) fn wants_flight(&mut self) {
        self.is_limiting = true;
    }

    /// Counts a request that is sent.
    pub(super) fn take(&mut self) {
        self.pace.take();
    }

    /// Counts a request of another lane, which reduces the start burst.
    pub(super) fn spend_burst(&mut self) {
        self.pace.spend_burst();
    }

    /// Undoes the count of a request that was not sent.
    pub(super) fn give_back(&mut self) {
        self.pace.give_back();
    }

    /// Returns the sustained rate, in requests a second, if it is known.
    pub(super) fn sustained(&self) -> Option<f64> {
        self.sustained
    }

    /// Returns `true` if the rate still grows after each answer.
    pub(super) fn is_growing(&self) -> bool {
        !matches!(self.stage, Stage::Plateau { .. })
    }

    /// Continues after a rest, in which no credit accumulates.
    pub(super) fn resume(&mut self, now: Instant) {
        self.pace.empty(now);
        self.grown = now;
    }

    /// Continues after a time that says nothing about the rate.
    pub(super) fn resume_unmeasured(&mut self, now: Instant) {
        self.pace.skip(now);
        self.resume(now);
    }

    /// Counts an answer or a failure.
    pub(super) fn answered(&mut self) {
        if let Some(measure) = &mut self.measure {
            measure.answers += 1.0;
        }
    }

    /// Records the duration of a small request, in seconds.
    pub(super) fn timed(&mut self, trip: f64) {
        self.round_trip = if self.round_trip == 0.0 { trip } else { 0.9 * self.round_trip + 0.1 * trip };
        self.shortest = self.shortest.min(trip);
    }

    /// Raises the rate after a successful answer, if the rate delays requests: capacity that is not needed is not probed.
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
            // The sustained rate is regained whether or not it delays requests.
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

    /// Updates the sustained rate after a refusal, and lowers the rate.
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

    /// Estimates the sustained rate from the refusal of `rate`.
    fn estimate(&self, rate: f64, now: Instant) -> f64 {
        match (self.stage, self.sustained, self.measured(now)) {
            // The rate was below the sustained one for much of the time, so the number of answers says nothing.
            (_, None, _) => FIRST_GUESS * rate,
            // Too few requests were sent to exceed the quota: the refusal has another cause.
            (_, Some(before), Measured::Idle) => before,
            // The quota was raised. The next refusal determines how far.
            (Stage::Growing, Some(before), _) if rate > FAR_MORE * before => rate,
            // The rate that was sustained for a whole plateau is valid, and a higher one may be: a part of the excess may
            // have been credit.
            (Stage::Growing, Some(before), measured) => {
                let credited = before + CREDITED * (rate - before);
                if let Measured::Rate(measured) = measured { credited.max(measured) } else { credited }
            }
            (_, Some(_), Measured::Rate(measured)) => measured.min(rate),
            (_, Some(before), Measured::Nothing) => before.min(rate),
        }
    }

    /// Evaluates the answers since the last refusal.
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

    /// Returns the initial rate of the fast search, in requests a second.
    fn fast_start(&self) -> f64 {
        let trip = self.shortest.max(SHORTEST_ROUND_TRIP);
        let flight = FAST_FLIGHT_SECONDS / trip * (NEAR / trip).min(1.0);
        flight.min(MOST_FAST_FLIGHT) / trip
    }

    /// Returns the time in which the rate doubles, in seconds.
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

    /// Returns how long to stay at the sustained rate, in seconds.
    fn plateau(&self, sustained: f64) -> f64 {
        (PLATEAU_REQUESTS / sustained)
            .max(PLATEAU_ROUND_TRIPS * self.round_trip)
            .clamp(SHORTEST_PLATEAU, LONGEST_PLATEAU)
    }

    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.pace.set_rate(rate.clamp(LOWEST_RATE, HIGHEST_RATE).min(self.cap), now);
    }
}
