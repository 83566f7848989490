//! The gate of one host: requests queue until the [`Limiter`] admits them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::limiter::{Admission, LANES, Limiter, Pass, lane_of};
use super::{NotAdmitted, Observed};
use crate::class::Class;
use crate::settings::HostSettings;

/// How many small requests may precede a waiting bulk request, so that bulk requests do not starve.
const SMALL_BEFORE_BULK: u32 = 4;

/// The kinds of requests in a line, as indices of [`Line::queues`].
const SMALL: usize = 0;
const BULK: usize = 1;

/// The gate of one host.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limiter: Limiter,
    /// One line for each lane of the limiter.
    lines: [Line; LANES],
    /// When the lines are checked again even if no request has ended.
    alarm: Option<Instant>,
}

/// The requests that wait for one lane.
#[derive(Debug, Default)]
struct Line {
    /// Small requests and bulk requests.
    queues: [VecDeque<Waiting>; 2],
    /// The number of small requests that have preceded waiting bulk requests.
    favoured: u32,
}

#[derive(Debug)]
struct Waiting {
    class: Class,
    reply: oneshot::Sender<Reply>,
}

type Reply = Result<Permit, NotAdmitted>;

/// Replies to send after the state is unlocked.
type Replies = Vec<(oneshot::Sender<Reply>, Reply)>;

/// A permit for one request. Dropping it ends the request for the limiter.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    pass: Pass,
    /// Whether the request may have been sent.
    used: bool,
}

impl Gate {
    pub(crate) fn new(settings: &HostSettings) -> Self {
        let limiter = Limiter::new(settings, Instant::now());
        Self { state: Mutex::new(State { limiter, lines: Default::default(), alarm: None }) }
    }

    /// Waits until a request may be sent to the host. The permit must be held as long as the request is in progress, including its
    /// body.
    ///
    /// # Errors
    /// Returns an error if the host is given up, if its quota is used up for too long, or if the request would wait forever.
    pub(crate) async fn admit(self: &Arc<Self>, class: Class) -> Result<Permit, NotAdmitted> {
        let (reply, replied) = oneshot::channel();
        self.state().lines[lane_of(class)].push(Waiting { class, reply });
        self.advance();
        #[expect(
            clippy::expect_used,
            reason = "the gate replies to each request that it removes from a line"
        )]
        let mut permit = replied.await.expect("the gate replies")?;
        permit.used = true;
        Ok(permit)
    }

    /// Returns the number of waiting requests, and the end of the rest if the host rests.
    pub(crate) fn waiting(&self) -> (usize, Option<Instant>) {
        let state = self.state();
        (state.lines.iter().map(Line::len).sum(), state.limiter.resting_until())
    }

    /// Returns `true` if the host rests until the end of a quota that it has announced.
    pub(crate) fn waits_for_quota(&self) -> bool {
        self.state().limiter.waits_for_quota()
    }

    /// Admits the requests that may be sent now, and sets the alarm for the next one.
    fn advance(self: &Arc<Self>) {
        let now = Instant::now();
        let mut replies = Replies::new();
        let mut state = self.state();
        let next = (0..LANES).filter_map(|line| state.advance(line, now, self, &mut replies)).min();
        if state.alarm.is_some_and(|alarm| alarm <= now) {
            state.alarm = None;
        }
        if let Some(at) = next.filter(|at| state.alarm.is_none_or(|alarm| *at < alarm)) {
            state.alarm = Some(at);
            let gate = Arc::downgrade(self);
            tokio::spawn(async move {
                sleep_until(at).await;
                if let Some(gate) = gate.upgrade() {
                    gate.advance();
                }
            });
        }
        drop(state);
        // If a request no longer waits, its permit is dropped here, which locks the state.
        replies.into_iter().for_each(|(sender, reply)| drop(sender.send(reply)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Admits the requests of a line that may be sent now. Returns when the next one may be sent, if that is known.
    fn advance(
        &mut self,
        index: usize,
        now: Instant,
        gate: &Arc<Gate>,
        replies: &mut Replies,
    ) -> Option<Instant> {
        loop {
            match self.admit(index, now) {
                Ok(Some((kind, pass))) => {
                    let permit = Permit { gate: Arc::clone(gate), pass, used: false };
                    replies.extend(self.lines[index].take(kind).map(|waiting| (waiting.reply, Ok(permit))));
                }
                Ok(None) => return None,
                Err(Delay::Until(at)) => return Some(at),
                Err(Delay::UntilAnotherEnds) if self.limiter.under_way_in(index) > 0 => return None,
                Err(Delay::UntilAnotherEnds) => self.refuse(index, NotAdmitted::Stuck, replies),
                Err(Delay::Forever(why)) => self.refuse(index, why, replies),
            }
        }
    }

    /// Asks the limiter to admit the first request of a line. If that one has to wait, asks for the first request of the other
    /// kind. Returns `None` if no request waits.
    fn admit(&mut self, index: usize, now: Instant) -> Result<Option<(usize, Pass)>, Delay> {
        let line = &mut self.lines[index];
        let mut delay = None;
        for kind in line.order() {
            let Some(class) = line.first(kind) else { continue };
            delay = match (self.limiter.admit(now, class), delay) {
                (Admission::Go(pass), _) => return Ok(Some((kind, pass))),
                (Admission::Closed(outage), _) => return Err(Delay::Forever(NotAdmitted::Outage(outage))),
                (Admission::UsedUp(time), _) => return Err(Delay::Forever(NotAdmitted::UsedUp(time))),
                (Admission::Wait(Some(at)), Some(Delay::Until(other))) => Some(Delay::Until(at.min(other))),
                (Admission::Wait(Some(at)), _) => Some(Delay::Until(at)),
                (Admission::Wait(None), delay) => delay.or(Some(Delay::UntilAnotherEnds)),
            };
        }
        delay.map_or(Ok(None), Err)
    }

    /// Rejects all requests of a line.
    fn refuse(&mut self, index: usize, why: NotAdmitted, replies: &mut Replies) {
        replies.extend(self.lines[index].drain().map(|waiting| (waiting.reply, Err(why))));
    }
}

/// Why no request of a line may be sent now.
enum Delay {
    Until(Instant),
    UntilAnotherEnds,
    Forever(NotAdmitted),
}

impl Line {
    fn push(&mut self, waiting: Waiting) {
        let kind = if waiting.class.is_bulk() { BULK } else { SMALL };
        self.queues[kind].push_back(waiting);
    }

    /// Returns the kinds in their order of precedence.
    fn order(&self) -> [usize; 2] {
        if self.favoured < SMALL_BEFORE_BULK { [SMALL, BULK] } else { [BULK, SMALL] }
    }

    /// Returns the class of the first request of a kind that is still waiting.
    fn first(&mut self, kind: usize) -> Option<Class> {
        let queue = &mut self.queues[kind];
        while queue.front().is_some_and(|waiting| waiting.reply.is_closed()) {
            queue.pop_front();
        }
        queue.front().map(|waiting| waiting.class)
    }

    fn take(&mut self, kind: usize) -> Option<Waiting> {
        match kind {
            SMALL if !self.queues[BULK].is_empty() => self.favoured += 1,
            BULK => self.favoured = 0,
            _ => {}
        }
        self.queues[kind].pop_front()
    }

    fn drain(&mut self) -> impl Iterator<Item = Waiting> + '_ {
        self.queues.iter_mut().flat_map(|queue| queue.drain(..))
    }

    /// Returns the number of requests that are still waiting.
    fn len(&self) -> usize {
        self.queues.iter().flatten().filter(|waiting| !waiting.reply.is_closed()).count()
    }
}

impl Permit {
    /// Records the outcome of the request.
    pub(crate) fn observe(&self, observed: Observed) {
        self.gate.state().limiter.observe(Instant::now(), self.pass, observed);
        self.gate.advance();
    }
}

impl Permit {
    /// Marks the permit as unused: the request was not sent and does not count towards the quota of the host.
    pub(crate) fn unused(mut self) -> Self {
        self.used = false;
        self
    }

    /// Marks the permit as used by a request that is sent.
    pub(crate) fn using(mut self) -> Self {
        self.used = true;
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if self.used {
            state.limiter.leave(self.pass);
        } else {
            state.limiter.withdraw(self.pass);
        }
        drop(state);
        self.gate.advance();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::Outage;

    fn gate(settings: &HostSettings) -> Arc<Gate> {
        Arc::new(Gate::new(settings))
    }

    fn at_once(concurrency: usize) -> Arc<Gate> {
        gate(&HostSettings { concurrency, start_concurrency: concurrency, ..HostSettings::default() })
    }

    async fn waits(gate: &Arc<Gate>, class: Class) -> bool {
        tokio::time::timeout(Duration::from_secs(60), gate.admit(class)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn the_concurrency_cap_applies_to_reads_and_writes_separately() {
        let gate = at_once(2);
        let (first, _second) =
            (gate.admit(Class::Read).await.unwrap(), gate.admit(Class::Read).await.unwrap());
        assert!(waits(&gate, Class::Read).await, "a third request was admitted");
        gate.admit(Class::Write).await.unwrap();
        drop(first);
        gate.admit(Class::Read).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_spaces_requests() {
        let gate = gate(&HostSettings { requests_per_second: Some(10.0), ..HostSettings::default() });
        let started = Instant::now();
        for _ in 0..11 {
            gate.admit(Class::Read).await.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert!(started.elapsed() < Duration::from_millis(1100));
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_is_admitted_before_the_time_that_the_host_asked_for() {
        let gate = at_once(10);
        let started = Instant::now();
        gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(Some(Duration::from_secs(7))));
        gate.admit(Class::Read).await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(7));
    }

    /// After a rest a single request determines whether the rest is over; the others wait for its answer.
    #[tokio::test(start_paused = true)]
    async fn after_a_rest_a_single_request_probes_the_host() {
        let gate = at_once(10);
        gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(None));
        let probe = gate.admit(Class::Read).await.unwrap();
        assert!(
            waits(&gate, Class::Read).await,
            "a second request was admitted before the probe was answered"
        );
        probe.observe(Observed::Served);
        gate.admit(Class::Read).await.unwrap();
    }

    /// A large upload is answered only after all of it is sent, so other requests do not wait for its answer.
    #[tokio::test(start_paused = true)]
    async fn after_a_rest_no_request_waits_for_bulk() {
        let gate = at_once(10);
        gate.admit(Class::Write).await.unwrap().observe(Observed::Refused(None));
        let _upload = gate.admit(Class::BulkWrite).await.unwrap();
        assert!(!waits(&gate, Class::Write).await);
    }

    /// If the request that probes the host is dropped, the next request becomes the probe.
    #[tokio::test(start_paused = true)]
    async fn a_dropped_probe_does_not_block_other_requests() {
        let gate = at_once(10);
        gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(None));
        drop(gate.admit(Class::Read).await.unwrap());
        assert!(!waits(&gate, Class::Read).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_no_longer_waits_takes_no_permit() {
        let gate = at_once(1);
        let held = gate.admit(Class::Read).await.unwrap();
        for _ in 0..5 {
            assert!(waits(&gate, Class::Read).await);
        }
        drop(held);
        gate.admit(Class::Read).await.unwrap();
        assert_eq!(gate.waiting().0, 0);
    }

    /// Bulk requests never fill a window, and small requests precede bulk requests that came earlier; but bulk requests do not
    /// starve.
    #[tokio::test(start_paused = true)]
    async fn small_requests_precede_bulk_requests() {
        let gate = at_once(4);
        let bulk: Vec<_> = [(); 3].map(|()| gate.admit(Class::BulkRead)).into_iter().collect();
        let bulk = futures_util::future::join_all(bulk).await;
        assert!(waits(&gate, Class::BulkRead).await, "bulk requests filled the window");
        let small = gate.admit(Class::Read).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        for class in [Class::BulkRead, Class::Read, Class::Read, Class::Read, Class::Read, Class::Read] {
            let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            tokio::spawn(async move {
                let _permit = gate.admit(class).await.unwrap();
                order.lock().unwrap().push(class);
                tokio::time::sleep(Duration::from_millis(10)).await;
            });
            tokio::task::yield_now().await;
        }
        drop(bulk);
        drop(small);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let order = order.lock().unwrap();
        let bulk = order.iter().position(|class| *class == Class::BulkRead).unwrap();
        assert!((1..=4).contains(&bulk), "bulk follows some small requests and precedes the last: {order:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_serves_nothing_is_given_up_and_tried_again_later() {
        let gate = at_once(10);
        let started = Instant::now();
        let outage = loop {
            match gate.admit(Class::Read).await {
                Ok(permit) => permit.observe(Observed::Failed),
                Err(NotAdmitted::Outage(outage)) => break outage,
                Err(why) => panic!("{why}"),
            }
        };
        assert!(started.elapsed() < Duration::from_secs(20), "the gate waited too long");
        assert!(outage.failed >= 6, "{outage}");
        assert!(gate.admit(Class::Write).await.is_err(), "the whole host is given up, not only its reads");
        tokio::time::advance(Duration::from_secs(40)).await;
        gate.admit(Class::Read).await.unwrap().observe(Observed::Served);
        gate.admit(Class::Read).await.unwrap();
    }

    /// Quotas may be counted by the minute, so the gate waits longer for a host that only refuses requests.
    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_a_used_up_quota() {
        let gate = at_once(10);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(61) {
            gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(None));
        }
        gate.admit(Class::Read).await.unwrap().observe(Observed::Served);
        gate.admit(Class::Read).await.unwrap();
    }

    /// A read holds its permit until its answer is read, and may need a token for that.
    #[tokio::test(start_paused = true)]
    async fn token_requests_do_not_wait_for_reads_and_writes() {
        let gate = at_once(1);
        let _read = gate.admit(Class::Read).await.unwrap();
        let _write = gate.admit(Class::Write).await.unwrap();
        let _token = gate.admit(Class::Token).await.unwrap();
        assert!(waits(&gate, Class::Token).await, "tokens have a window of their own");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_can_never_be_admitted_fail_at_once() {
        let gate = at_once(4);
        let held = gate.admit(Class::Read).await.unwrap();
        gate.state().limiter.miscount_bulk(Class::BulkRead);
        let started = Instant::now();
        let waiting = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.admit(Class::BulkRead).await.map(drop) })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "the end of the read may still admit it");
        drop(held);
        assert_eq!(waiting.await.unwrap(), Err(NotAdmitted::Stuck));
        assert_eq!(started.elapsed(), Duration::ZERO);
        gate.admit(Class::Read).await.unwrap();
    }

    async fn given_up_after(gate: &Arc<Gate>, asked: Duration) -> (Duration, Outage) {
        let started = Instant::now();
        loop {
            match gate.admit(Class::Read).await {
                Ok(permit) => permit.observe(Observed::Refused(Some(asked))),
                Err(NotAdmitted::Outage(outage)) => return (started.elapsed(), outage),
                Err(why) => panic!("{why}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_even_if_the_host_asks_for_a_longer_rest() {
        let patience = Duration::from_secs(5);
        let gate = gate(&HostSettings { patience, ..HostSettings::default() });
        gate.admit(Class::Read).await.unwrap().observe(Observed::Served);
        let (waited, outage) = given_up_after(&gate, Duration::from_secs(30)).await;
        assert!((patience..patience + Duration::from_secs(1)).contains(&waited), "{waited:?}");
        assert_eq!(outage.refused, 2, "one at the start, and one when patience ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_of_zero_does_not_shorten_rests() {
        let patience = Duration::from_secs(60);
        let gate = gate(&HostSettings { patience, ..HostSettings::default() });
        let (_, outage) = given_up_after(&gate, Duration::ZERO).await;
        assert!(outage.refused < 20, "{outage}");
    }
}
