//! The door itself: admits, sends, judges the answer, and sends again where that may help.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use crate::address::{PublicOnly, is_loopback, is_written_private};
use crate::body::{Origin, Response};
use crate::error::{Error, ErrorKind, root};
use crate::limit::{Gate, Observed};
use crate::redact::shown;
use crate::request::{Body, Class, Redirects, Request};
use crate::retry::{Budget, is_refusal, is_temporary, retry_after};
use crate::settings::{HostSettings, InvalidSettings, Settings};
use crate::tally::{Counters, Tally};
use crate::under_way::{Progress, Stall, UnderWay};

/// How slowly a body that is sent in one piece may leave, in bytes a second; its answer is waited for that much longer.
const SLOWEST_LINE: u64 = 100_000;

/// The most redirects that one request follows.
const HOPS: usize = 5;

/// The one way out of the process. Cloning it is cheap and opens no second one.
#[derive(Clone, Debug)]
pub struct Door {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    /// Speaks with hosts that the user named.
    client: reqwest::Client,
    /// Speaks with hosts that are not behind the environment's proxy.
    direct: reqwest::Client,
    /// Speaks with hosts that an answer named: public addresses only.
    public: reqwest::Client,
    hosts: RwLock<HashMap<String, Arc<HostState>>>,
    under_way: UnderWay,
}

/// Requests that wait before a host's gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The host.
    pub host: String,
    /// How many wait.
    pub requests: usize,
    /// For how long the host is left alone, because it has refused requests.
    pub rests: Duration,
}

#[derive(Debug)]
struct HostState {
    gate: Arc<Gate>,
    counters: Arc<Counters>,
}

/// The parts of a request that stay the same however often it is sent.
struct Sending {
    method: Method,
    kind: &'static str,
    class: Class,
    started: Instant,
}

/// The parts of a request that a redirect changes.
struct Leg {
    url: Url,
    headers: HeaderMap,
    /// Whether an answer has named the host, rather than somebody who may.
    untrusted: bool,
}

impl Door {
    /// Opens the door.
    ///
    /// # Errors
    /// When a certificate authority of the settings cannot be read.
    pub fn open(settings: Settings) -> Result<Self, InvalidSettings> {
        let mut authorities = Vec::new();
        for (index, pem) in settings.authorities.iter().enumerate() {
            let found = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|source| InvalidSettings::Authority { position: index + 1, source })?;
            authorities.extend(found);
        }
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        let builder = || {
            reqwest::Client::builder()
                .user_agent(&settings.user_agent)
                .connect_timeout(settings.timeouts.connect)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .tls_certs_merge(authorities.clone())
        };
        let client = builder().build().map_err(InvalidSettings::Client)?;
        let direct = builder().no_proxy().build().map_err(InvalidSettings::Client)?;
        let public = builder().dns_resolver(PublicOnly).build().map_err(InvalidSettings::Client)?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                client,
                direct,
                public,
                hosts: RwLock::default(),
                under_way: UnderWay::default(),
            }),
        })
    }

    /// Sends a request and gives back the head of the answer, whatever its status; temporary failures are tried again.
    ///
    /// # Errors
    /// When no answer came, or a redirect may not be followed.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let mut budget = self.budget();
        let Request { method, url, kind, class, headers, mut body, redirects, repeatable, untrusted } =
            request;
        let sending = Sending { method, kind, class, started: Instant::now() };
        let mut leg = Leg { url, headers, untrusted };
        let mut hops = 0;
        let mut repeated = false;
        loop {
            let fail = |kind, leg: &Leg, budget: &Budget| {
                Error::new(kind, &sending.method, &leg.url, budget.attempts(), sending.started.elapsed())
            };
            self.permitted(&leg).map_err(|why| fail(ErrorKind::Forbidden(why), &leg, &budget))?;
            let once = if repeatable { replica(&body) } else { std::mem::replace(&mut body, Body::Empty) };
            let pause = match self.attempt(&sending, &leg, once, repeated, &mut budget).await {
                Ok(response) if redirects == Redirects::Follow && response.status().is_redirection() => {
                    let next = next_hop(&response, hops).map_err(|kind| fail(kind, &leg, &budget))?;
                    let configured = self.shared.settings.hosts.contains_key(&authority(&next));
                    leg.turn_to(next, configured);
                    hops += 1;
                    continue;
                }
                Ok(response) if !(repeatable && is_temporary(response.status())) => return Ok(response),
                Ok(response) => match pause_after(&response, &mut budget) {
                    Some(pause) => {
                        response.discard().await;
                        pause
                    }
                    None => return Ok(response),
                },
                Err(kind) => match budget.pause(None) {
                    Some(pause) if repeatable && kind.is_temporary() => pause,
                    _ => return Err(fail(kind, &leg, &budget)),
                },
            };
            tracing::debug!(method = %sending.method, url = shown(&leg.url), pause_ms = pause.as_millis(), "trying again");
            sleep(pause).await;
            repeated = true;
        }
    }

    /// A budget for one request, as the settings have it.
    pub fn budget(&self) -> Budget {
        Budget::new(self.shared.settings.retry)
    }

    /// What went through so far, by host.
    pub fn tally(&self) -> Tally {
        let hosts = self.shared.hosts.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        hosts.iter().map(|(host, state)| (host.clone(), state.counters.snapshot())).collect()
    }

    /// The requests of which nothing has moved for so long, the longest first.
    pub fn stalled(&self, longer_than: Duration) -> Vec<Stall> {
        self.shared.under_way.stalled(longer_than)
    }

    /// The hosts before whose gates requests wait.
    pub fn queues(&self) -> Vec<Queue> {
        let hosts = self.shared.hosts.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let queue = |(host, state): (&String, &Arc<HostState>)| {
            let (requests, until) = state.gate.waiting();
            let rests = until.map(|until| until.saturating_duration_since(Instant::now()));
            (requests > 0).then(|| Queue { host: host.clone(), requests, rests: rests.unwrap_or_default() })
        };
        hosts.iter().filter_map(queue).collect()
    }

    /// The settings that hold for a host.
    pub fn host_settings(&self, authority: &str) -> &HostSettings {
        self.shared.settings.hosts.get(authority).unwrap_or(&self.shared.settings.other_hosts)
    }

    /// Whether a request may be sent to a URL at all; `Err` says why not.
    fn permitted(&self, Leg { url, untrusted, .. }: &Leg) -> Result<(), &'static str> {
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err("only http and https are spoken"),
        };
        if plain && !is_loopback(url) && !self.host_settings(&authority(url)).plain_http {
            return Err("plain HTTP is spoken with this machine only, or where it is configured");
        }
        if *untrusted && is_written_private(url) {
            return Err("an answer named this host, and its address is not public");
        }
        Ok(())
    }

    /// One try: from the gate to the head of the answer.
    async fn attempt(
        &self,
        sending: &Sending,
        leg: &Leg,
        body: Body,
        repeated: bool,
        budget: &mut Budget,
    ) -> Result<Response, ErrorKind> {
        let Leg { url, headers, untrusted } = leg;
        let mut headers = headers.clone();
        let host = self.host(url);
        let permit = host.gate.admit(sending.class).await.map_err(ErrorKind::Outage)?;
        budget.attempt();
        host.counters.request(&permit, sending.kind);
        host.counters.retried.fetch_add(u64::from(repeated), Relaxed);

        let place = self.shared.under_way.enter(&sending.method, url);
        let mut sending_time = Duration::ZERO;
        let body = match body {
            Body::Empty => None,
            Body::Bytes(bytes) => {
                host.counters.sent.fetch_add(bytes.len() as u64, Relaxed);
                sending_time = Duration::from_secs(bytes.len() as u64 / SLOWEST_LINE);
                Some(reqwest::Body::from(bytes))
            }
            Body::Stream { length, stream } => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                let (progress, counters) = (place.progress.clone(), Arc::clone(&host.counters));
                Some(reqwest::Body::wrap_stream(stream.inspect(move |piece: &std::io::Result<Bytes>| {
                    progress.touch();
                    counters.sent.fetch_add(piece.as_ref().map_or(0, |p| p.len() as u64), Relaxed);
                })))
            }
        };
        // What is on this machine is not behind any proxy.
        let client = match (*untrusted, is_loopback(url) || self.host_settings(&authority(url)).direct) {
            (true, _) => &self.shared.public,
            (false, true) => &self.shared.direct,
            (false, false) => &self.shared.client,
        };
        let mut request = client.request(sending.method.clone(), url.clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }

        let timeouts = self.shared.settings.timeouts;
        let patience = timeouts.answer + sending_time;
        let answer = tokio::select! {
            answer = request.send() => answer.map_err(|error| classify(&error)),
            () = silence(&place.progress, patience) => {
                Err(ErrorKind::Timeout { waiting_for: "an answer", limit: patience })
            }
        };
        match answer {
            Ok(inner) => {
                host.counters.touch();
                place.progress.touch();
                permit.observe(observed(inner.status(), inner.headers()));
                host.counters.refused.fetch_add(u64::from(is_refusal(inner.status())), Relaxed);
                let origin = Origin {
                    method: sending.method.clone(),
                    url: url.clone(),
                    attempts: budget.attempts(),
                    started: sending.started,
                    timeouts,
                    counters: Arc::clone(&host.counters),
                    place,
                    _permit: permit,
                };
                Ok(Response { inner, origin })
            }
            Err(kind) => {
                // Where what we send has failed, the host is not to blame.
                if !matches!(kind, ErrorKind::Content(_)) {
                    permit.observe(Observed::Lost);
                }
                host.counters.unanswered.fetch_add(1, Relaxed);
                Err(kind)
            }
        }
    }

    fn host(&self, url: &Url) -> Arc<HostState> {
        let authority = authority(url);
        let known = self.shared.hosts.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(state) = known.get(&authority) {
            return Arc::clone(state);
        }
        drop(known);
        let mut hosts = self.shared.hosts.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = hosts.entry(authority).or_insert_with_key(|authority| {
            let gate = Arc::new(Gate::new(self.host_settings(authority)));
            Arc::new(HostState { gate, counters: Arc::default() })
        });
        Arc::clone(state)
    }
}

impl Leg {
    /// Goes on to where a redirect leads. Credentials stay with the host that they were meant for. A host that is `configured`
    /// is one that somebody has named, also where its address is not public.
    fn turn_to(&mut self, next: Url, configured: bool) {
        if next.origin() != self.url.origin() {
            self.headers.remove(header::AUTHORIZATION);
            self.headers.remove(header::COOKIE);
            // On a machine's own loopback, tests included, there is no public address to insist on.
            self.untrusted = !(configured || is_loopback(&self.url) && is_loopback(&next));
        }
        self.url = next;
    }
}

/// The host of a URL with its port where that is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The same body once more; callers see to it that streams are not asked for twice.
fn replica(body: &Body) -> Body {
    match body {
        Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
        Body::Empty | Body::Stream { .. } => Body::Empty,
    }
}

/// Ends when nothing has moved for `limit`.
async fn silence(progress: &Progress, limit: Duration) {
    loop {
        let deadline = progress.last() + limit;
        if Instant::now() >= deadline {
            return;
        }
        sleep_until(deadline).await;
    }
}

fn observed(status: StatusCode, headers: &HeaderMap) -> Observed {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Observed::Refused(retry_after(headers)),
        StatusCode::SERVICE_UNAVAILABLE => Observed::Unavailable(retry_after(headers)),
        // Somebody before the host has answered.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Observed::Lost,
        _ => Observed::Served,
    }
}

/// How long to wait after a temporary failure before the request is sent again, if it is.
fn pause_after(response: &Response, budget: &mut Budget) -> Option<Duration> {
    let asked = retry_after(response.headers());
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS => budget.pause_refused(asked),
        _ => budget.pause(asked),
    }
}

fn classify(error: &reqwest::Error) -> ErrorKind {
    if error.is_connect() {
        ErrorKind::Connect(root(error))
    } else if error.is_body() {
        ErrorKind::Content(root(error))
    } else {
        ErrorKind::Broken(root(error))
    }
}

/// Where a redirect leads, if it may be followed.
fn next_hop(response: &Response, hops: usize) -> Result<Url, ErrorKind> {
    let refuse = |to: String, reason| ErrorKind::Redirect { to, reason };
    let from = response.url();
    let location = response.header(header::LOCATION.as_str());
    let Some(to) = location.and_then(|location| from.join(location).ok()) else {
        return Err(refuse("nowhere".to_owned(), "it names no location"));
    };
    if hops >= HOPS {
        return Err(refuse(shown(&to), "there were too many before it"));
    }
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(refuse(shown(&to), "it leaves TLS"));
    }
    if !matches!(*response.method(), Method::GET | Method::HEAD) {
        return Err(refuse(shown(&to), "only reads follow redirects"));
    }
    Ok(to)
}
