//! Requests that pause between two attempts, for progress reports to the user.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Shorter pauses are not counted: an unreliable host causes some all the time, and users do not notice them.
const SHORTEST: Duration = Duration::from_secs(1);

/// The pauses of the requests to one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pauses(Arc<Mutex<Vec<Instant>>>);

/// A pause, which ends when it is dropped.
#[derive(Debug)]
struct Pause {
    end: Instant,
    all: Pauses,
}

impl Pauses {
    /// Pauses a request.
    pub(crate) async fn pause(&self, duration: Duration) {
        let end = Instant::now() + duration;
        let _counted = (duration >= SHORTEST).then(|| self.enter(end));
        sleep_until(end).await;
    }

    /// Returns how many requests pause, and when the last of these pauses ends.
    pub(crate) fn waiting(&self) -> (usize, Option<Instant>) {
        let ends = self.ends();
        (ends.len(), ends.iter().max().copied())
    }

    fn enter(&self, end: Instant) -> Pause {
        self.ends().push(end);
        Pause { end, all: self.clone() }
    }

    fn ends(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut ends = self.all.ends();
        if let Some(index) = ends.iter().position(|end| *end == self.end) {
            ends.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_of_a_second_or_longer_are_counted_until_they_end() {
        let pauses = Pauses::default();
        let count = |pauses: &Pauses| pauses.waiting().0;
        let seconds = Duration::from_secs;
        let (long, short) = (pauses.pause(seconds(30)), pauses.pause(Duration::from_millis(900)));
        let look = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            pauses.waiting()
        };
        tokio::pin!(long);
        let (_, _, (requests, until)) = tokio::join!(timeout(seconds(10), &mut long), short, look);
        assert_eq!((requests, count(&pauses)), (1, 1), "the short one is not counted");
        assert_eq!(until.unwrap(), Instant::now() + seconds(20), "ten seconds have passed");
        long.await;
        assert_eq!(pauses.waiting(), (0, None));
        assert!(timeout(seconds(10), pauses.pause(seconds(30))).await.is_err());
        assert_eq!(count(&pauses), 0, "a dropped request no longer pauses");
    }
}
