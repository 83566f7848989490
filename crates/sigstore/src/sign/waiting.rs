//! Retries beyond those of the door: a signer retries services that fail temporarily, with growing pauses, until its patience
//! ends. For a while after that, all signatures fail immediately, so that thousands of them do not wait for the same outage in
//! turn.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use transport::Door;
use url::Url;

use crate::error::SignError;

/// The durations of pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// The first pause. Each further pause is twice as long.
    pub(super) first: Duration,
    /// The longest pause.
    pub(super) longest: Duration,
    /// How long the services are not asked after patience has ended.
    pub(super) rest: Duration,
    /// Patience is divided by this number for services that have not answered yet in this run, because they may not exist.
    pub(super) at_first: u32,
}

impl Default for Pauses {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { first: seconds(1), longest: seconds(15), rest: seconds(60), at_first: 3 }
    }
}

/// How an attempt failed.
pub(super) enum Failed {
    /// The next attempt may succeed.
    Temporary(SignError),
    /// A further attempt would not help: the failure is permanent, or an inner retry has already given up.
    Permanent(SignError),
}

impl From<SignError> for Failed {
    fn from(error: SignError) -> Self {
        if error.is_temporary() { Self::Temporary(error) } else { Self::Permanent(error) }
    }
}

/// The failures of a group of services, shared by all their users.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pauses: Pauses,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether an attempt has succeeded in this run.
    has_worked: bool,
    /// The start of the first attempt that failed since the last success.
    failing_since: Option<Instant>,
    /// The error that ended patience, and until when it is returned.
    given_up: Option<(SignError, Instant)>,
}

impl Waiting {
    #[cfg(test)]
    pub(super) fn with(pauses: Pauses) -> Self {
        Self { pauses, ..Self::default() }
    }

    /// Repeats an attempt until it succeeds, fails permanently, or the services have failed for longer than `patience`.
    pub(super) async fn retry<T, F: Future<Output = Result<T, Failed>>>(
        &self,
        patience: Duration,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, SignError> {
        let mut pause = self.pauses.first;
        loop {
            self.check()?;
            let began = Instant::now();
            match attempt().await {
                Ok(done) => {
                    self.worked();
                    return Ok(done);
                }
                Err(Failed::Permanent(error)) => return Err(error),
                Err(Failed::Temporary(error)) if !self.may_wait(&error, began, pause, patience) => {
                    return Err(error);
                }
                Err(Failed::Temporary(_)) => sleep(pause).await,
            }
            pause = (pause * 2).min(self.pauses.longest);
        }
    }

    /// Returns this error to all callers for a while, instead of asking the services.
    pub(super) fn give_up(&self, error: &SignError) {
        self.state().given_up.get_or_insert_with(|| (error.clone(), Instant::now() + self.pauses.rest));
    }

    /// Forgets all failures: the next attempt asks the services again, with full patience.
    pub(super) fn try_again(&self) {
        let mut state = self.state();
        (state.given_up, state.failing_since) = (None, None);
    }

    /// Fails with the error that ended patience while that error is in effect.
    fn check(&self) -> Result<(), SignError> {
        let mut state = self.state();
        match &state.given_up {
            Some((error, until)) if Instant::now() < *until => Err(error.clone()),
            Some(_) => {
                (state.given_up, state.failing_since) = (None, None);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn worked(&self) {
        *self.state() = State { has_worked: true, ..State::default() };
    }

    /// Returns whether patience allows one more pause after a failed attempt that began at `began`.
    fn may_wait(&self, error: &SignError, began: Instant, pause: Duration, patience: Duration) -> bool {
        let mut state = self.state();
        let patience = if state.has_worked { patience } else { patience / self.pauses.at_first };
        if state.failing_since.is_none() && pause <= patience {
            tracing::warn!("{error}; signatures wait for up to {} s", patience.as_secs());
        }
        let since = *state.failing_since.get_or_insert(began);
        let may_wait = since.elapsed() + pause <= patience;
        if !may_wait {
            let until = Instant::now() + self.pauses.rest;
            state.given_up.get_or_insert_with(|| (error.clone(), until));
        }
        may_wait
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the patience with services: the longest one of their hosts ([`transport::HostSettings::patience`]).
pub(super) fn patience<'a>(door: &Door, services: impl IntoIterator<Item = &'a Url>) -> Duration {
    let of = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        door.host_settings(&authority).patience
    };
    services.into_iter().map(of).max().unwrap_or_else(|| door.host_settings("").patience)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::Service;

    const PATIENCE: Duration = Duration::from_secs(180);

    fn refused(status: u16) -> SignError {
        SignError::Refused { service: Service::Fulcio, url: "https://f".into(), status, why: String::new() }
    }

    /// A service that fails this many times, with a count of the requests.
    struct Failing {
        asked: Cell<u32>,
        failures: u32,
        status: u16,
    }

    impl Failing {
        fn for_times(failures: u32) -> Self {
            Self { asked: Cell::new(0), failures, status: 503 }
        }

        async fn ask(&self) -> Result<u32, Failed> {
            self.asked.set(self.asked.get() + 1);
            match self.asked.get() {
                asked if asked <= self.failures => Err(refused(self.status).into()),
                asked => Ok(asked),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_outage_is_retried_with_growing_pauses() {
        let (waiting, service) = (Waiting::default(), Failing::for_times(5));
        let began = Instant::now();
        assert_eq!(waiting.retry(PATIENCE, || service.ask()).await.unwrap(), 6);
        // The pauses are 1, 2, 4, 8 and 15 seconds.
        assert_eq!(began.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_has_never_worked_gets_a_third_of_the_patience() {
        let (waiting, service) = (Waiting::default(), Failing::for_times(u32::MAX));
        let began = Instant::now();
        waiting.retry(PATIENCE, || service.ask()).await.unwrap_err();
        assert!((45..=60).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        let waiting = Waiting::default();
        waiting.retry(PATIENCE, async || Ok(())).await.unwrap();
        let began = Instant::now();
        waiting.retry(PATIENCE, || service.ask()).await.unwrap_err();
        assert!((165..=180).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn after_patience_has_ended_services_are_asked_only_after_the_rest_or_try_again() {
        let (waiting, service) = (Waiting::default(), Failing::for_times(u32::MAX));
        waiting.retry(PATIENCE, || service.ask()).await.unwrap_err();
        let (asked, began) = (service.asked.get(), Instant::now());
        for _ in 0..300 {
            waiting.retry(PATIENCE, || service.ask()).await.unwrap_err();
        }
        assert_eq!((service.asked.get(), began.elapsed()), (asked, Duration::ZERO));
        waiting.try_again();
        waiting.retry(PATIENCE, || service.ask()).await.unwrap_err();
        assert!(service.asked.get() > asked + 1, "retried with full patience");
        let asked = service.asked.get();
        sleep(Duration::from_secs(61)).await;
        waiting.retry(PATIENCE, || service.ask()).await.unwrap_err();
        assert!(service.asked.get() > asked);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_waiters_share_the_patience_and_the_error() {
        let (waiting, service) = (Waiting::default(), Failing::for_times(u32::MAX));
        let began = Instant::now();
        let late = async {
            sleep(Duration::from_secs(40)).await;
            waiting.retry(PATIENCE, || service.ask()).await.unwrap_err()
        };
        let (first, late) = tokio::join!(waiting.retry(PATIENCE, || service.ask()), late);
        assert_eq!(first.unwrap_err().to_string(), late.to_string());
        assert!(began.elapsed() <= PATIENCE / 3, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_errors_are_not_retried() {
        for (status, is_final) in [
            (400, true),
            (401, true),
            (403, true),
            (404, true),
            (409, true),
            (501, true),
            (429, false),
            (500, false),
            (502, false),
        ] {
            let service = Failing { status, ..Failing::for_times(1) };
            let outcome = Waiting::default().retry(PATIENCE, || service.ask()).await;
            assert_eq!(outcome.is_err(), is_final, "{status}");
            assert_eq!(service.asked.get(), if is_final { 1 } else { 2 }, "{status}");
        }
    }
}
