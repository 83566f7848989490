//! How many requests a server accepts: token buckets and windows.

use std::time::Duration;

use tokio::time::Instant;

/// The quota of a server for all requests together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Quota {
    /// Any number of requests.
    #[default]
    Unlimited,
    /// One allowance for all requests.
    Shared(Allowance),
    /// Separate allowances for requests that read and requests that write. `None` sets no limit.
    Separate {
        /// For `GET` and `HEAD`, token requests included.
        reads: Option<Allowance>,
        /// For all requests that change the content of the registry.
        writes: Option<Allowance>,
    },
    /// A number of requests in each window of time, as Artifact Registry counts by the minute.
    PerWindow(Window),
}

/// A number of requests in each fixed window of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// How many requests each window admits.
    pub requests: u64,
    /// The length of a window. The first window begins when the quota is set.
    pub length: Duration,
    /// The value of `Retry-After` in a refusal, rounded up to seconds. `None` omits the header.
    pub retry_after: Option<Duration>,
}

/// A rate of requests that permits bursts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The sustained rate, in requests a second.
    pub per_second: f64,
    /// How many requests may arrive at once after a pause.
    pub burst: u32,
    /// The value of `Retry-After` in a refusal, rounded up to seconds. `None` omits the header.
    pub retry_after: Option<Duration>,
}

/// The quota and what is left of it.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    shared: Option<Bucket>,
    reads: Option<Bucket>,
    writes: Option<Bucket>,
    window: Option<Counted>,
}

/// A window and the number of requests that it has admitted.
#[derive(Debug)]
struct Counted {
    window: Window,
    began: Instant,
    admitted: u64,
}

#[derive(Debug)]
struct Bucket {
    allowance: Allowance,
    level: f64,
    filled: Instant,
}

impl Buckets {
    pub(super) fn new(quota: Quota, now: Instant) -> Self {
        let bucket = |allowance| Bucket::new(allowance, now);
        match quota {
            Quota::Unlimited => Self::default(),
            Quota::Shared(allowance) => Self { shared: Some(bucket(allowance)), ..Self::default() },
            Quota::Separate { reads, writes } => {
                Self { reads: reads.map(bucket), writes: writes.map(bucket), ..Self::default() }
            }
            Quota::PerWindow(window) => {
                Self { window: Some(Counted { window, began: now, admitted: 0 }), ..Self::default() }
            }
        }
    }

    /// Takes one request from the quota, or returns the time for `Retry-After`, if the header is sent.
    pub(super) fn take(&mut self, write: bool, now: Instant) -> Result<(), Option<Duration>> {
        if let Some(window) = &mut self.window {
            window.take(now)?;
        }
        let own = if write { &mut self.writes } else { &mut self.reads };
        [&mut self.shared, own].into_iter().flatten().try_for_each(|bucket| bucket.take(now))
    }
}

impl Bucket {
    fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, level: f64::from(allowance.burst), filled: now }
    }

    fn take(&mut self, now: Instant) -> Result<(), Option<Duration>> {
        let gained = now.duration_since(self.filled).as_secs_f64() * self.allowance.per_second;
        self.level = (self.level + gained).min(f64::from(self.allowance.burst));
        self.filled = now;
        if self.level < 1.0 {
            return Err(self.allowance.retry_after);
        }
        self.level -= 1.0;
        Ok(())
    }
}

impl Counted {
    fn take(&mut self, now: Instant) -> Result<(), Option<Duration>> {
        let length = self.window.length.max(Duration::from_millis(1));
        while now.duration_since(self.began) >= length {
            self.began += length;
            self.admitted = 0;
        }
        if self.admitted >= self.window.requests {
            return Err(self.window.retry_after);
        }
        self.admitted += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(buckets: &mut Buckets, write: bool, now: Instant, asked: usize) -> usize {
        (0..asked).filter(|_| buckets.take(write, now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
        let start = Instant::now();
        let allowance = Allowance { per_second: 10.0, burst: 5, retry_after: None };
        let mut buckets = Buckets::new(Quota::Shared(allowance), start);
        assert_eq!(admitted(&mut buckets, false, start, 20), 5, "the burst");
        let later = start + Duration::from_millis(300);
        assert_eq!(
            admitted(&mut buckets, true, later, 20),
            3,
            "the requests of 0.3 s, for reads and writes together"
        );
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(admitted(&mut buckets, false, much_later, 20), 5, "a pause adds no more than the burst");
    }

    #[test]
    fn reads_and_writes_can_have_separate_quotas() {
        let start = Instant::now();
        let writes = Allowance { per_second: 1.0, burst: 2, retry_after: Some(Duration::from_secs(7)) };
        let mut buckets = Buckets::new(Quota::Separate { reads: None, writes: Some(writes) }, start);
        assert_eq!(admitted(&mut buckets, false, start, 50), 50);
        assert_eq!(admitted(&mut buckets, true, start, 50), 2);
        assert_eq!(buckets.take(true, start), Err(Some(Duration::from_secs(7))));
    }

    #[test]
    fn a_window_admits_its_requests_at_once_and_no_more_until_the_next() {
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let window = Window { requests: 7, length: minute, retry_after: None };
        let mut buckets = Buckets::new(Quota::PerWindow(window), start);
        assert_eq!(admitted(&mut buckets, false, start, 20), 7);
        assert_eq!(admitted(&mut buckets, true, start + Duration::from_secs(59), 20), 0);
        assert_eq!(admitted(&mut buckets, true, start + minute, 20), 7, "the next minute");
        assert_eq!(
            admitted(&mut buckets, true, start + minute * 5, 20),
            7,
            "unused minutes do not accumulate"
        );
    }
}
