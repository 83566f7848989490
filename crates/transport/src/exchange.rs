//! One request with all its attempts: redirects, pauses, and checks of each attempt.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use tokio::time::Instant;
use url::Url;

use crate::address::is_loopback;
use crate::class::Class;
use crate::content::{Content, content};
use crate::error::{Error, ErrorKind};
use crate::host::authority;
use crate::limit::Observed;
use crate::redact::{Carried, shown};
use crate::request::{Body, NamedBy, Redirects, Repeat, Request, Reservation};
use crate::retry::{Budget, asked_pause, is_refusal, is_temporary, observed, used_up_for};
use crate::shared::Shared;
use crate::stream::{Head, Origin};

/// The maximum number of redirects that one request follows.
const HOPS: usize = 5;
/// The timeout for the answer to a write, as a multiple of that for a read, unless the settings of the host define one: a
/// registry may take minutes to commit a large blob.
const WRITE_ANSWER: u32 = 5;
/// The maximum number of times that a request starts over because the target of a redirect has refused it: signed URLs expire.
const MAX_RESTARTS: u32 = 2;

/// A request in progress.
pub(crate) struct Exchange<'a> {
    shared: &'a Shared,
    method: Method,
    kind: &'static str,
    class: Class,
    body: Body,
    /// Whether the body can be sent only once.
    is_stream: bool,
    /// Whether the body of the answer may take as long as its head.
    is_patient: bool,
    redirects: Redirects,
    repeat: Repeat,
    /// The permit for the first attempt, if the caller has acquired one.
    reservation: Option<Reservation>,
    /// The start of the request, to which each attempt returns.
    origin: Leg,
    leg: Leg,
    /// The secrets that the request carries at its start.
    carried: Arc<Carried>,
    hops: usize,
    restarts: u32,
    budget: Budget,
    started: Instant,
    repeated: bool,
    /// Whether the next attempt waits for a quota of the host.
    waits_for_quota: bool,
}

/// The parts of a request that a redirect changes.
#[derive(Clone)]
struct Leg {
    url: Url,
    headers: HeaderMap,
    named_by: NamedBy,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(shared: &'a Shared, request: Request) -> Self {
        let carried = Arc::new(Carried::of(&request.headers, &request.secrets));
        let Request {
            method,
            url,
            kind,
            class,
            headers,
            body,
            redirects,
            repeat,
            named_by,
            reservation,
            is_patient,
            ..
        } = request;
        let patience = shared.host_settings(&authority(&url)).patience;
        let leg = Leg { url, headers, named_by };
        Self {
            shared,
            method,
            kind,
            class,
            is_stream: matches!(body, Body::Stream { .. }),
            body,
            is_patient,
            redirects,
            repeat,
            reservation,
            origin: leg.clone(),
            leg,
            carried,
            hops: 0,
            restarts: 0,
            budget: shared.budget().with_patience(patience),
            started: Instant::now(),
            repeated: false,
            waits_for_quota: false,
        }
    }

    /// Returns the head of the final answer: after redirects, and after attempts with temporary failures.
    pub(crate) async fn head(&mut self) -> Result<Head, Error> {
        loop {
            let head = match self.attempt().await {
                Ok(head) => head,
                Err(kind) => {
                    self.again_after(self.error(kind)).await?;
                    continue;
                }
            };
            if let Some(next) = self.next_hop(&head).map_err(|kind| self.error(kind))? {
                self.leg.redirect_to(next, self.shared);
                self.hops += 1;
                continue;
            }
            let Some(pause) = self.pause_after(&head) else { return Ok(head) };
            // The permit is released before the pause. If the body is too long, the connection is closed instead of being reused.
            drop(Box::pin(head.collect(0)).await);
            self.restart(pause).await;
        }
    }

    /// Waits before another attempt after a failure, or returns the error if there is none.
    pub(crate) async fn again_after(&mut self, error: Error) -> Result<(), Error> {
        if self.repeat != Repeat::Always || !error.is_temporary() {
            return Err(error);
        }
        self.budget.failed(&error);
        let Some(pause) = self.budget.pause(None) else { return Err(error) };
        self.restart(pause).await;
        Ok(())
    }

    async fn restart(&mut self, pause: Duration) {
        tracing::debug!(method = %self.method, url = shown(&self.leg.url), pause_ms = pause.as_millis(), "trying again");
        self.shared.host(&self.leg.url).pauses.pause(pause).await;
        self.leg = self.origin.clone();
        self.hops = 0;
        self.repeated = true;
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.method, &self.leg.url, self.budget.attempts(), self.started.elapsed())
    }

    /// Returns the pause before the next attempt, or `None` if the answer is final.
    fn pause_after(&mut self, head: &Head) -> Option<Duration> {
        let (status, headers) = (head.status(), head.headers());
        match self.repeat {
            Repeat::Never => None,
            _ if is_refusal(status, headers) => self.pause_refused(head),
            Repeat::WhenRefused => None,
            Repeat::Always if is_temporary(status) => self.budget.pause_after(status, headers),
            Repeat::Always if self.has_expired(status) => {
                self.restarts += 1;
                self.budget.pause(None)
            }
            Repeat::Always => None,
        }
    }

    /// Returns the pause after a refusal because of a rate limit, or `None` if the answer is final.
    fn pause_refused(&mut self, head: &Head) -> Option<Duration> {
        let deadline = self.shared.host_settings(&authority(head.url())).quota_deadline;
        match (deadline, asked_pause(head.headers())) {
            (Some(deadline), Some(asked)) if Instant::now() + asked > deadline => None,
            (Some(_), Some(_)) => {
                self.waits_for_quota = true;
                self.budget.progressed();
                self.budget.pause_refused()
            }
            _ => self.budget.pause_after(head.status(), head.headers()),
        }
    }

    /// Returns `true` if the target of a redirect has refused the request, and the first host may redirect to a new URL.
    fn has_expired(&self, status: StatusCode) -> bool {
        self.hops > 0
            && self.restarts < MAX_RESTARTS
            && matches!(status.as_u16(), 400 | 401 | 403 | 404 | 410)
    }

    /// Returns the target of a redirect if the answer is one and it may be followed.
    fn next_hop(&self, head: &Head) -> Result<Option<Url>, ErrorKind> {
        let status = head.status();
        let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let keeps_method = matches!(status.as_u16(), 307 | 308);
        match self.redirects {
            _ if !is_redirect => return Ok(None),
            Redirects::Refuse => return Ok(None),
            Redirects::SameHost if !keeps_method || self.is_stream => {
                return Ok(None);
            }
            Redirects::SameHost | Redirects::Follow => {}
        }
        let refuse = |to: String, reason| ErrorKind::Redirect { to, reason };
        let from = head.url();
        let location = head.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        let Some(to) = location.and_then(|location| from.join(location).ok()) else {
            return Err(refuse("nowhere".to_owned(), "it names no location"));
        };
        if self.hops >= HOPS {
            return Err(refuse(shown(&to), "there were too many redirects"));
        }
        if self.redirects == Redirects::SameHost {
            return Ok(Some(to).filter(|to| to.origin() == from.origin()));
        }
        if from.scheme() == "https" && to.scheme() != "https" {
            return Err(refuse(shown(&to), "it leaves TLS"));
        }
        if !matches!(self.method, Method::GET | Method::HEAD) {
            return Err(refuse(shown(&to), "only reads follow redirects"));
        }
        Ok(Some(to))
    }

    /// Checks that a request may be sent to the current URL; `Err` contains the reason if not.
    fn permitted(&self) -> Result<(), ErrorKind> {
        let Leg { url, named_by, .. } = &self.leg;
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(ErrorKind::Forbidden("only http and https are supported")),
        };
        let authority = authority(url);
        if plain && !is_loopback(url) && !self.shared.host_settings(&authority).plain_http {
            return Err(ErrorKind::Forbidden(
                "plain HTTP is allowed only for this machine, or if `plainHttp` is configured for the host",
            ));
        }
        if *named_by != NamedBy::User && self.shared.settings.metadata_hosts.contains(&authority) {
            return Err(ErrorKind::Forbidden("an answer points to the metadata service of a cloud"));
        }
        Ok(())
    }

    /// Makes one attempt: from the gate to the head of the answer.
    async fn attempt(&mut self) -> Result<Head, ErrorKind> {
        self.permitted()?;
        let body = match &self.body {
            Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Body::Empty => Body::Empty,
            Body::Stream { .. } => std::mem::replace(&mut self.body, Body::Empty),
        };
        let Leg { url, headers, named_by } = &self.leg;
        let settings = self.shared.host_settings(&authority(url));
        let client = self.shared.clients.of(url, *named_by, settings.direct).await?;
        let host = self.shared.host(url);
        let permit = match self.reservation.take() {
            Some(Reservation(permit)) => permit.using(),
            None => host.admit(self.class).await?,
        };
        if std::mem::take(&mut self.waits_for_quota) {
            self.budget.progressed();
        }
        // Following a redirect is part of the same attempt.
        if self.hops == 0 {
            self.budget.attempt();
        }
        host.counters.request(&permit, self.kind);
        host.counters.retried.fetch_add(u64::from(self.repeated), Relaxed);

        let ticket = self.shared.under_way.enter(&self.method, url);
        let Content { body, length, sending_time, failure } = content(body, &ticket.progress, &host.counters);
        let mut request = client.request(self.method.clone(), url.clone()).headers(headers.clone());
        if let Some(length) = length {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let mut timeouts = self.shared.settings.timeouts;
        let usual = timeouts.answer * if self.class.is_write() { WRITE_ANSWER } else { 1 };
        let patience = settings.answer.unwrap_or(usual) + sending_time;
        if self.is_patient {
            (timeouts.idle, timeouts.whole) = (patience, patience);
        }
        let answer = tokio::select! {
            answer = request.send() => answer.map_err(|error| match failure.take() {
                Some(why) => ErrorKind::Content(why),
                None if host.counters.last_answer().is_some() => {
                    ErrorKind::of(&error, url.scheme()).after_an_answer()
                }
                None => ErrorKind::of(&error, url.scheme()),
            }),
            () = ticket.progress.silence(patience) => {
                Err(ErrorKind::Timeout { limit: patience })
            }
        };
        match answer {
            Ok(inner) => {
                ticket.progress.touch();
                let mut observed = observed(inner.status(), inner.headers());
                if let (Observed::Served, Some(_)) = (observed, settings.quota_deadline) {
                    observed = used_up_for(inner.headers()).map_or(observed, Observed::UsedUp);
                }
                match observed {
                    Observed::Served | Observed::UsedUp(_) => host.counters.served(),
                    Observed::Refused(_) => host.counters.answered(),
                    // The failure may come from a proxy in front of a host that is down.
                    Observed::Failed => {}
                }
                host.counters.observed(observed);
                if matches!(observed, Observed::Refused(_) | Observed::Failed) {
                    host.note_failure(inner.status().to_string());
                }
                permit.observe(observed);
                let origin = Origin {
                    method: self.method.clone(),
                    url: url.clone(),
                    carried: Arc::clone(&self.carried),
                    is_redirected: self.hops > 0,
                    attempts: self.budget.attempts(),
                    started: self.started,
                    timeouts,
                    counters: Arc::clone(&host.counters),
                    is_served: matches!(observed, Observed::Served | Observed::UsedUp(_)),
                    ticket,
                    _permit: permit,
                };
                Ok(Head { inner, origin })
            }
            Err(kind) => {
                // If the content to send has failed, the host is not the cause. A rejected certificate or another protocol says
                // nothing about the load of the host: backing off would only delay the same error.
                if kind.is_temporary() {
                    host.note_failure(kind.to_string());
                    permit.observe(Observed::Failed);
                }
                host.counters.unanswered();
                Err(kind)
            }
        }
    }
}

impl Leg {
    /// Continues at the target of a redirect. Credentials are not sent to another origin.
    fn redirect_to(&mut self, next: Url, shared: &Shared) {
        if next.origin() != self.url.origin() {
            self.headers.remove(header::AUTHORIZATION);
            self.headers.remove(header::COOKIE);
            let is_configured = shared.settings.hosts.contains_key(&authority(&next));
            // On the loopback interface, for example in tests, no public address is required.
            let is_local = is_loopback(&self.url) && is_loopback(&next);
            self.named_by = if is_configured || is_local { NamedBy::AnswerAndUser } else { NamedBy::Answer };
        }
        self.url = next;
    }
}
