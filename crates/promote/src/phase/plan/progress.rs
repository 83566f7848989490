//! Who is still being listed: whether the others have to wait for a host that does not answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oci::Host;
use tokio::time::{Instant, sleep};

/// The least time that a host has, after all others are done, to get on.
const LEAST_GRACE: Duration = Duration::from_millis(500);
/// How often it is looked whether anybody still gets on.
const LOOK: Duration = Duration::from_millis(50);

/// The hosts that are being listed.
pub(super) struct Progress<'a> {
    began: Instant,
    hosts: Mutex<HashMap<&'a Host, Course>>,
}

/// How far a host has come.
#[derive(Clone, Copy)]
struct Course {
    /// Repositories still to be listed.
    left: usize,
    /// When the last one was.
    moved: Instant,
    /// Whether others can do without it: nothing comes from it.
    is_destination_only: bool,
}

impl<'a> Progress<'a> {
    /// Nothing is listed yet. Each repository counts with its host, and with whether nothing is promoted from it.
    pub(super) fn new(repositories: impl Iterator<Item = (&'a Host, bool)>) -> Self {
        let began = Instant::now();
        let mut hosts: HashMap<&Host, Course> = HashMap::new();
        for (host, is_destination_only) in repositories {
            let none = Course { left: 0, moved: began, is_destination_only: true };
            let course = hosts.entry(host).or_insert(none);
            course.left += 1;
            course.is_destination_only &= is_destination_only;
        }
        Self { began, hosts: Mutex::new(hosts) }
    }

    /// Takes note that a repository is listed, or cannot be.
    pub(super) fn moved(&self, host: &Host) {
        if let Some(course) = self.hosts().get_mut(host) {
            course.left = course.left.saturating_sub(1);
            course.moved = Instant::now();
        }
    }

    /// Ends when nobody is left but hosts that others can do without and that do not get on; then gives them.
    pub(super) async fn stragglers(&self) -> Vec<Host> {
        loop {
            sleep(LOOK).await;
            if let Some(stragglers) = self.look(Instant::now()) {
                return stragglers;
            }
        }
    }

    fn look(&self, now: Instant) -> Option<Vec<Host>> {
        let hosts = self.hosts();
        let (open, done): (Vec<_>, Vec<_>) = hosts.iter().partition(|(_, course)| course.left > 0);
        // Somebody has to be there whom the others keep waiting.
        let others_done = done
            .iter()
            .filter(|(_, course)| course.is_destination_only)
            .map(|(_, course)| course.moved)
            .max()?;
        let all_done = done.iter().map(|(_, course)| course.moved).max()?.max(others_done);
        let grace = LEAST_GRACE.max((all_done - self.began) / 2);
        let straggles = |course: &Course| {
            course.is_destination_only && now.saturating_duration_since(course.moved.max(all_done)) >= grace
        };
        let all = !open.is_empty() && open.iter().all(|(_, course)| straggles(course));
        all.then(|| open.into_iter().map(|(host, _)| Host::clone(host)).collect())
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<&'a Host, Course>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_get_on_is_left_behind_when_the_others_are_done() {
        let (staging, fast, slow) = (host("s.io"), host("a.io"), host("b.io"));
        let progress =
            Progress::new([(&staging, false), (&fast, true), (&slow, true), (&slow, true)].into_iter());
        let seconds = Duration::from_secs;
        advance(seconds(4)).await;
        progress.moved(&staging);
        assert_eq!(progress.look(Instant::now() + seconds(60)), None, "nobody is done whom it keeps waiting");
        progress.moved(&fast);
        assert_eq!(
            progress.look(Instant::now() + seconds(1)),
            None,
            "half of what the others took is its grace"
        );
        assert_eq!(progress.look(Instant::now() + seconds(2)), Some(vec![slow.clone()]));
        advance(seconds(1)).await;
        progress.moved(&slow);
        assert_eq!(progress.look(Instant::now() + seconds(1)), None, "it gets on");
        progress.moved(&slow);
        assert_eq!(progress.look(Instant::now() + seconds(60)), None, "all are done");
    }

    #[tokio::test(start_paused = true)]
    async fn staging_is_never_left_behind() {
        let (staging, fast) = (host("s.io"), host("a.io"));
        let progress = Progress::new([(&staging, false), (&fast, true)].into_iter());
        progress.moved(&fast);
        assert_eq!(progress.look(Instant::now() + Duration::from_secs(600)), None);
    }
}
