//! The progress of a run, from its events and from the door.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use promote::{Event, Phase};
use transport::{Queue, Tally};

use super::super::human::{bytes, count, counted_of, duration};

/// The time over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// The remaining time is shown only after this part of a phase; before that, the estimate is too uncertain.
const SETTLED: Duration = Duration::from_secs(3);
/// A host that has been silent for this long is shown.
const SILENT: Duration = Duration::from_secs(5);
/// A host that rests for less than this is only paced, and is not shown.
const LONG_REST: Duration = Duration::from_secs(1);
/// A host in trouble is shown until it has served requests for this long without another failure, so that its line does not flicker
/// with each attempt.
const RECOVERED: Duration = Duration::from_secs(5);
/// After this long without progress, no remaining time is shown.
const STALLED: Duration = Duration::from_secs(5);
/// A host is behind when its share is lower than that of all hosts by this many percent.
const BEHIND: u64 = 20;
/// The maximum number of hosts that are shown.
const HOSTS_SHOWN: usize = 4;

/// A sample of the door's state.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// The time since the start of the run.
    pub(super) now: Duration,
    pub(super) queues: Vec<Queue>,
    pub(super) tally: Tally,
    /// For each host with requests under way, how long it has been silent.
    pub(super) silent: BTreeMap<String, Duration>,
    /// For each host that has served a request, how long ago it last did.
    pub(super) served: BTreeMap<String, Duration>,
}

/// The work of a phase, in one unit.
#[derive(Clone, Debug)]
struct Work {
    /// `None` if the run has no phases, such as a snapshot.
    phase: Option<Phase>,
    began: Duration,
    units: &'static str,
    done: usize,
    all: usize,
}

impl Work {
    /// Returns whether there is something to show. A run without phases does not report its end.
    fn goes_on(&self) -> bool {
        self.phase.is_some() || self.done < self.all
    }
}

/// The part of a host in the promotion.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    done: usize,
    all: usize,
}

/// The known failures of a host.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    /// The number of requests that were refused, failed, or had no answer.
    number: u64,
    /// When the last of them was noticed.
    at: Duration,
    /// Whether the host refuses requests for their rate, rather than failing, if it is in trouble: requests had to wait for it.
    refuses: Option<bool>,
}

/// The progress of a run.
#[derive(Debug, Default)]
pub(super) struct State {
    work: Option<Work>,
    /// The bytes of the blobs that are in their repositories, of those that are to be there.
    bytes: (u64, u64),
    hosts: BTreeMap<String, Share>,
    troubles: BTreeMap<String, Trouble>,
    /// The bytes that were sent until a time, over the last seconds.
    sent: VecDeque<(Duration, u64)>,
    /// When there was progress last: an event, bytes sent, or a request served.
    moved: Duration,
}

impl State {
    /// Records an event at this time since the start of the run.
    pub(super) fn observe(&mut self, event: &Event, now: Duration) {
        self.moved = now;
        match event {
            Event::Started(phase) => {
                self.work = Some(Work { phase: Some(*phase), began: now, units: "", done: 0, all: 0 });
                self.bytes = (0, 0);
                self.hosts.clear();
                self.sent.clear();
            }
            Event::Ended { .. } => self.work = None,
            Event::Work { units, more } => self.found(units, *more, now),
            Event::Worked => {
                if let Some(work) = &mut self.work {
                    work.done += 1;
                }
            }
            Event::ToPromote { host, images, bytes } => {
                self.hosts.entry(host.api().to_owned()).or_default().all += images;
                self.bytes.1 = self.bytes.1.saturating_add(*bytes);
            }
            Event::Blob { size, .. } => self.bytes.0 = self.bytes.0.saturating_add(*size),
            Event::Promoted(promotion, _) | Event::Failed(promotion, _) | Event::Withheld(promotion, _) => {
                if let Some(share) = self.hosts.get_mut(promotion.destination.host.api()) {
                    share.done += 1;
                }
            }
            _ => {}
        }
    }

    /// Adds work. If the unit of a phase changes, counting starts again.
    fn found(&mut self, units: &'static str, more: usize, now: Duration) {
        let phase = self.work.as_ref().and_then(|work| work.phase);
        match &mut self.work {
            Some(work) if work.units == units => work.all += more,
            _ => self.work = Some(Work { phase, began: now, units, done: 0, all: more }),
        }
    }

    /// Returns the lines for a terminal: the phase, and each host that the run waits for or that is behind. Empty between
    /// phases.
    pub(super) fn lines(&mut self, look: &Look) -> Vec<String> {
        self.learn(look);
        let Some(work) = self.work.as_ref().filter(|work| work.goes_on()) else { return Vec::new() };
        let mut lines = vec![self.phase(work, look)];
        lines.extend(self.hosts_to_name(look).into_iter().map(|line| format!("           {line}")));
        lines
    }

    /// Returns the line for a log. Empty between phases.
    pub(super) fn line(&mut self, look: &Look) -> Option<String> {
        self.learn(look);
        let work = self.work.as_ref().filter(|work| work.goes_on())?;
        let line = self.phase(work, look);
        let hosts = self.hosts_to_name(look);
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        Some([line].into_iter().chain(hosts).collect::<Vec<_>>().join("; "))
    }

    /// Records the changes between samples.
    fn learn(&mut self, look: &Look) {
        let sent = look.tally.values().fold(0, |sum: u64, host| sum.saturating_add(host.sent));
        if self.sent.back().is_some_and(|(_, before)| *before < sent) {
            self.moved = look.now;
        }
        let served = look.served.values().min().map(|ago| look.now.saturating_sub(*ago));
        self.moved = self.moved.max(served.unwrap_or_default());
        self.sent.push_back((look.now, sent));
        while self.sent.len() > 2 && self.sent[1].0 + WINDOW <= look.now {
            self.sent.pop_front();
        }
        for (host, numbers) in &look.tally {
            let trouble = self.troubles.entry(host.clone()).or_default();
            let number = numbers.refused + numbers.faults + numbers.unanswered;
            if number > trouble.number {
                (trouble.number, trouble.at) = (number, look.now);
            }
            let served = look.served.get(host).map(|ago| look.now.saturating_sub(*ago));
            let is_idle =
                !look.silent.contains_key(host) && !look.queues.iter().any(|queue| queue.host == *host);
            let is_calm = trouble.at + RECOVERED <= look.now;
            if is_calm && (is_idle || served.is_some_and(|served| served > trouble.at)) {
                trouble.refuses = None;
            }
        }
        for queue in look.queues.iter().filter(|queue| queue.requests > 0 && queue.rests >= LONG_REST) {
            self.troubles.entry(queue.host.clone()).or_default().refuses = Some(queue.refuses);
        }
    }

    /// Describes the phase: its progress, the rate, and the remaining time.
    fn phase(&self, work: &Work, look: &Look) -> String {
        let Work { phase, began, units, done, all } = work;
        let mut parts = Vec::new();
        if *all > 0 {
            parts.push(counted_of(*done, *all, units));
        }
        let (moved, to_move) = self.bytes;
        let is_promotion = *phase == Some(Phase::Promote) && to_move > 0;
        if is_promotion {
            parts.push(format!("{} of {}", bytes(moved.min(to_move)), bytes(to_move)));
            parts.push(format!("{}/s", bytes(self.rate())));
        }
        let elapsed = look.now.saturating_sub(*began);
        let still = look.now.saturating_sub(self.moved.max(*began));
        let units = (*done as u64, *all as u64);
        // When all blobs are there, manifests and tags are not.
        let by_bytes = left(elapsed, (moved, to_move)).filter(|_| is_promotion);
        let estimate = by_bytes.or_else(|| left(elapsed, units));
        // What waits for a host takes at least as long as the host rests.
        let rest = look.queues.iter().map(|queue| queue.rests).max().unwrap_or_default();
        parts.push(match estimate.filter(|left| *left > rest) {
            _ if still >= STALLED => format!("no progress for {}", duration(still)),
            Some(left) => format!("{} left", duration(left)),
            None => format!("{} elapsed", duration(elapsed)),
        });
        let name = phase.map_or_else(|| "reading".to_owned(), |phase| phase.to_string());
        format!("{name:>10} {}", parts.join(", "))
    }

    /// Returns the bytes that are sent in a second.
    fn rate(&self) -> u64 {
        let (Some((began, first)), Some((now, last))) = (self.sent.front(), self.sent.back()) else {
            return 0;
        };
        let milliseconds = u64::try_from(now.saturating_sub(*began).as_millis()).unwrap_or(u64::MAX);
        last.saturating_sub(*first).saturating_mul(1000).checked_div(milliseconds).unwrap_or_default()
    }

    /// Describes the hosts that the run waits for, and those that are behind the others.
    fn hosts_to_name(&self, look: &Look) -> Vec<String> {
        let (done, all) =
            self.hosts.values().fold((0, 0), |(done, all), share| (done + share.done, all + share.all));
        let share_of = |done: usize, all: usize| (done as u64 * 100).checked_div(all as u64).unwrap_or(100);
        // Hosts that the run waits for come before slow ones.
        let mut named: BTreeMap<&str, ((u8, u64), String)> = BTreeMap::new();
        for (host, share) in &self.hosts {
            let percent = share_of(share.done, share.all);
            if percent + BEHIND <= share_of(done, all) {
                named.insert(host, ((2, percent), "behind the others".to_owned()));
            }
        }
        let percent_of = |host: &str| self.hosts.get(host).map_or(0, |share| share_of(share.done, share.all));
        for (host, silent) in look.silent.iter().filter(|(_, silent)| **silent >= SILENT) {
            named.insert(host, ((1, percent_of(host)), format!("no answer for {} s", silent.as_secs())));
        }
        let troubles = self.troubles.iter().filter_map(|(host, trouble)| Some((host, trouble.refuses?)));
        for (host, refuses) in troubles {
            let what = if refuses { "rate limited" } else { "failing" };
            let rest = look.queues.iter().find(|queue| queue.host == *host).map(|queue| queue.rests);
            if rest.is_none() && named.get(host.as_str()).is_some_and(|((rank, _), _)| *rank == 1) {
                continue;
            }
            let next = match rest.filter(|rest| !rest.is_zero()) {
                Some(rest) => format!("next try in {} s", rest.as_secs_f64().ceil()),
                None => "trying again".to_owned(),
            };
            named.insert(host, ((0, percent_of(host)), format!("{what}, {next}")));
        }
        let mut named: Vec<(&str, (u8, u64), String)> =
            named.into_iter().map(|(host, (rank, text))| (host, rank, text)).collect();
        named.sort_by_key(|(_, rank, _)| *rank);
        let hidden = named.len().saturating_sub(HOSTS_SHOWN);
        let lines = named.into_iter().take(HOSTS_SHOWN).map(|(host, _, text)| {
            let share = self.hosts.get(host).filter(|share| share.all > 0);
            // The problem comes first, then the progress of the host.
            match (share, text.split_once(", ")) {
                (Some(Share { done, all }), Some((what, next))) => {
                    format!("{host}: {what}, {} of {}, {next}", count(*done), count(*all))
                }
                (Some(Share { done, all }), None) => {
                    format!("{host}: {text}, {} of {}", count(*done), count(*all))
                }
                (None, _) => format!("{host}: {text}"),
            }
        });
        let more = (hidden > 0).then(|| format!("and {} more", count(hidden)));
        lines.chain(more).collect()
    }
}

/// Estimates the remaining time, in proportion to the work done so far. Returns `None` if it is unknown or less than a second.
fn left(elapsed: Duration, (done, all): (u64, u64)) -> Option<Duration> {
    if done == 0 || done >= all || elapsed < SETTLED {
        return None;
    }
    let seconds = u128::from(elapsed.as_secs().max(1)) * u128::from(all - done) / u128::from(done);
    // "0.0 s left" would be told for as long as the last units take.
    (seconds > 0).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use oci::{Copied, Repository};
    use promote::Promotion;
    use transport::HostTally;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn promotion(host: &str) -> Promotion {
        let destination: Repository = format!("{host}/prod/app").parse().unwrap();
        let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        Promotion { source: destination.at(digest), destination, tags: Vec::new() }
    }

    fn tally(host: &str, sent: u64, refused: u64) -> Tally {
        [(host.to_owned(), HostTally { sent, refused, ..HostTally::default() })].into()
    }

    fn queue(milliseconds: u64, refuses: bool) -> Queue {
        let (host, rests) = ("r.example".to_owned(), Duration::from_millis(milliseconds));
        Queue { host, requests: 3, rests, refuses, is_quota: false }
    }

    fn promoting(hosts: &[(&str, usize, u64)]) -> State {
        let mut state = State::default();
        state.observe(&Event::Started(Phase::Promote), Duration::ZERO);
        state.observe(&Event::Work { units: "images", more: 10 }, Duration::ZERO);
        for (host, images, bytes) in hosts {
            let host = host.parse().unwrap();
            state.observe(&Event::ToPromote { host, images: *images, bytes: *bytes }, Duration::ZERO);
        }
        state
    }

    #[test]
    fn a_promotion_shows_bytes_of_all_bytes_the_rate_and_the_time_left() {
        let mut state = promoting(&[("r.example", 10, 4 << 30)]);
        let look = |seconds: u32, sent| Look {
            now: SECOND * seconds,
            tally: tally("r.example", sent, 0),
            ..Look::default()
        };
        assert_eq!(
            state.lines(&look(0, 0)),
            ["   promote 0 of 10 images, 0 B of 4.0 GiB, 0 B/s, 0.0 s elapsed"]
        );
        let destination = promotion("r.example").destination;
        state.observe(&Event::Blob { destination, size: 1 << 30, sent: true }, SECOND * 10);
        state.observe(&Event::Worked, SECOND * 10);
        let lines = state.lines(&look(10, 1 << 30));
        assert_eq!(lines, ["   promote 1 of 10 images, 1.0 GiB of 4.0 GiB, 102.3 MiB/s, 30.0 s left"]);
        state.observe(&Event::Ended { phase: Phase::Promote, elapsed: SECOND }, SECOND * 11);
        assert!(state.lines(&look(11, 1 << 30)).is_empty(), "between phases there is nothing to show");
    }

    #[test]
    fn a_host_that_is_waited_for_has_a_line() {
        let mut state = promoting(&[("r.example", 980, 0), ("s.example", 4, 0)]);
        (0..412)
            .for_each(|_| state.observe(&Event::Promoted(promotion("r.example"), Copied::default()), SECOND));
        let look =
            Look { tally: tally("r.example", 0, 7), queues: vec![queue(3_200, true)], ..Look::default() };
        let lines = state.lines(&look);
        assert_eq!(lines[1].trim_start(), "r.example: rate limited, 412 of 980, next try in 4 s");
        assert!(lines[2].contains("s.example: behind the others, 0 of 4"), "{lines:?}");
        let line = state.line(&look).unwrap();
        assert!(
            line.starts_with("promote 0 of 10 images, ") && line.contains("; r.example: rate limited"),
            "{line}"
        );
        assert!(!line.contains('\n') && !line.contains("  "), "{line}");
    }

    #[test]
    fn a_host_that_fails_or_is_silent_is_not_called_rate_limited() {
        let mut state = promoting(&[("r.example", 2, 0), ("s.example", 2, 0)]);
        let failing = HostTally { faults: 3, ..HostTally::default() };
        let look = Look {
            tally: [("r.example".to_owned(), failing)].into(),
            queues: vec![queue(2_000, false)],
            silent: [("s.example".to_owned(), SECOND * 12)].into(),
            ..Look::default()
        };
        let lines = state.lines(&look).join("\n");
        assert!(lines.contains("r.example: failing, 0 of 2, next try in 2 s"), "{lines}");
        assert!(lines.contains("s.example: no answer for 12 s, 0 of 2"), "{lines}");
        let mut state = promoting(&[("r.example", 2, 0)]);
        let paced = Look { queues: vec![queue(900, true)], ..Look::default() };
        assert_eq!(state.lines(&paced).len(), 1, "a short rest is the limit");
    }

    /// The host rests for two seconds after each attempt, and is looked at in between, too.
    #[test]
    fn a_host_is_named_until_it_serves_requests_again() {
        let mut state = State::default();
        state.observe(&Event::Started(Phase::Plan), Duration::ZERO);
        state.observe(&Event::Work { units: "repositories", more: 9 }, Duration::ZERO);
        let named = |state: &mut State, now: u32, failures, queues: &[Queue], served: Option<u32>| {
            let numbers = HostTally { faults: failures, ..HostTally::default() };
            let look = Look {
                now: SECOND * now,
                tally: [("r.example".to_owned(), numbers)].into(),
                queues: queues.to_vec(),
                silent: [("r.example".to_owned(), Duration::ZERO)].into(),
                served: served.map(|ago| ("r.example".to_owned(), SECOND * ago)).into_iter().collect(),
            };
            state.lines(&look).get(1).map(|line| line.trim().to_owned()).unwrap_or_default()
        };
        let resting = [queue(2_000, false)];
        assert_eq!(named(&mut state, 1, 1, &[], None), "", "one failure is none of the host");
        for round in 0..5 {
            let (now, failures) = (2 + round * 2, 2 + u64::from(round));
            let line = named(&mut state, now, failures, &resting, None);
            assert_eq!(line, "r.example: failing, next try in 2 s");
            assert_eq!(named(&mut state, now + 1, failures, &[], None), "r.example: failing, trying again");
        }
        assert_ne!(named(&mut state, 14, 6, &[], Some(0)), "", "it has served one request");
        assert_eq!(named(&mut state, 17, 6, &[], Some(0)), "");
    }

    #[test]
    fn a_silent_host_is_named_in_every_phase() {
        for phase in [Some(Phase::Plan), None] {
            let mut state = State::default();
            phase.iter().for_each(|phase| state.observe(&Event::Started(*phase), Duration::ZERO));
            state.observe(&Event::Work { units: "repositories", more: 9 }, Duration::ZERO);
            let silent = |seconds: u32| Look {
                now: SECOND * seconds,
                silent: [("r.example".to_owned(), SECOND * seconds)].into(),
                ..Look::default()
            };
            assert_eq!(state.lines(&silent(4)).len(), 1);
            let lines = state.lines(&silent(12));
            assert_eq!(lines[1].trim_start(), "r.example: no answer for 12 s");
            assert!(lines[0].ends_with("0 of 9 repositories, no progress for 12.0 s"), "{lines:?}");
        }
    }

    #[test]
    fn no_time_is_told_that_cannot_be_true() {
        let mut state = State::default();
        state.observe(&Event::Started(Phase::Plan), Duration::ZERO);
        state.observe(&Event::Work { units: "repositories", more: 9 }, Duration::ZERO);
        (0..6).for_each(|_| state.observe(&Event::Worked, SECOND * 6));
        let told =
            |state: &mut State, look: Look| state.lines(&look)[0].rsplit(", ").next().unwrap().to_owned();
        let at = |seconds: u32| Look { now: SECOND * seconds, ..Look::default() };
        assert_eq!(told(&mut state, at(8)), "4.0 s left");
        let resting = Look { queues: vec![queue(11_000, true)], ..at(8) };
        assert_eq!(told(&mut state, resting), "8.0 s elapsed", "it takes eleven seconds at least");
        assert_eq!(told(&mut state, at(20)), "no progress for 14.0 s");
        let served = Look { served: [("r.example".to_owned(), SECOND)].into(), ..at(20) };
        assert_eq!(told(&mut state, served), "10.0 s left", "a long list is read");

        let mut state = promoting(&[("r.example", 10, 100)]);
        let destination = promotion("r.example").destination;
        state.observe(&Event::Blob { destination, size: 100, sent: true }, SECOND * 9);
        (0..7).for_each(|_| state.observe(&Event::Worked, SECOND * 9));
        assert_eq!(told(&mut state, at(9)), "3.0 s left", "all bytes are there, and three images are not");
    }

    #[test]
    fn many_hosts_are_counted() {
        let mut state = promoting(&[]);
        let queues = (0..22).map(|number| Queue { host: format!("r{number}.example"), ..queue(1_000, true) });
        let lines = state.lines(&Look { queues: queues.collect(), ..Look::default() });
        assert_eq!((lines.len(), lines[5].trim_start()), (6, "and 18 more"));
    }

    #[test]
    fn other_phases_count_their_units_and_begin_anew_with_others() {
        let mut state = State::default();
        state.observe(&Event::Started(Phase::Sign), Duration::ZERO);
        state.observe(&Event::Work { units: "signatures", more: 1_000 }, Duration::ZERO);
        (0..250).for_each(|_| state.observe(&Event::Worked, SECOND * 20));
        let at = |seconds: u32| Look { now: SECOND * seconds, ..Look::default() };
        assert_eq!(state.lines(&at(20)), ["      sign 250 of 1,000 signatures, 1 min 0 s left"]);
        state.observe(&Event::Work { units: "manifests", more: 1 }, SECOND * 30);
        assert_eq!(state.line(&at(31)).unwrap(), "sign 0 of 1 manifest, 1.0 s elapsed");
    }

    #[test]
    fn what_has_no_phases_is_shown_too() {
        let mut state = State::default();
        state.observe(&Event::Work { units: "repositories", more: 8 }, Duration::ZERO);
        state.observe(&Event::Worked, SECOND);
        let line = state.line(&Look::default()).unwrap();
        assert!(line.starts_with("reading 1 of 8 repositories"), "{line}");
        (0..7).for_each(|_| state.observe(&Event::Worked, SECOND));
        assert_eq!(state.line(&Look::default()), None, "all is read");
    }
}
