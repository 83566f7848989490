//! The limiter against simulated hosts: no clock and no network, so that long runs take no time.

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

/// A host with a quota for all requests together: so many requests a second, and what it saves up for bursts.
#[derive(Clone, Copy, Debug)]
struct Host {
    per_second: f64,
    burst: f64,
    round_trip: Duration,
    retry_after: Option<Duration>,
    /// The time between two answers, at the least: how busy the host is, or this machine.
    between_answers: Duration,
}

/// The quota that Kubernetes' project has been held to, 20 ms away.
const KUBERNETES: Host = Host {
    per_second: 83.0,
    burst: 100.0,
    round_trip: Duration::from_millis(22),
    retry_after: None,
    between_answers: Duration::ZERO,
};

/// A host without a quota.
const UNLIMITED: Host = Host { per_second: 1e9, burst: 1e9, ..KUBERNETES };

/// What came of a run, second by second.
#[derive(Debug, Default)]
struct Course {
    served: Vec<u32>,
    refused: Vec<u32>,
    failed: Vec<u32>,
    /// The most that were ever under way.
    at_once: usize,
    /// When the last answer came, or when the host was given up.
    ended: Duration,
    /// That the host was given up.
    outage: Option<Outage>,
}

impl Course {
    /// Requests served a second.
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

/// A host's bucket, which may be filled at another rate as time goes by.
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

/// What is to be done.
#[derive(Clone, Copy, Debug)]
enum Load<'a> {
    /// Requests of all classes at once, for so many seconds.
    Endless { classes: &'a [Class], seconds: usize },
    /// So many reads; each that is not served is sent again after a pause.
    Job(usize),
}

/// A run that is simulated.
struct Simulation<'a> {
    host: Host,
    settings: HostSettings,
    load: Load<'a>,
    /// Whether a request fails, by the time at which it leaves and its number.
    fails: &'a dyn Fn(Duration, usize) -> bool,
}

impl Simulation<'_> {
    fn run(self) -> Course {
        self.run_changing(|_| self.host.per_second)
    }

    fn run_changing(&self, quota: impl Fn(f64) -> f64) -> Course {
        let mut bucket = Bucket { host: self.host, quota, level: self.host.burst, filled: Duration::ZERO };
        self.run_against(|time| bucket.ask(time))
    }

    fn run_against(&self, answer: impl FnMut(Duration) -> Observed) -> Course {
        let (classes, seconds, todo) = match self.load {
            Load::Endless { classes, seconds } => (classes, seconds, usize::MAX),
            Load::Job(requests) => ([Class::Read].as_slice(), 1_000, requests),
        };
        let start = Instant::now();
        let counts = || vec![0; seconds];
        let course = Course { served: counts(), refused: counts(), failed: counts(), ..Course::default() };
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
            course,
        };
        while run.time < Duration::from_secs(seconds as u64) {
            let Some(next) = run.send(classes) else { break };
            run.time = run.time.max(next);
            run.end_pauses();
            run.take_answer();
        }
        run.course
    }
}

/// A simulation in progress.
struct Run<'a, A> {
    simulation: &'a Simulation<'a>,
    answer: A,
    limiter: Limiter,
    start: Instant,
    time: Duration,
    /// Requests that are still to be sent.
    todo: usize,
    /// When answers come, and to which request.
    under_way: BinaryHeap<Reverse<(Duration, usize)>>,
    /// When the last of them comes.
    answered: Duration,
    /// When requests are sent again.
    pauses: BinaryHeap<Reverse<Duration>>,
    sent: Vec<(Pass, Observed)>,
    course: Course,
}

impl<A: FnMut(Duration) -> Observed> Run<'_, A> {
    /// Sends what may leave, the classes in turn; gives the time at which something happens next, if anything does.
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
                    Admission::Closed(outage) => {
                        (self.course.ended, self.course.outage) = (self.time, Some(outage));
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
            Observed::Served => &mut self.course.served,
            Observed::Refused(_) => &mut self.course.refused,
            Observed::Failed => &mut self.course.failed,
        };
        counts[self.time.as_secs() as usize] += 1;
        let host = &self.simulation.host;
        self.answered = (self.time + host.round_trip).max(self.answered + host.between_answers);
        self.under_way.push(Reverse((self.answered, number)));
        self.sent.push((pass, observed));
        self.todo -= 1;
        self.course.at_once = self.course.at_once.max(self.under_way.len());
    }

    fn end_pauses(&mut self) {
        while self.pauses.peek().is_some_and(|Reverse(over)| *over <= self.time) {
            self.pauses.pop();
            self.todo += 1;
        }
    }

    /// Takes in one answer that has come; as in the gate, each may let further requests leave.
    fn take_answer(&mut self) {
        if self.under_way.peek().is_none_or(|Reverse((answered, _))| *answered > self.time) {
            return;
        }
        let Some(Reverse((_, number))) = self.under_way.pop() else { return };
        let (pass, observed) = self.sent[number];
        self.limiter.observe(self.start + self.time, pass, observed);
        self.limiter.leave(pass);
        self.course.ended = self.time;
        if observed != Observed::Served && matches!(self.simulation.load, Load::Job(_)) {
            self.pauses.push(Reverse(self.time + PAUSE));
        }
    }
}

/// The mean pause before a request is sent a second time.
const PAUSE: Duration = Duration::from_millis(125);

fn never(_: Duration, _: usize) -> bool {
    false
}

/// Whether the request of a number fails that does so with a probability, the same in each run.
fn by_chance(probability: f64, number: usize) -> bool {
    // SplitMix64.
    let mut x = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 <= probability
}

/// Sends a host for so many seconds as many requests of all `classes` as the limiter admits.
fn run_changing(
    host: Host,
    settings: &HostSettings,
    classes: &[Class],
    seconds: usize,
    quota: impl Fn(f64) -> f64,
) -> Course {
    let load = Load::Endless { classes, seconds };
    let course = Simulation { host, settings: settings.clone(), load, fails: &never }.run_changing(quota);
    assert_eq!(course.outage, None, "given up");
    course
}

fn run(host: Host, seconds: usize) -> Course {
    run_changing(host, &HostSettings::default(), &[Class::Read], seconds, |_| host.per_second)
}
