//! What one host bears: how many requests at once, how many a second, and when it wants to be left alone.
//!
//! Callers see [`Gate::admit`] and [`Permit::observe`] alone, so that how a limit is found can change without them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::request::Class;
use crate::settings::HostSettings;

/// What a host answered, as far as its limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// The host took the request.
    Served,
    /// The host was asked too much, and may have said for how long to leave it alone.
    Refused(Option<Duration>),
    /// No answer came: nothing is learnt about a limit.
    Lost,
}

/// The pause after a first refusal for which the host named no time; each further one in a row doubles it.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest such pause.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The entrance to one host.
#[derive(Debug)]
pub(crate) struct Gate {
    at_once: Arc<Semaphore>,
    interval: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// No request leaves before this.
    rest_until: Instant,
    /// The earliest time of the next request, where a rate is set.
    next: Instant,
    /// Refusals in a row; requests that were under way at a refusal count as the same one.
    refusals: u32,
    last_refusal: Instant,
}

impl Gate {
    pub(crate) fn new(settings: &HostSettings) -> Self {
        let now = Instant::now();
        Self {
            at_once: Arc::new(Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            interval: settings.requests_per_second.map(|rate| Duration::from_secs_f64(1.0 / rate.max(0.001))),
            state: Mutex::new(State { rest_until: now, next: now, refusals: 0, last_refusal: now }),
        }
    }

    /// Waits until the host may be asked. The permit is held for as long as the request is under way, its body included.
    ///
    /// Reads and writes share one budget so far; the class is asked for so that they can be told apart.
    pub(crate) async fn admit(self: &Arc<Self>, _class: Class) -> Permit {
        #[expect(clippy::expect_used, reason = "the semaphore is never closed")]
        let held = Arc::clone(&self.at_once).acquire_owned().await.expect("an open semaphore");
        loop {
            let now = Instant::now();
            let at = self.reserve(now);
            if at <= now {
                return Permit { gate: Arc::clone(self), admitted: now, _held: held };
            }
            sleep_until(at).await;
        }
    }

    /// Takes the next place in time: `now` where it is free, else when to ask again.
    fn reserve(&self, now: Instant) -> Instant {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.rest_until.max(state.next);
        if at > now {
            return at;
        }
        if let Some(interval) = self.interval {
            state.next = now + interval;
        }
        now
    }

    fn observe(&self, admitted: Instant, observed: Observed) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match observed {
            // An answer to what was sent before the last refusal says nothing about now.
            Observed::Served if admitted > state.last_refusal => state.refusals = 0,
            Observed::Served | Observed::Lost => {}
            Observed::Refused(asked) => {
                if admitted >= state.last_refusal {
                    state.refusals += 1;
                    state.last_refusal = now;
                }
                let doubled = FIRST_REST * 2_u32.pow(state.refusals.saturating_sub(1).min(10));
                let rest = asked.unwrap_or(doubled.min(LONGEST_REST));
                state.rest_until = state.rest_until.max(now + rest);
            }
        }
    }
}

/// The right to have one request under way.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    admitted: Instant,
    _held: OwnedSemaphorePermit,
}

impl Permit {
    pub(crate) fn observe(&self, observed: Observed) {
        self.gate.observe(self.admitted, observed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(concurrency: usize, requests_per_second: Option<f64>) -> Arc<Gate> {
        Arc::new(Gate::new(&HostSettings { concurrency, requests_per_second, ..HostSettings::default() }))
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_cap_are_under_way() {
        let gate = gate(2, None);
        let (first, _second) = (gate.admit(Class::Read).await, gate.admit(Class::Write).await);
        let waiting = tokio::time::timeout(Duration::from_secs(60), gate.admit(Class::Read)).await;
        assert!(waiting.is_err(), "a third was let in");
        drop(first);
        gate.admit(Class::Read).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_spaces_requests() {
        let gate = gate(10, Some(10.0));
        let started = Instant::now();
        for _ in 0..11 {
            gate.admit(Class::Read).await;
        }
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert!(started.elapsed() < Duration::from_millis(1100));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_let_in_before_the_host_wants_it() {
        let gate = gate(10, None);
        let started = Instant::now();
        gate.admit(Class::Read).await.observe(Observed::Refused(Some(Duration::from_secs(7))));
        gate.admit(Class::Read).await;
        assert!(started.elapsed() >= Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_one_moment_count_once_and_further_ones_double_the_rest() {
        let gate = gate(10, None);
        let together =
            [gate.admit(Class::Read).await, gate.admit(Class::Read).await, gate.admit(Class::Read).await];
        tokio::time::advance(Duration::from_millis(10)).await;
        let started = Instant::now();
        together.iter().for_each(|permit| permit.observe(Observed::Refused(None)));
        let again = gate.admit(Class::Read).await;
        assert_eq!(started.elapsed().as_millis() / 100, 5, "one rest for three refusals");
        again.observe(Observed::Refused(None));
        gate.admit(Class::Read).await.observe(Observed::Served);
        assert_eq!(started.elapsed().as_millis() / 100, 15, "twice the rest for the next");
    }
}
