//! The requests of each host over time, in a bounded number of buckets.

use std::collections::BTreeMap;
use std::time::Duration;

/// The maximum number of buckets of a host.
pub const BUCKETS_MAX: usize = 120;
/// The initial width of a bucket. It doubles whenever a host would need more than [`BUCKETS_MAX`].
const FIRST_WIDTH: Duration = Duration::from_millis(100);

/// The requests to a host during one bucket. The sums over all buckets are the counts of [`crate::HostTally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Requests that were sent.
    pub requests: u64,
    /// Answers that refused a request because of a rate limit.
    pub refused: u64,
    /// Answers with 408 or another temporary 5xx.
    pub faults: u64,
    /// Requests that ended without an answer.
    pub unanswered: u64,
}

/// The buckets of all hosts. They have the same width and begin when the door was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The time since the door was opened, which is when the first bucket begins.
    pub age: Duration,
    /// The width of a bucket: 100 ms times a power of two.
    pub width: Duration,
    /// The buckets by host, [`BUCKETS_MAX`] at most.
    pub hosts: BTreeMap<String, Vec<Bucket>>,
}

/// Collects the buckets of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    /// How often the width was doubled.
    doubled: u32,
    buckets: Vec<Bucket>,
}

impl Recorder {
    /// Returns the bucket of a time after the door was opened.
    pub(crate) fn at(&mut self, since: Duration) -> &mut Bucket {
        let index = loop {
            let index = since.as_millis() / width(self.doubled).as_millis();
            match usize::try_from(index) {
                Ok(index) if index < BUCKETS_MAX => break index,
                _ => self.widen(self.doubled + 1),
            }
        };
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, Bucket::default());
        }
        &mut self.buckets[index]
    }

    /// Joins buckets until their width was doubled this often.
    fn widen(&mut self, doubled: u32) {
        while self.doubled < doubled {
            self.doubled += 1;
            let pairs = self.buckets.chunks(2);
            self.buckets =
                pairs.map(|pair| pair.iter().copied().fold(Bucket::default(), Bucket::and)).collect();
        }
    }
}

impl Bucket {
    const fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            refused: self.refused + other.refused,
            faults: self.faults + other.faults,
            unanswered: self.unanswered + other.unanswered,
        }
    }
}

/// Returns the width of a bucket that was doubled this often.
const fn width(doubled: u32) -> Duration {
    // After 31 doublings the buckets cover 800 years, longer than any process runs. The limit keeps the shift from overflowing.
    FIRST_WIDTH.saturating_mul(1 << if doubled < 31 { doubled } else { 31 })
}

impl Timeline {
    /// Joins the buckets of hosts: all get the width of the widest.
    pub(crate) fn of(age: Duration, hosts: impl IntoIterator<Item = (String, Recorder)>) -> Self {
        let mut hosts: Vec<(String, Recorder)> = hosts.into_iter().collect();
        let doubled = hosts.iter().map(|(_, recorder)| recorder.doubled).max().unwrap_or_default();
        hosts.iter_mut().for_each(|(_, recorder)| recorder.widen(doubled));
        let hosts = hosts.into_iter().map(|(host, recorder)| (host, recorder.buckets)).collect();
        Self { age, width: width(doubled), hosts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(times: impl IntoIterator<Item = u64>) -> Recorder {
        let mut recorder = Recorder::default();
        times.into_iter().for_each(|millis| recorder.at(Duration::from_millis(millis)).requests += 1);
        recorder
    }

    fn requests(recorder: &Recorder) -> Vec<u64> {
        recorder.buckets.iter().map(|bucket| bucket.requests).collect()
    }

    #[test]
    fn a_bucket_counts_the_requests_of_its_span() {
        assert_eq!(requests(&recorder([0, 99, 100, 350])), [2, 1, 0, 1]);
    }

    #[test]
    fn buckets_become_wider_instead_of_more_and_lose_no_request() {
        let day = 24 * 3600 * 1000;
        let recorder = recorder((0..day).step_by(10_000));
        assert!(recorder.buckets.len() <= BUCKETS_MAX && recorder.buckets.len() > BUCKETS_MAX / 2);
        assert_eq!(requests(&recorder).iter().sum::<u64>(), day / 10_000);
        let width = u64::try_from(width(recorder.doubled).as_millis()).unwrap();
        assert_eq!(
            requests(&recorder)[0],
            width.div_ceil(10_000),
            "a bucket counts the requests of its whole width"
        );
    }

    #[test]
    fn any_time_has_a_bucket() {
        let mut recorder = recorder([0]);
        recorder.at(Duration::from_secs(20 * 365 * 24 * 3600)).faults += 1;
        assert!(recorder.buckets.len() <= BUCKETS_MAX);
        assert_eq!((recorder.buckets[0].requests, recorder.buckets.last().unwrap().faults), (1, 1));
    }

    #[test]
    fn all_hosts_of_a_timeline_have_one_width() {
        let (short, long) = (recorder([0, 150]), recorder([0, 20_000]));
        let timeline = Timeline::of(Duration::ZERO, [("short".to_owned(), short), ("long".to_owned(), long)]);
        assert_eq!(timeline.width, Duration::from_millis(200));
        assert_eq!(timeline.hosts["short"].len(), 1);
        assert_eq!(timeline.hosts["short"][0].requests, 2);
        assert_eq!((timeline.hosts["long"].len(), timeline.hosts["long"][100].requests), (101, 1));
        assert_eq!(Timeline::of(Duration::ZERO, []).width, FIRST_WIDTH);
    }
}
