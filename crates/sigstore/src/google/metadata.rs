//! Google's metadata server, from which a VM or a pod on Google Cloud reads facts about itself (Compute Engine, *VM metadata*).
//!
//! The first answers are slow or missing when a pod has just started, so requests are repeated within a time budget. Outside
//! of Google Cloud nothing listens at the server's address, so a shorter budget applies.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};
use transport::{BodyStream, Class, Door, ErrorKind, Opened, Request};
use url::Url;

use crate::identity::answer::{Failure, success};

/// The maximum size of an answer, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;
/// The value of the server's `Metadata-Flavor` header.
const GOOGLE: &str = "Google";
/// The header that the metadata server requires and also sends, which identifies it: other clouds answer at the same address.
const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));

/// The time limits of requests to the metadata server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the first attempt to the end of the last one.
    pub(crate) total: Duration,
    /// The same limit if nothing listens at the address and nothing indicates that this process runs on Google Cloud.
    pub(crate) not_listening: Duration,
    /// The limit of the first attempt. It doubles with each further attempt.
    pub(crate) attempt: Duration,
    /// The first pause between attempts. It doubles with each further pause.
    pub(crate) pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            total: millis(30_000),
            not_listening: millis(3_000),
            attempt: millis(3_000),
            pause: millis(500),
        }
    }
}

/// The answer of the metadata server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MetadataAnswer {
    /// The requested value.
    Body(Bytes),
    /// The machine has no such value.
    Absent,
    /// There is no Google metadata server at this address, for this reason.
    NoService(String),
}

/// A client of the metadata server at one address.
#[derive(Debug)]
pub(crate) struct Metadata {
    door: Door,
    host: String,
    is_expected: bool,
    pub(crate) times: Times,
}

/// The outcome of one attempt.
enum Attempt {
    /// A result that another attempt would not change.
    Done(Result<MetadataAnswer, Failure>),
    /// Nothing listens at the address.
    NotListening,
    /// No answer arrived.
    Silent,
    /// An answer began and did not complete.
    Unfinished,
    /// The service answered with a temporary error.
    Fault(Failure),
}

impl Metadata {
    /// Creates a client for a host with an optional port. `is_expected` means that this process is known to run on Google Cloud.
    pub(crate) fn new(door: Door, host: String, is_expected: bool) -> Self {
        Self { door, host, is_expected, times: Times::default() }
    }

    /// Requests the value at a path below `computeMetadata/v1`.
    pub(crate) async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<MetadataAnswer, Failure> {
        let host = &self.host;
        let mut url = Url::parse(&format!("http://{host}/computeMetadata/v1/{path}"))
            .map_err(|_| format!("{host} is not a host"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.retry(|limit| self.attempt(url.clone(), limit)).await
    }

    /// Repeats the attempt until one is conclusive or the budget is used up.
    async fn retry<F: Future<Output = Attempt>>(
        &self,
        mut attempt: impl FnMut(Duration) -> F,
    ) -> Result<MetadataAnswer, Failure> {
        let Times { total, not_listening, attempt: mut limit, mut pause } = self.times;
        let (began, host) = (Instant::now(), &self.host);
        let mut has_listened = self.is_expected;
        loop {
            let left = total.saturating_sub(began.elapsed());
            let last = match attempt(limit.min(left)).await {
                Attempt::Done(done) => return done,
                last => last,
            };
            has_listened |= !matches!(last, Attempt::NotListening);
            let budget = if has_listened { total } else { not_listening };
            if began.elapsed() + pause >= budget {
                let seconds = total.as_secs();
                return match last {
                    Attempt::Fault(failure) => Err(failure),
                    Attempt::Unfinished => Err(Failure {
                        why: format!("{host} did not finish its answer within {seconds} s"),
                        is_temporary: true,
                    }),
                    _ => Ok(MetadataAnswer::NoService(format!("no metadata service answers at {host}"))),
                };
            }
            sleep(pause).await;
            (limit, pause) = (limit * 2, pause * 2);
        }
    }

    async fn attempt(&self, url: Url, limit: Duration) -> Attempt {
        let request = Request::new(Method::GET, url, "google-metadata", Class::Token)
            .header(FLAVOR.0, FLAVOR.1)
            .limit(ANSWER_MAX)
            .once();
        let deadline = Instant::now() + limit;
        let opened = match timeout_at(deadline, self.door.stream(request)).await {
            Err(_) => return Attempt::Silent,
            Ok(Err(error)) => return failed(&error),
            Ok(Ok(opened)) => opened,
        };
        match opened {
            Opened::Body(body) if body.header(FLAVOR.0.as_str()) != Some(GOOGLE) => self.foreign(),
            Opened::Other(answer) if answer.header(FLAVOR.0.as_str()) != Some(GOOGLE) => self.foreign(),
            Opened::Other(answer) if answer.status() == StatusCode::NOT_FOUND => {
                Attempt::Done(Ok(MetadataAnswer::Absent))
            }
            Opened::Other(answer) => match success(&answer, |_| None) {
                Err(failure) if failure.is_temporary => Attempt::Fault(failure),
                answer => Attempt::Done(answer.map(MetadataAnswer::Body)),
            },
            Opened::Body(body) => read(*body, deadline).await,
        }
    }

    fn foreign(&self) -> Attempt {
        let why = format!("what answers at {} is not Google's metadata service", self.host);
        Attempt::Done(Ok(MetadataAnswer::NoService(why)))
    }
}

/// Reads the body of an answer.
async fn read(body: BodyStream, deadline: Instant) -> Attempt {
    match timeout_at(deadline, body.bytes(ANSWER_MAX)).await {
        Err(_) => Attempt::Unfinished,
        Ok(Ok(body)) => Attempt::Done(Ok(MetadataAnswer::Body(body))),
        Ok(Err(error)) if error.is_temporary() => Attempt::Fault(error.into()),
        Ok(Err(error)) => Attempt::Done(Err(error.into())),
    }
}

/// Classifies a request that failed without an answer.
fn failed(error: &transport::Error) -> Attempt {
    match error.kind() {
        // Connection refused, no route to the host, or the name does not resolve.
        ErrorKind::Connect(_) => Attempt::NotListening,
        _ if error.is_temporary() => Attempt::Silent,
        _ => Attempt::Done(Ok(MetadataAnswer::NoService(error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn metadata(is_expected: bool) -> Metadata {
        let door = Door::open(transport::Settings::default()).unwrap();
        Metadata::new(door, "metadata.test".to_owned(), is_expected)
    }

    /// Runs attempts with these outcomes, of which the last one repeats. Returns the result, the number of attempts and their
    /// duration in seconds.
    async fn outcome(is_expected: bool, ends: Vec<End>) -> (Result<MetadataAnswer, Failure>, usize, u64) {
        let (began, limits) = (Instant::now(), RefCell::new(Vec::new()));
        let answer = metadata(is_expected)
            .retry(|limit| {
                let number = limits.borrow().len();
                limits.borrow_mut().push(limit);
                let end = ends[number.min(ends.len() - 1)];
                async move {
                    if matches!(end(), Attempt::Silent | Attempt::Unfinished) {
                        sleep(limit).await;
                    }
                    end()
                }
            })
            .await;
        let number = limits.borrow().len();
        (answer, number, began.elapsed().as_secs())
    }

    type End = fn() -> Attempt;

    const SILENT: End = || Attempt::Silent;
    const NOT_LISTENING: End = || Attempt::NotListening;
    const UNFINISHED: End = || Attempt::Unfinished;
    const BODY: End = || Attempt::Done(Ok(MetadataAnswer::Body(Bytes::from_static(b"token"))));
    const FAULT: End = || Attempt::Fault(Failure { why: "503".to_owned(), is_temporary: true });

    #[tokio::test(start_paused = true)]
    async fn slow_and_missing_first_answers_are_retried() {
        for ends in [
            vec![SILENT, BODY],
            vec![SILENT, SILENT, BODY],
            vec![NOT_LISTENING, NOT_LISTENING, BODY],
            vec![NOT_LISTENING, SILENT, FAULT, FAULT, BODY],
            vec![UNFINISHED, BODY],
        ] {
            let expected = ends.len();
            let (answer, number, seconds) = outcome(false, ends).await;
            assert_eq!((answer, number), (Ok(MetadataAnswer::Body(Bytes::from_static(b"token"))), expected));
            assert!(seconds < 15, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_to_a_service_that_never_answers_end_within_the_budget() {
        let (answer, number, seconds) = outcome(false, vec![SILENT]).await;
        assert!(matches!(answer, Ok(MetadataAnswer::NoService(_))) && number > 2, "{answer:?} {number}");
        assert!((20..=30).contains(&seconds), "{seconds}");
        let (answer, _, seconds) = outcome(false, vec![UNFINISHED]).await;
        assert!(answer.unwrap_err().why.contains("within 30 s") && seconds <= 30);
        let (answer, number, seconds) = outcome(false, vec![FAULT]).await;
        assert!(answer.unwrap_err().is_temporary && number > 4 && seconds <= 30);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_listener_the_full_budget_applies_only_on_google_cloud() {
        let (answer, number, seconds) = outcome(false, vec![NOT_LISTENING]).await;
        assert!(
            matches!(answer, Ok(MetadataAnswer::NoService(_))) && number > 1 && seconds < 3,
            "{answer:?} {seconds}"
        );
        let (answer, _, seconds) = outcome(true, vec![NOT_LISTENING]).await;
        assert!(
            matches!(answer, Ok(MetadataAnswer::NoService(_))) && (14..=30).contains(&seconds),
            "{answer:?} {seconds}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_conclusive_answer_ends_the_attempts() {
        const ABSENT: End = || Attempt::Done(Ok(MetadataAnswer::Absent));
        const REFUSED: End = || Attempt::Done(Err(Failure { why: String::new(), is_temporary: false }));
        for end in [ABSENT, REFUSED] {
            let (_, number, seconds) = outcome(true, vec![end]).await;
            assert_eq!((number, seconds), (1, 0));
        }
    }
}
