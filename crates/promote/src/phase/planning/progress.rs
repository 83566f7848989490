//! Tracks which hosts serve requests while they are listed, and determines late hosts, for which the others need not wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use oci::Host;
use tokio::time::{Instant, sleep};

/// The interval between checks for late hosts.
const LOOK: Duration = Duration::from_millis(50);

/// The hosts that are being listed.
pub(super) struct Progress<'a> {
    began: Instant,
    hosts: HashMap<&'a Host, Course>,
}

/// The progress of one host.
struct Course {
    /// The number of repositories still to be listed.
    left: AtomicUsize,
    /// When the host last answered, in milliseconds since the start. Initially 0.
    heard: AtomicU64,
    /// Whether the host is only a destination, so that other hosts can be promoted to without it.
    is_destination_only: bool,
}

impl<'a> Progress<'a> {
    /// Starts tracking. Each repository is given by its host and whether it is only a destination.
    pub(super) fn new(repositories: impl Iterator<Item = (&'a Host, bool)>) -> Self {
        let mut hosts: HashMap<&Host, Course> = HashMap::new();
        for (host, is_destination_only) in repositories {
            let new = Course { left: 0.into(), heard: 0.into(), is_destination_only: true };
            let course = hosts.entry(host).or_insert(new);
            *course.left.get_mut() += 1;
            course.is_destination_only &= is_destination_only;
        }
        Self { began: Instant::now(), hosts }
    }

    /// Returns a function to call for every part of an answer of a host.
    pub(super) fn listener(&self, host: &Host) -> impl Fn() + use<'_> {
        let course = self.hosts.get(host);
        move || {
            if let Some(course) = course {
                course.heard.fetch_max(self.now(), Relaxed);
            }
        }
    }

    /// Records that a repository was listed or could not be. Answers of the host are recorded by its listener.
    pub(super) fn ended(&self, host: &Host) {
        if let Some(course) = self.hosts.get(host) {
            // Guards against underflow if a repository was not counted.
            let _ = course.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        }
    }

    /// Waits until everything is listed except destination-only hosts that have served nothing for `late_after`, and returns
    /// these hosts. `last_served` returns when a host last served any request: a refusal for a rate limit is not counted.
    pub(super) async fn late_hosts(
        &self,
        late_after: Duration,
        last_served: impl Fn(&Host) -> Option<std::time::Instant>,
    ) -> Vec<Host> {
        loop {
            sleep(LOOK).await;
            for (host, course) in &self.hosts {
                let since = last_served(host).map(|at| at.saturating_duration_since(self.began.into_std()));
                let millis = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
                course.heard.fetch_max(millis, Relaxed);
            }
            if let Some(late) = self.late_now(late_after) {
                return late;
            }
        }
    }

    fn late_now(&self, late_after: Duration) -> Option<Vec<Host>> {
        let (open, done): (Vec<_>, Vec<_>) =
            self.hosts.iter().partition(|(_, course)| course.left.load(Relaxed) > 0);
        // Without another destination, no promotion could start in the meantime.
        if !done.iter().any(|(_, course)| course.is_destination_only) {
            return None;
        }
        let now = self.now();
        let is_late = |course: &Course| {
            let silent = Duration::from_millis(now.saturating_sub(course.heard.load(Relaxed)));
            course.is_destination_only && silent >= late_after
        };
        let all = !open.is_empty() && open.iter().all(|(_, course)| is_late(course));
        all.then(|| open.into_iter().map(|(host, _)| Host::clone(host)).collect())
    }

    /// Returns the milliseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LATE_AFTER: Duration = Duration::from_secs(30);

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    async fn seconds(seconds: u64) {
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_host_that_has_answered_nothing_for_the_whole_time_is_late() {
        let (staging, fast, slow) = (host("s.io"), host("a.io"), host("b.io"));
        let progress = Progress::new([(&staging, false), (&fast, true), (&slow, true)].into_iter());
        progress.ended(&staging);
        progress.ended(&fast);
        seconds(29).await;
        assert_eq!(progress.late_now(LATE_AFTER), None);
        seconds(1).await;
        assert_eq!(progress.late_now(LATE_AFTER), Some(vec![slow]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_slow_but_answers_is_waited_for() {
        let (fast, slow) = (host("a.io"), host("b.io"));
        let progress = Progress::new([(&fast, true), (&slow, true), (&slow, true)].into_iter());
        let piece = progress.listener(&slow);
        progress.ended(&fast);
        for _ in 0..100 {
            seconds(29).await;
            piece();
            assert_eq!(progress.late_now(LATE_AFTER), None);
        }
        progress.ended(&slow);
        seconds(30).await;
        assert_eq!(progress.late_now(LATE_AFTER), Some(vec![slow.clone()]), "it no longer answers");
        piece();
        assert_eq!(progress.late_now(LATE_AFTER), None, "it answers again");
        progress.ended(&slow);
        seconds(600).await;
        assert_eq!(progress.late_now(LATE_AFTER), None, "all are listed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_host_is_waited_for_while_others_are_still_listed() {
        let (fast, slow, silent) = (host("a.io"), host("b.io"), host("c.io"));
        let progress = Progress::new([(&fast, true), (&slow, true), (&silent, true)].into_iter());
        progress.ended(&fast);
        seconds(60).await;
        progress.listener(&slow)();
        assert_eq!(progress.late_now(LATE_AFTER), None);
        progress.ended(&slow);
        assert_eq!(progress.late_now(LATE_AFTER), Some(vec![silent]));
    }

    #[tokio::test(start_paused = true)]
    async fn staging_and_the_only_destination_are_always_waited_for() {
        let (staging, only) = (host("s.io"), host("a.io"));
        let progress = Progress::new([(&staging, false), (&only, true)].into_iter());
        progress.ended(&only);
        seconds(600).await;
        assert_eq!(progress.late_now(LATE_AFTER), None, "nothing can be promoted without staging");
        let progress = Progress::new([(&staging, false), (&only, true)].into_iter());
        progress.ended(&staging);
        seconds(600).await;
        assert_eq!(progress.late_now(LATE_AFTER), None, "there is no other destination");
    }

    #[tokio::test(start_paused = true)]
    async fn late_hosts_are_returned_when_their_time_is_over() {
        let (fast, silent) = (host("a.io"), host("b.io"));
        let progress = Progress::new([(&fast, true), (&silent, true)].into_iter());
        progress.ended(&fast);
        assert_eq!(progress.late_hosts(LATE_AFTER, |_| None).await, vec![silent.clone()]);
        assert!(progress.began.elapsed() >= LATE_AFTER);
    }
}
