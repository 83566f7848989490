//! Signs requests.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use transport::{Answer, Request, Secret};

use super::super::warnings::Warnings;
use super::call::Call;
use super::wire::refusal;
use crate::error::ErrorKind;

/// How long a signature is valid. A request may wait for the limits of its host, and may be retried with the same signature.
const VALID: Duration = Duration::from_secs(6 * 3_600);
/// The clock difference, in seconds, from which the store's clock is used. S3 accepts 15 minutes.
const SKEW: i64 = 120;

/// A pair of access keys.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// The access key ID.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The session token of temporary credentials.
    pub session: Option<Secret>,
}

/// The keys, and the correction for the store's clock.
#[derive(Debug)]
pub(super) struct Signing {
    keys: Option<AwsKeys>,
    /// The store's time minus the time of this machine, in seconds.
    correction: AtomicI64,
}

impl Signing {
    pub(super) fn new(keys: Option<AwsKeys>) -> Self {
        Self { keys, correction: AtomicI64::new(0) }
    }

    /// Creates the request for a call. Without keys, the request is not signed.
    pub(super) fn request(&self, call: &Call<'_>, region: &str) -> Result<Request, ErrorKind> {
        let query = call.query.iter().map(|(name, value)| (*name, &**value));
        let url = match &self.keys {
            None => {
                let mut url = call.url.clone();
                if !call.query.is_empty() {
                    url.query_pairs_mut().extend_pairs(query);
                }
                url
            }
            Some(keys) => rusty_s3::signing::sign(
                &self.now(),
                method(&call.method),
                call.url.clone(),
                &keys.id,
                keys.secret.reveal(),
                keys.session.as_ref().map(Secret::reveal),
                region,
                VALID.as_secs(),
                query,
                call.headers.iter().map(|(name, value)| (&**name, &**value)),
            ),
        };
        let mut request = Request::new(call.method.clone(), url, call.kind, call.class);
        for (name, value) in &call.headers {
            let (name, value) = (HeaderName::try_from(&**name).ok(), HeaderValue::from_str(value).ok());
            let unsendable = || ErrorKind::Credentials("a header of the request cannot be sent".to_owned());
            request = request.header(name.ok_or_else(unsendable)?, value.ok_or_else(unsendable)?);
        }
        if let Some(session) = self.keys.as_ref().and_then(|keys| keys.session.as_ref()) {
            request = request.secret(session);
        }
        if call.is_patient {
            request = request.patient();
        }
        Ok(if call.repeats { request } else { request.again_when_refused() })
    }

    fn now(&self) -> Timestamp {
        let correction = SignedDuration::from_secs(self.correction.load(Relaxed));
        let now = Timestamp::now();
        now.checked_add(correction).unwrap_or(now)
    }

    /// Returns whether an answer refuses the time of the signature. If so, later signatures use the store's time.
    pub(super) fn corrects_clock(&self, answer: &Answer, warnings: &Warnings) -> bool {
        if self.keys.is_none() || !matches!(answer.status(), StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST)
        {
            return false;
        }
        let refusal = refusal(answer);
        let is_for_time = matches!(refusal.code.as_str(), "RequestTimeTooSkewed" | "RequestExpired" | "AccessDenied")
            // The answer to a HEAD has no body.
            || answer.body().is_empty();
        let date = answer.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let Some(theirs) = date.filter(|_| is_for_time).and_then(seconds) else { return false };
        let Some(ours) = seconds(SystemTime::now()) else { return false };
        let (correction, used) = (theirs - ours, self.correction.load(Relaxed));
        if (correction - used).abs() < SKEW {
            return false;
        }
        let host = answer.url().host_str().unwrap_or_default();
        warnings.warn(format!(
            "the clock of this machine differs from that of {host} by {correction} s: requests are signed with the store's time"
        ));
        self.correction.store(correction, Relaxed);
        true
    }
}

fn seconds(time: SystemTime) -> Option<i64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

fn method(method: &Method) -> rusty_s3::Method {
    match *method {
        Method::HEAD => rusty_s3::Method::Head,
        Method::PUT => rusty_s3::Method::Put,
        Method::POST => rusty_s3::Method::Post,
        Method::DELETE => rusty_s3::Method::Delete,
        _ => rusty_s3::Method::Get,
    }
}
