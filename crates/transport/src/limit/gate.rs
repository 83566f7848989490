//! The entrance to one host: requests wait in line until the [`Limiter`] lets them in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::limiter::{Admission, Limiter, Pass};
use super::{Observed, Outage};
use crate::request::Class;
use crate::settings::HostSettings;

/// How many small requests go before one of bulk that waits: they go first, but not for ever.
const SMALL_BEFORE_BULK: u32 = 4;

/// The entrance to one host.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limiter: Limiter,
    /// Reads and writes wait apart, as their limits are apart.
    lines: [Line; 2],
    /// When the lines are looked at again without anybody's doing, where that is set.
    alarm: Option<Instant>,
}

/// Whoever waits, by urgency: tokens, small requests, bulk.
#[derive(Debug, Default)]
struct Line {
    queues: [VecDeque<Waiting>; 3],
    /// Small requests that went before bulk ones that waited.
    favoured: u32,
}

#[derive(Debug)]
struct Waiting {
    class: Class,
    tell: oneshot::Sender<Result<Permit, Outage>>,
}

/// What is to be told to whom, once the state is free.
type Told = Vec<(oneshot::Sender<Result<Permit, Outage>>, Result<Permit, Outage>)>;

/// The right to have one request under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    pass: Pass,
    /// Whether the request may have left.
    used: bool,
}

impl Gate {
    pub(crate) fn new(settings: &HostSettings) -> Self {
        let limiter = Limiter::new(settings, Instant::now());
        Self { state: Mutex::new(State { limiter, lines: Default::default(), alarm: None }) }
    }

    /// Waits until the host may be asked. The permit is held for as long as the request is under way, its body included.
    ///
    /// # Errors
    /// When the host has been given up.
    pub(crate) async fn admit(self: &Arc<Self>, class: Class) -> Result<Permit, Outage> {
        let (tell, told) = oneshot::channel();
        self.state().line(class).push(Waiting { class, tell });
        self.let_in();
        #[expect(clippy::expect_used, reason = "whoever leaves a line is told why")]
        let mut permit = told.await.expect("an answer from the gate")?;
        permit.used = true;
        Ok(permit)
    }

    /// How many requests wait, and until when the host wants to be left alone, if it does.
    pub(crate) fn waiting(&self) -> (usize, Option<Instant>) {
        let state = self.state();
        (state.lines.iter().map(Line::len).sum(), state.limiter.resting_until())
    }

    /// Lets in whoever may leave now, and sees to it that this is done again when the next one may.
    fn let_in(self: &Arc<Self>) {
        let now = Instant::now();
        let mut told = Told::new();
        let mut state = self.state();
        let next = (0..state.lines.len()).filter_map(|line| state.let_in(line, now, self, &mut told)).min();
        if state.alarm.is_some_and(|alarm| alarm <= now) {
            state.alarm = None;
        }
        if let Some(at) = next.filter(|at| state.alarm.is_none_or(|alarm| *at < alarm)) {
            state.alarm = Some(at);
            let gate = Arc::downgrade(self);
            tokio::spawn(async move {
                sleep_until(at).await;
                if let Some(gate) = gate.upgrade() {
                    gate.let_in();
                }
            });
        }
        drop(state);
        // Whoever waits no more gives its permit back by dropping it, for which the state must be free.
        told.into_iter().for_each(|(tell, answer)| drop(tell.send(answer)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line(&mut self, class: Class) -> &mut Line {
        &mut self.lines[usize::from(class.is_write())]
    }

    /// Lets in whoever of a line may leave now; gives the time at which the next one may, where that is a matter of time.
    fn let_in(&mut self, line: usize, now: Instant, gate: &Arc<Gate>, told: &mut Told) -> Option<Instant> {
        let line = &mut self.lines[line];
        loop {
            let mut next = None;
            let mut admitted = None;
            for urgency in line.order() {
                let Some(class) = line.first(urgency) else { continue };
                match self.limiter.admit(now, class) {
                    Admission::Go(pass) => {
                        admitted = Some((urgency, pass));
                        break;
                    }
                    // Another kind may still go: bulk may have filled its share.
                    Admission::Wait(at) => next = next.or(at),
                    Admission::Closed(outage) => {
                        told.extend(line.drain().map(|waiting| (waiting.tell, Err(outage))));
                        return None;
                    }
                }
            }
            let Some((urgency, pass)) = admitted else { return next };
            let permit = Permit { gate: Arc::clone(gate), pass, used: false };
            told.extend(line.take(urgency).map(|waiting| (waiting.tell, Ok(permit))));
        }
    }
}

impl Line {
    fn push(&mut self, waiting: Waiting) {
        let urgency = match waiting.class {
            Class::Token => 0,
            Class::Read | Class::Write => 1,
            Class::BulkRead | Class::BulkWrite => 2,
        };
        self.queues[urgency].push_back(waiting);
    }

    /// Which kind goes first.
    fn order(&self) -> [usize; 3] {
        if self.favoured < SMALL_BEFORE_BULK { [0, 1, 2] } else { [0, 2, 1] }
    }

    /// The class of the first of a kind who still waits.
    fn first(&mut self, urgency: usize) -> Option<Class> {
        let queue = &mut self.queues[urgency];
        while queue.front().is_some_and(|waiting| waiting.tell.is_closed()) {
            queue.pop_front();
        }
        queue.front().map(|waiting| waiting.class)
    }

    fn take(&mut self, urgency: usize) -> Option<Waiting> {
        match urgency {
            1 if !self.queues[2].is_empty() => self.favoured += 1,
            2 => self.favoured = 0,
            _ => {}
        }
        self.queues[urgency].pop_front()
    }

    fn drain(&mut self) -> impl Iterator<Item = Waiting> + '_ {
        self.queues.iter_mut().flat_map(|queue| queue.drain(..))
    }

    /// How many still wait.
    fn len(&self) -> usize {
        self.queues.iter().flatten().filter(|waiting| !waiting.tell.is_closed()).count()
    }
}

impl Permit {
    /// Takes in what came of the request.
    pub(crate) fn observe(&self, observed: Observed) {
        self.gate.state().limiter.observe(Instant::now(), self.pass, observed);
        self.gate.let_in();
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
        self.gate.let_in();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
    async fn no_more_than_the_cap_are_under_way_and_reads_and_writes_do_not_count_for_each_other() {
        let gate = at_once(2);
        let (first, _second) =
            (gate.admit(Class::Read).await.unwrap(), gate.admit(Class::Read).await.unwrap());
        assert!(waits(&gate, Class::Read).await, "a third was let in");
        gate.admit(Class::Write).await.unwrap();
        drop(first);
        gate.admit(Class::Read).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_spaces_requests() {
        let gate = gate(&HostSettings { requests_per_second: Some(10.0), ..HostSettings::default() });
        let started = Instant::now();
        for _ in 0..11 {
            gate.admit(Class::Read).await.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert!(started.elapsed() < Duration::from_millis(1100));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_let_in_before_the_host_wants_it() {
        let gate = at_once(10);
        let started = Instant::now();
        gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(Some(Duration::from_secs(7))));
        gate.admit(Class::Read).await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(7));
    }

    /// After a rest one request finds out whether it is over; the others wait for its answer.
    #[tokio::test(start_paused = true)]
    async fn after_a_rest_one_goes_first() {
        let gate = at_once(10);
        gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(None));
        let probe = gate.admit(Class::Read).await.unwrap();
        assert!(waits(&gate, Class::Read).await, "a second one left before the first had its answer");
        probe.observe(Observed::Served);
        gate.admit(Class::Read).await.unwrap();
    }

    /// The answer to a large upload comes when all of it is sent: nobody waits for that.
    #[tokio::test(start_paused = true)]
    async fn after_a_rest_nobody_waits_for_bulk() {
        let gate = at_once(10);
        gate.admit(Class::Write).await.unwrap().observe(Observed::Refused(None));
        let _upload = gate.admit(Class::BulkWrite).await.unwrap();
        assert!(!waits(&gate, Class::Write).await);
    }

    /// Whoever is to find that out may be given up itself: then the next one does.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_dropped_after_a_rest_holds_up_nobody() {
        let gate = at_once(10);
        gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(None));
        drop(gate.admit(Class::Read).await.unwrap());
        assert!(!waits(&gate, Class::Read).await);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_waiting_takes_nobodys_place() {
        let gate = at_once(1);
        let held = gate.admit(Class::Read).await.unwrap();
        for _ in 0..5 {
            assert!(waits(&gate, Class::Read).await);
        }
        drop(held);
        gate.admit(Class::Read).await.unwrap();
        assert_eq!(gate.waiting().0, 0);
    }

    /// Bulk never fills a window, and small requests go first though bulk came before them; but bulk goes on.
    #[tokio::test(start_paused = true)]
    async fn small_requests_go_before_bulk() {
        let gate = at_once(4);
        let bulk: Vec<_> = [(); 3].map(|()| gate.admit(Class::BulkRead)).into_iter().collect();
        let bulk = futures_util::future::join_all(bulk).await;
        assert!(waits(&gate, Class::BulkRead).await, "a part of the window is left");
        let small = gate.admit(Class::Read).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        for class in
            [Class::BulkRead, Class::Read, Class::Read, Class::Read, Class::Read, Class::Read, Class::Token]
        {
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
        assert_eq!(order[0], Class::Token);
        let bulk = order.iter().position(|class| *class == Class::BulkRead).unwrap();
        assert!((2..=5).contains(&bulk), "bulk goes after some small ones and before the last: {order:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_serves_nothing_is_given_up_and_asked_again_later() {
        let gate = at_once(10);
        let started = Instant::now();
        let outage = loop {
            match gate.admit(Class::Read).await {
                Ok(permit) => permit.observe(Observed::Unavailable(None)),
                Err(outage) => break outage,
            }
        };
        assert!(started.elapsed() < Duration::from_secs(20), "it was waited for too long");
        assert!(outage.unavailable >= 6, "{outage}");
        assert!(gate.admit(Class::Write).await.is_err(), "it is the host that is given up, not its reads");
        tokio::time::advance(Duration::from_secs(40)).await;
        gate.admit(Class::Read).await.unwrap().observe(Observed::Served);
        gate.admit(Class::Read).await.unwrap();
    }

    /// Quotas are counted by the minute: a host that only says that it is asked too much is waited for longer.
    #[tokio::test(start_paused = true)]
    async fn a_quota_that_is_used_up_is_waited_for() {
        let gate = at_once(10);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(61) {
            gate.admit(Class::Read).await.unwrap().observe(Observed::Refused(None));
        }
        gate.admit(Class::Read).await.unwrap().observe(Observed::Served);
        gate.admit(Class::Read).await.unwrap();
    }
}
