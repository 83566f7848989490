//! The durations of the phases of a run.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// The durations of the phases that have started. A phase that was abandoned counts until now.
#[derive(Clone, Debug, Default)]
pub struct PhaseTimes {
    ended: BTreeMap<String, Duration>,
    running: BTreeMap<String, Instant>,
}

impl PhaseTimes {
    /// Records the start of a phase.
    pub fn start(&mut self, phase: impl Display) {
        self.running.insert(phase.to_string(), Instant::now());
    }

    /// Records the end of a phase.
    pub fn end(&mut self, phase: impl Display, elapsed: Duration) {
        let name = phase.to_string();
        self.running.remove(&name);
        self.ended.insert(name, elapsed);
    }

    /// Returns the duration of each phase that has started, in seconds.
    pub fn seconds(&self) -> BTreeMap<String, f64> {
        let running = self.running.iter().map(|(name, started)| (name, started.elapsed()));
        let ended = self.ended.iter().map(|(name, elapsed)| (name, *elapsed));
        running.chain(ended).map(|(name, elapsed)| (name.clone(), elapsed.as_secs_f64())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_has_not_ended_counts_until_now() {
        let mut times = PhaseTimes::default();
        times.start("read");
        tokio::time::advance(Duration::from_secs(2)).await;
        times.end("read", Duration::from_secs(2));
        times.start("copy");
        tokio::time::advance(Duration::from_secs(3)).await;
        let expected = [("read".to_owned(), 2.0), ("copy".to_owned(), 3.0)];
        assert_eq!(times.seconds(), BTreeMap::from(expected));
    }
}
