//! The retry policy, with one budget for each request.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::error::Error;
use crate::limit::Observed;

/// How long callers remember the failure of a service that many of their requests depend on, so that these requests do not all
/// wait for the same failure.
pub const FAILURE_LIFE: Duration = Duration::from_secs(60);

/// The maximum wait that a host can ask for. Longer values are reduced to it.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
/// The maximum number of attempts that end in silence. Each lasts as long as the host may take to answer, which is minutes for a
/// write, so all attempts together would last for an hour.
const SILENCES: u32 = 3;

/// How often and for how long an operation is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// The maximum number of attempts, including the first.
    pub attempts: u32,
    /// The maximum time from the first attempt to the start of the last.
    pub total: Duration,
    /// The upper bound of the first pause. Each further bound is four times as long. The pause itself is random below it (*full
    /// jitter*), so that many clients that were refused at once do not return at once.
    pub first_pause: Duration,
    /// The maximum of these upper bounds.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            total: Duration::from_secs(180),
            first_pause: Duration::from_millis(30),
            longest_pause: Duration::from_secs(20),
        }
    }
}

/// The remainder of a [`Retry`], for a request or for a larger operation that the door cannot repeat, such as a stream.
///
/// Its time starts with the first attempt, so the time in a queue does not count.
#[derive(Debug)]
pub struct Budget {
    retry: Retry,
    /// The maximum pause for a `Retry-After` of the host.
    patience: Duration,
    started: Instant,
    attempts: u32,
    /// Attempts that were refused because of a rate limit. Only time limits them, since the request itself is not at fault.
    refused: u32,
    /// Attempts that ended because no data arrived, or too little.
    silences: u32,
}

impl Budget {
    /// Constructs an unused budget.
    pub fn new(retry: Retry) -> Self {
        Self { retry, patience: retry.total, started: Instant::now(), attempts: 0, refused: 0, silences: 0 }
    }

    /// Limits the pauses for a `Retry-After` of the host to its `patience`
    /// ([`HostSettings::patience`](crate::HostSettings::patience)). Without this, [`Retry::total`] is the limit.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Returns the number of attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the time since the first attempt.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Records progress since the last attempt: the time starts over, but the number of attempts does not.
    pub fn progressed(&mut self) {
        self.started = Instant::now();
    }

    /// Records that an attempt is made.
    pub fn attempt(&mut self) {
        if self.attempts == 0 {
            self.started = Instant::now();
        }
        self.attempts += 1;
    }

    /// Records the failure of an attempt: only a few may end in silence.
    pub fn failed(&mut self, error: &Error) {
        self.silences += u32::from(error.is_silence());
    }

    /// Returns how long to wait after an answer before the next attempt, or `None` if the budget is used up or another attempt
    /// would not help.
    pub(crate) fn pause_after(&mut self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        match is_refusal(status, headers) {
            // The host will refuse every request until then.
            true if until_reset(headers).is_some_and(|wait| wait > self.patience) => None,
            true => self.pause_refused(),
            false if is_temporary(status) => self.pause(retry_after(headers)),
            false => None,
        }
    }

    /// Returns how long to wait after an attempt that the host refused because of a rate limit, or `None` if the time is used up.
    /// The first pause is zero: the limits of the host make the request wait as long as the host asks, within bounds, in a queue
    /// that is reported to the user.
    pub fn pause_refused(&mut self) -> Option<Duration> {
        self.refused += 1;
        let own = if self.refused == 1 { Duration::ZERO } else { self.jitter(self.refused - 1) };
        self.bounded(own, None)
    }

    /// Returns how long to wait before the next attempt, or `None` if the budget is used up. `asked` is the `Retry-After` of the
    /// host, which is limited to the patience and to the remaining time. A pause is never shorter than the budget's own.
    pub fn pause(&self, asked: Option<Duration>) -> Option<Duration> {
        let failed = self.attempts - self.refused.min(self.attempts);
        if failed >= self.retry.attempts || self.silences >= SILENCES {
            return None;
        }
        self.bounded(self.jitter(failed), asked)
    }

    /// Returns a random pause. The upper bound is four times as long with each further attempt, so that a single fault costs
    /// little and an outage has seconds to end.
    fn jitter(&self, attempts: u32) -> Duration {
        let earlier = attempts.saturating_sub(1).min(15);
        let bound = (self.retry.first_pause * 4_u32.pow(earlier)).min(self.retry.longest_pause);
        bound.mul_f64(rand::random::<f64>())
    }

    /// Returns the longer of `own` and `asked`, which is limited to the remaining time, or `None` if `own` exceeds that time.
    fn bounded(&self, own: Duration, asked: Option<Duration>) -> Option<Duration> {
        let left = self.retry.total.checked_sub(self.started.elapsed())?;
        let asked = asked.unwrap_or_default().min(self.patience).min(left);
        (own <= left).then_some(own.max(asked))
    }
}

/// Returns `true` if another attempt may succeed: 408, 425, 429, and every 5xx except those that say that the host does not
/// support the request (501, 505).
pub fn is_temporary(status: StatusCode) -> bool {
    match status.as_u16() {
        408 | 425 | 429 => true,
        501 | 505 => false,
        _ => status.is_server_error(),
    }
}

/// Returns `true` if the host refused the request because of a rate limit: 429, 503 with `Retry-After` (spec 03.9), or 403 with
/// `Retry-After` or with `x-ratelimit-remaining: 0`, as GitHub answers.
pub(crate) fn is_refusal(status: StatusCode, headers: &HeaderMap) -> bool {
    match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => headers.contains_key(header::RETRY_AFTER),
        StatusCode::FORBIDDEN => headers.contains_key(header::RETRY_AFTER) || is_used_up(headers),
        _ => false,
    }
}

/// Returns the wait that an answer asks for: `Retry-After`, or the time until a used-up quota is renewed.
pub(crate) fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers).or_else(|| until_reset(headers))
}

/// Returns the time until a quota that is used up is renewed: `x-ratelimit-reset` in seconds since 1970. It is compared with the
/// `Date` of the same answer, or with the system's clock if there is none. The value is untrusted, so the caller must limit it.
fn until_reset(headers: &HeaderMap) -> Option<Duration> {
    let reset = number(headers, "x-ratelimit-reset").filter(|_| is_used_up(headers))?;
    let now = date(headers, header::DATE).unwrap_or_else(SystemTime::now);
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(Duration::from_secs(reset).saturating_sub(now))
}

/// Returns how long the quota of a host remains used up, if an answer that is not a refusal reports that.
pub(crate) fn used_up_for(headers: &HeaderMap) -> Option<Duration> {
    until_reset(headers).map(|time| time.min(LONGEST_ASKED)).filter(|time| !time.is_zero())
}

fn is_used_up(headers: &HeaderMap) -> bool {
    number(headers, "x-ratelimit-remaining") == Some(0)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Returns what an answer says about the limits of its host.
pub(crate) fn observed(status: StatusCode, headers: &HeaderMap) -> Observed {
    match is_refusal(status, headers) {
        true => Observed::Refused(asked_pause(headers).map(|pause| pause.min(LONGEST_ASKED))),
        // A 425 refers to how the request was sent (in TLS early data), not to the state of the host.
        false if is_temporary(status) && status != StatusCode::TOO_EARLY => Observed::Failed,
        false => Observed::Served,
    }
}

/// Returns the wait that `Retry-After` asks for: a number of seconds, which may be fractional, or a date. A date is compared with
/// the `Date` of the same answer, so that the clocks need not agree, or with the system's clock if there is none. A negative or
/// past value is zero. Returns `None` if the header is missing or cannot be parsed. The value is untrusted, so the caller must
/// limit it.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => {
            Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST_ASKED)
        }
        Ok(_) => return None,
        Err(_) => {
            let until = httpdate::parse_http_date(value).ok()?;
            let now = date(headers, header::DATE).unwrap_or_else(SystemTime::now);
            until.duration_since(now).unwrap_or_default()
        }
    };
    Some(asked.min(LONGEST_ASKED))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_with_its_attempts() {
        let mut budget = Budget::new(Retry { attempts: 2, ..Retry::default() });
        budget.attempt();
        assert!(budget.pause(None).is_some());
        budget.attempt();
        assert_eq!(budget.pause(None), None);
    }

    #[test]
    fn pauses_grow_and_stay_below_their_bound() {
        let retry = Retry { attempts: 40, longest_pause: Duration::from_secs(2), ..Retry::default() };
        let mut budget = Budget::new(retry);
        for _ in 0..39 {
            budget.attempt();
            assert!(budget.pause(None).unwrap() <= Duration::from_secs(2));
        }
    }

    #[test]
    fn retry_after_is_obeyed_within_patience_and_total() {
        let mut budget = Budget::new(Retry { total: Duration::from_secs(10), ..Retry::default() });
        budget.attempt();
        let second = Duration::from_secs(1);
        assert!(budget.pause(Some(second * 5)).unwrap() >= second * 5);
        let longest = budget.pause(Some(second * 60)).unwrap();
        assert!((second * 9..=second * 10).contains(&longest), "{longest:?}: no longer than the total");
        let mut budget = budget.with_patience(second * 3);
        assert_eq!(budget.pause(Some(second * 60)), Some(second * 3));
        assert_eq!(budget.pause_refused(), Some(Duration::ZERO), "the gate waits instead");
    }

    /// Otherwise a host with `Retry-After: 0` would receive requests as fast as it answers.
    #[test]
    fn retry_after_does_not_shorten_pauses() {
        let mut budget = Budget::new(Retry::default());
        let sum = |pauses: &mut dyn FnMut() -> Option<Duration>| {
            (0..200).filter_map(|_| pauses()).sum::<Duration>()
        };
        budget.attempt();
        let failures = sum(&mut || budget.pause(Some(Duration::ZERO)));
        assert!(failures > Duration::from_secs(1), "{failures:?}");
        let refusals = sum(&mut || {
            budget.attempt();
            budget.pause_refused()
        });
        assert!(refusals > Duration::from_secs(500), "{refusals:?}");
    }

    /// A host with a quota by the minute refuses requests for longer than the attempts would last.
    #[test]
    fn refusals_use_up_time_but_no_attempts() {
        let retry = Retry { attempts: 2, total: Duration::from_secs(100), ..Retry::default() };
        let mut budget = Budget::new(retry);
        for _ in 0..20 {
            budget.attempt();
            assert!(budget.pause_refused().is_some());
        }
        budget.attempt();
        assert!(budget.pause(None).is_some(), "the first failure");
        budget.attempt();
        assert_eq!(budget.pause(None), None, "the second failure");
    }

    #[test]
    fn a_budget_ends_with_its_time() {
        let mut budget = Budget::new(Retry { total: Duration::ZERO, ..Retry::default() });
        budget.attempt();
        assert_eq!(budget.pause(Some(Duration::from_secs(1))), None);
        assert_eq!(budget.pause_refused(), None);
    }

    fn answer(headers: &[(HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_bounded() {
        assert_eq!(retry_after(&HeaderMap::new()), None);
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        for (value, expected) in [
            ("3", Some(3_000)),
            (" 3 ", Some(3_000)),
            ("0.25", Some(250)),
            ("0", Some(0)),
            ("-7", Some(0)),
            ("99999999", Some(3_600_000)),
            ("1e300", Some(3_600_000)),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(30_000)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", Some(0)),
            ("inf", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
        ] {
            let asked = retry_after(&answer(&[(header::RETRY_AFTER, value), (header::DATE, date)]));
            assert_eq!(asked, expected.map(Duration::from_millis), "{value}");
        }
    }

    #[test]
    fn a_date_is_compared_with_the_local_clock_if_the_answer_has_none() {
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let asked = retry_after(&answer(&[(header::RETRY_AFTER, &later)])).unwrap();
        assert!((50..=60).contains(&asked.as_secs()), "{asked:?}");
    }

    fn named(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    /// GitHub answers in this way: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
    #[test]
    fn a_used_up_quota_is_retried_if_patience_suffices() {
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        let at = |reset: u64| {
            named(&[date, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset.to_string())])
        };
        let now = 1_792_567_680;
        let budget = || {
            let mut budget = Budget::new(Retry::default()).with_patience(Duration::from_secs(60));
            budget.attempt();
            budget
        };
        for status in [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
            let soon = at(now + 20);
            assert_eq!(observed(status, &soon), Observed::Refused(Some(Duration::from_secs(20))), "{status}");
            assert!(budget().pause_after(status, &soon).is_some(), "{status}");
            assert_eq!(
                budget().pause_after(status, &at(now + 61)),
                None,
                "{status}: longer than the patience"
            );
            assert_eq!(observed(status, &at(now - 5)), Observed::Refused(Some(Duration::ZERO)), "{status}");
        }
        let asked =
            named(&[date, ("retry-after", "7"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "0")]);
        assert_eq!(asked_pause(&asked), Some(Duration::from_secs(7)), "Retry-After is more exact");
        let left = named(&[date, ("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "1792567700")]);
        assert_eq!(
            observed(StatusCode::FORBIDDEN, &left),
            Observed::Served,
            "forbidden, but not rate-limited"
        );
    }

    #[test]
    fn faults_and_refusals_are_distinguished() {
        let none = HeaderMap::new();
        let soon = answer(&[(header::RETRY_AFTER, "2")]);
        let invalid = answer(&[(header::RETRY_AFTER, "invalid")]);
        let refused = Observed::Refused(Some(Duration::from_secs(2)));
        for (status, headers, expected, temporary) in [
            (429, &none, Observed::Refused(None), true),
            (429, &soon, refused, true),
            (503, &soon, refused, true),
            (503, &invalid, Observed::Refused(None), true),
            (503, &none, Observed::Failed, true),
            (500, &soon, Observed::Failed, true),
            (502, &none, Observed::Failed, true),
            (504, &none, Observed::Failed, true),
            (507, &none, Observed::Failed, true),
            (520, &none, Observed::Failed, true),
            (530, &none, Observed::Failed, true),
            (408, &none, Observed::Failed, true),
            (425, &none, Observed::Served, true),
            (501, &none, Observed::Served, false),
            (505, &none, Observed::Served, false),
            (404, &soon, Observed::Served, false),
            (403, &none, Observed::Served, false),
            (200, &none, Observed::Served, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(observed(status, headers), expected, "{status}");
            assert_eq!(is_temporary(status), temporary, "{status}");
            let mut budget = Budget::new(Retry::default());
            budget.attempt();
            assert_eq!(budget.pause_after(status, headers).is_some(), temporary, "{status}");
        }
    }
}
