//! Tests of the limiter against simulated hosts, without a clock or network, so that long runs complete immediately.

mod faults;
mod properties;
mod quotas;
mod refusals;
mod start;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use super::limiter::{Admission, Limiter, Pass};
use super::{Observed, Outage};
use crate::class::Class;
use crate::settings::HostSettings;

/// A host with a common quota for all requests: a number of requests a second, and the credit that it accumulates for bursts.
#[derive(Clone, Copy, Debug)]
struct Host {
    per_second: f64,
    burst: f64,
    round_trip: Duration,
    retry_after: Option<Duration>,
    /// The minimum time between two answers: how busy the host or this machine is.
    between_answers: Duration,
}

/// The quota that applied to the Kubernetes project, at a distance of 20 ms.
const KUBERNETES: Host = Host {
    per_second: 83.0,
    burst: 100.0,
    round_trip: Duration::from_millis(22),
    retry_after: None,
    between_answers: Duration::ZERO,
};

/// A host without a quota.
const UNLIMITED: Host = Host { per_second: 1e9, burst: 1e9, ..KUBERNETES };

/// The result of a run, by second.
#[derive(Debug, Default)]
struct Timeline {
    served: Vec<u32>,
    refused: Vec<u32>,
    failed: Vec<u32>,
    /// The maximum number of requests in progress.
    at_once: usize,
    /// When the last answer arrived, or when the host was given up.
    ended: Duration,
    /// The outage, if the host was given up.
    outage: Option<Outage>,
}

impl Timeline {
    /// Returns the number of served requests a second.
    fn rate(&self, seconds: Range<usize>) -> f64 {
        let length = seconds.len() as f64;
        f64::from(self.served[seconds].iter().sum::<u32>()) / length
    }

    fn refused(&self, seconds: Range<usize>) -> u32 {
        self.refused[seconds].iter().sum()
    }

    fn share_refused(&self) -> f64 {
        let (refused, served) = (self.refused.iter().sum::<u32>(), self.served.iter().sum::<u32>());
        f64::from(refused) / f64::from(refused + served)
    }

    fn sent(&self) -> u32 {
        [&self.served, &self.refused, &self.failed].into_iter().flatten().sum()
    }
}

/// The token bucket of a host, whose rate may change over time.
struct Bucket<Q> {
    host: Host,
    quota: Q,
    level: f64,
    filled: Duration,
}

impl<Q: Fn(f64) -> f64> Bucket<Q> {
    fn ask(&mut self, time: Duration) -> Observed {
        let gained = (time - self.filled).as_secs_f64() * (self.quota)(time.as_secs_f64());
        self.level = (self.level + gained).min(self.host.burst);
        self.filled = time;
        if self.level < 1.0 {
            return Observed::Refused(self.host.retry_after);
        }
        self.level -= 1.0;
        Observed::Served
    }
}

/// The requests of a run.
#[derive(Clone, Copy, Debug)]
enum Load<'a> {
    /// Requests of all classes at once, for a number of seconds.
    Endless { classes: &'a [Class], seconds: usize },
    /// A number of reads. Each one that is not served is sent again after a pause.
    Job(usize),
}

/// The parameters of a simulation.
struct Simulation<'a> {
    host: Host,
    settings: HostSettings,
    load: Load<'a>,
    /// Whether a request fails, by the time at which it is sent and its number.
    fails: &'a dyn Fn(Duration, usize) -> bool,
}

impl Simulation<'_> {
    fn run(self) -> Timeline {
        self.run_changing(|_| self.host.per_second)
    }

    fn run_changing(&self, quota: impl Fn(f64) -> f64) -> Timeline {
        let mut bucket = Bucket { host: self.host, quota, level: self.host.burst, filled: Duration::ZERO };
        self.run_against(|time| bucket.ask(time))
    }

    fn run_against(&self, answer: impl FnMut(Duration) -> Observed) -> Timeline {
        let (classes, seconds, todo) = match self.load {
            Load::Endless { classes, seconds } => (classes, seconds, usize::MAX),
            Load::Job(requests) => ([Class::Read].as_slice(), 1_000, requests),
        };
        let start = Instant::now();
        let counts = || vec![0; seconds];
        let timeline =
            Timeline { served: counts(), refused: counts(), failed: counts(), ..Timeline::default() };
        let limiter = Limiter::new(&self.settings, start);
        let mut run = Run {
            simulation: self,
            answer,
            limiter,
            start,
            time: Duration::ZERO,
            todo,
            under_way: BinaryHeap::new(),
            answered: Duration::ZERO,
            pauses: BinaryHeap::new(),
            sent: Vec::new(),
            timeline,
        };
        while run.time < Duration::from_secs(seconds as u64) {
            let Some(next) = run.send(classes) else { break };
            run.time = run.time.max(next);
            run.end_pauses();
            run.take_answer();
        }
        run.timeline
    }
}

/// A simulation in progress.
struct Run<'a, A> {
    simulation: &'a Simulation<'a>,
    answer: A,
    limiter: Limiter,
    start: Instant,
    time: Duration,
    /// The number of requests that are still to be sent.
    todo: usize,
    /// The times of the answers, and their requests.
    under_way: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The time of the last answer.
    answered: Duration,
    /// The times at which requests are sent again.
    pauses: BinaryHeap<Reverse<Duration>>,
    sent: Vec<(Pass, Observed)>,
    timeline: Timeline,
}

impl<A: FnMut(Duration) -> Observed> Run<'_, A> {
    /// Sends the requests that are admitted, the classes in turn. Returns the time of the next event, if there is one.
    fn send(&mut self, classes: &[Class]) -> Option<Duration> {
        loop {
            let mut waits = Vec::new();
            let mut gone = false;
            for class in classes {
                if self.todo == 0 {
                    break;
                }
                match self.limiter.admit(self.start + self.time, *class) {
                    Admission::Go(pass) => {
                        self.leave(pass);
                        gone = true;
                    }
                    Admission::Wait(at) => waits.extend(at.map(|at| at - self.start)),
                    Admission::UsedUp(_) => unreachable!("no simulated host announces the end of its quota"),
                    Admission::Closed(outage) => {
                        (self.timeline.ended, self.timeline.outage) = (self.time, Some(outage));
                        return None;
                    }
                }
            }
            if !gone {
                waits.extend(self.under_way.peek().map(|Reverse((answered, _))| *answered));
                waits.extend(self.pauses.peek().map(|Reverse(over)| *over));
                return waits.into_iter().min();
            }
        }
    }

    fn leave(&mut self, pass: Pass) {
        let number = self.sent.len();
        let fails = (self.simulation.fails)(self.time, number);
        let observed = if fails { Observed::Failed } else { (self.answer)(self.time) };
        let counts = match observed {
            Observed::Served | Observed::UsedUp(_) => &mut self.timeline.served,
            Observed::Refused(_) => &mut self.timeline.refused,
            Observed::Failed => &mut self.timeline.failed,
        };
        counts[self.time.as_secs() as usize] += 1;
        let host = &self.simulation.host;
        self.answered = (self.time + host.round_trip).max(self.answered + host.between_answers);
        self.under_way.push(Reverse((self.answered, number)));
        self.sent.push((pass, observed));
        self.todo -= 1;
        self.timeline.at_once = self.timeline.at_once.max(self.under_way.len());
    }

    fn end_pauses(&mut self) {
        while self.pauses.peek().is_some_and(|Reverse(over)| *over <= self.time) {
            self.pauses.pop();
            self.todo += 1;
        }
    }

    /// Processes one answer. As in the gate, it may admit further requests.
    fn take_answer(&mut self) {
        if self.under_way.peek().is_none_or(|Reverse((answered, _))| *answered > self.time) {
            return;
        }
        let Some(Reverse((_, number))) = self.under_way.pop() else { return };
        let (pass, observed) = self.sent[number];
        self.limiter.observe(self.start + self.time, pass, observed);
        self.limiter.leave(pass);
        self.timeline.ended = self.time;
        if observed != Observed::Served && matches!(self.simulation.load, Load::Job(_)) {
            self.pauses.push(Reverse(self.time + PAUSE));
        }
    }
}

/// The mean pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(125);

fn never(_: Duration, _: usize) -> bool {
    false
}

/// Returns `true` if the request with this number fails, at random with this probability, but the same in each run.
fn fails_at_random(probability: f64, number: usize) -> bool {
    // SplitMix64.
    let mut x = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 <= probability
}

/// Sends a host as many requests of all `classes` as the limiter admits, for a number of seconds.
fn run_changing(
    host: Host,
    settings: &HostSettings,
    classes: &[Class],
    seconds: usize,
    quota: impl Fn(f64) -> f64,
) -> Timeline {
    let load = Load::Endless { classes, seconds };
    let timeline = Simulation { host, settings: settings.clone(), load, fails: &never }.run_changing(quota);
    assert_eq!(timeline.outage, None, "given up");
    timeline
}

fn run(host: Host, seconds: usize) -> Timeline {
    run_changing(host, &HostSettings::default(), &[Class::Read], seconds, |_| host.per_second)
}
