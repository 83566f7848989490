//! The OpenTelemetry trace of a run, exported by OTLP over HTTP where the environment names a collector.
//!
//! Spans are collected by the OpenTelemetry SDK, in a queue of bounded length, and sent by a thread of its own. Requests go through a
//! door of their own, so that the report of the run does not count them. An export that fails has no effect on the run.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use oci::{DigestReference, Repository};
use opentelemetry::trace::{Span as _, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use promote::{Event, Observer, Phase, Promotion};
use tokio::runtime::Handle;
use transport::{Body, Class, Door, Request, Settings};
use url::Url;

use crate::exit::Exit;

/// The time that the end of a run waits for the collector.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest answer of a collector that is read, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// The variables that name a collector. The SDK itself reads those for headers, the sampler and attributes of the resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collector {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the URL below which the collector is.
    pub(crate) endpoint: Option<String>,
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: the URL for traces, which wins.
    pub(crate) traces_endpoint: Option<String>,
    /// `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, or else `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub(crate) protocol: Option<String>,
    /// `OTEL_SDK_DISABLED` is `true`.
    pub(crate) is_disabled: bool,
    /// `OTEL_SERVICE_NAME` is set.
    pub(crate) has_service_name: bool,
}

impl Collector {
    /// Returns the URL for traces, or `None` if no variable asks for a trace.
    fn url(&self) -> Option<Result<Url, String>> {
        if self.is_disabled {
            return None;
        }
        let (name, text, path) = match (&self.traces_endpoint, &self.endpoint) {
            (Some(url), _) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url, ""),
            (None, Some(url)) => ("OTEL_EXPORTER_OTLP_ENDPOINT", url, "/v1/traces"),
            (None, None) => return None,
        };
        if let Some(protocol) = self.protocol.as_deref().filter(|protocol| *protocol != "http/protobuf") {
            return Some(Err(format!("the protocol `{protocol}` is not supported, only http/protobuf")));
        }
        // The URL may contain a password, so it is not shown.
        // It is parsed before the path is added, which would otherwise be taken for the host of a URL that has none.
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.map(|mut url| {
            if !path.is_empty() {
                url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
            }
            url
        });
        Some(url.ok_or_else(|| format!("{name} is not a URL with http or https")))
    }
}

/// The trace of a run.
pub(crate) struct Trace {
    provider: SdkTracerProvider,
    spans: Arc<Spans>,
    failure: Failure,
    host: String,
}

/// Why the first export that failed has failed.
type Failure = Arc<Mutex<Option<String>>>;

impl Trace {
    /// Begins the trace of a run, if the environment names a collector. A trace that cannot begin is a warning.
    pub(crate) fn begin(collector: &Collector, settings: &Settings, name: &'static str) -> Option<Self> {
        let trace = collector.url()?.and_then(|url| Self::to(&url, collector, settings, name));
        trace.map_err(|why| tracing::warn!("the run is not traced: {why}")).ok()
    }

    fn to(url: &Url, collector: &Collector, settings: &Settings, name: &'static str) -> Result<Self, String> {
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut settings = settings.clone();
        // Collectors beside a job have no TLS, and the user has named this one.
        let plain_http = url.scheme() == "http";
        settings.hosts.entry(host.clone()).or_insert_with(|| settings.other_hosts.clone()).plain_http |=
            plain_http;
        let door = Door::open(settings).map_err(|error| error.to_string())?;
        let failure = Failure::default();
        let client = Client { door, runtime: Handle::current(), failure: Arc::clone(&failure) };
        let exporter =
            SpanExporter::builder().with_http().with_http_client(client).with_endpoint(url.as_str());
        let exporter = exporter.with_timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if !collector.has_service_name {
            resource = resource.with_service_name("kpromo");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        let tracer = provider.tracer("kpromo");
        let run = Context::new().with_span(tracer.start_with_context(name, &Context::new()));
        let open = Open { run: run.clone(), phases: HashMap::new(), images: HashMap::new() };
        Ok(Self { provider, spans: Arc::new(Spans { tracer, open: Mutex::new(open) }), failure, host })
    }

    /// Returns the observer of the run.
    pub(crate) fn observer(&self) -> Arc<dyn Observer<Event>> {
        Arc::<Spans>::clone(&self.spans)
    }

    /// Ends the trace and waits a few seconds for the collector. What could not be exported is one warning.
    pub(crate) async fn end(self, exit: Exit) {
        let Self { provider, spans, failure, host } = self;
        spans.end(exit);
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(PATIENCE)).await;
        let failed = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = match (failed, sent) {
            (Some(why), _) => why,
            (None, Ok(Ok(()))) => return,
            // The error of the SDK may contain a header.
            (None, _) => format!("it did not accept all spans within {} s", PATIENCE.as_secs()),
        };
        tracing::warn!("the trace of the run is not complete at {host}: {why}");
    }
}

/// The spans of a run.
struct Spans {
    tracer: SdkTracer,
    open: Mutex<Open>,
}

/// The spans that have not ended.
struct Open {
    run: Context,
    phases: HashMap<String, Context>,
    images: HashMap<(DigestReference, Repository), Span>,
}

impl Spans {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the span of an image, which is part of Promote.
    fn begin(&self, promotion: &Promotion) {
        let mut open = self.open();
        let parent = open.phases.get(&Phase::Promote.to_string()).unwrap_or(&open.run);
        let tags: Vec<&str> = promotion.tags.iter().map(oci::Tag::as_str).collect();
        let attributes = [
            KeyValue::new("kpromo.source", promotion.source.to_string()),
            KeyValue::new("kpromo.destination", promotion.destination.to_string()),
            KeyValue::new("kpromo.registry", promotion.destination.host.to_string()),
            KeyValue::new("kpromo.tags", tags.join(",")),
        ];
        let span = self.tracer.span_builder("promote image").with_attributes(attributes);
        let span = span.start_with_context(&self.tracer, parent);
        open.images.insert((promotion.source.clone(), promotion.destination.clone()), span);
    }

    /// Ends the span of an image.
    fn finish(&self, promotion: &Promotion, error: Option<String>, bytes: u64) {
        let key = (promotion.source.clone(), promotion.destination.clone());
        if !self.open().images.contains_key(&key) {
            self.begin(promotion);
        }
        let Some(mut span) = self.open().images.remove(&key) else { return };
        span.set_attribute(KeyValue::new("kpromo.bytes_sent", i64::try_from(bytes).unwrap_or(i64::MAX)));
        if let Some(error) = error {
            span.set_status(Status::error(error));
        }
        span.end();
    }

    /// Adds an event to a phase.
    fn note(&self, phase: Phase, name: &'static str, attributes: Vec<KeyValue>) {
        let open = self.open();
        let context = open.phases.get(&phase.to_string()).unwrap_or(&open.run);
        context.span().add_event(name, attributes);
    }

    /// Ends all spans.
    fn end(&self, exit: Exit) {
        let mut open = self.open();
        open.images.drain().for_each(|(_, mut span)| span.end());
        open.phases.drain().for_each(|(_, phase)| phase.span().end());
        let run = open.run.span();
        run.set_attribute(KeyValue::new("process.exit.code", i64::from(exit.code())));
        if exit != Exit::Success {
            run.set_status(Status::error(exit.meaning()));
        }
        run.end();
    }
}

impl Observer<Event> for Spans {
    fn observe(&self, event: &Event) {
        match event {
            Event::Started(phase) => {
                let mut open = self.open();
                let span = self.tracer.start_with_context(phase.to_string(), &open.run);
                open.phases.insert(phase.to_string(), Context::new().with_span(span));
            }
            Event::Ended { phase, .. } => {
                if let Some(phase) = self.open().phases.remove(&phase.to_string()) {
                    phase.span().end();
                }
            }
            Event::Begun(promotion) => self.begin(promotion),
            Event::Promoted(promotion, copied) => self.finish(promotion, None, copied.bytes_sent),
            Event::Failed(promotion, error) => self.finish(promotion, Some(error.to_string()), 0),
            Event::Withheld(promotion, why) => self.finish(promotion, Some(why.clone()), 0),
            Event::Unsigned(image, problem) => {
                self.note(Phase::Sign, "not signed", failed(image, &problem.error));
            }
            Event::Unrecorded(image, problem) => {
                self.note(Phase::Attest, "not recorded", failed(image, &problem.error));
            }
            _ => {}
        }
    }
}

fn failed(image: &DigestReference, error: &str) -> Vec<KeyValue> {
    vec![KeyValue::new("kpromo.image", image.to_string()), KeyValue::new("kpromo.error", error.to_owned())]
}

/// The HTTP client of the exporter.
struct Client {
    door: Door,
    runtime: Handle,
    failure: Failure,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Client {
    fn send_bytes<'life, 'sent>(&'life self, request: http::Request<Bytes>) -> Sent<'sent>
    where
        'life: 'sent,
        Self: 'sent,
    {
        Box::pin(async move {
            let door = self.door.clone();
            // The exporter's thread has no runtime.
            let sent = self.runtime.spawn(async move { send(&door, request).await }).await;
            let sent = sent.map_err(|error| error.to_string()).flatten();
            if let Err(why) = &sent {
                self.failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert_with(|| why.clone());
            }
            sent.map_err(Into::into)
        })
    }
}

/// Sends a request. The SDK decides whether it is sent again.
async fn send(door: &Door, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, String> {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|error| error.to_string())?;
    let mut request = Request::new(parts.method, url, "trace", Class::Write).once().limit(ANSWER_MAX);
    for (name, mut value) in parts.headers.into_iter().filter_map(|(name, value)| Some((name?, value))) {
        // Any header of the user may be a credential.
        value.set_sensitive(name != http::header::CONTENT_TYPE);
        request = request.header(name, value);
    }
    let answer = door.send(request.body(Body::Bytes(body))).await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("it answered {}", answer.status()));
    }
    Ok(http::Response::new(answer.into_body()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_for_traces_wins_and_nothing_asks_for_no_trace() {
        let url = |endpoint: Option<&str>, traces: Option<&str>, protocol: Option<&str>| {
            let [endpoint, traces_endpoint, protocol] =
                [endpoint, traces, protocol].map(|text| text.map(str::to_owned));
            let collector = Collector { endpoint, traces_endpoint, protocol, ..Collector::default() };
            collector.url().map(|url| url.map(String::from))
        };
        assert_eq!(url(None, None, Some("grpc")), None);
        let expected = Some(Ok("http://c:4318/v1/traces".to_owned()));
        assert_eq!(url(Some("http://c:4318/"), None, None), expected);
        assert_eq!(url(Some("http://c:4318"), None, Some("http/protobuf")), expected);
        assert_eq!(url(Some("http://c"), Some("https://d/x"), None), Some(Ok("https://d/x".to_owned())));
        assert!(url(Some("http://c:4317"), None, Some("grpc")).unwrap().unwrap_err().contains("grpc"));
        for wrong in ["c:4318", "ftp://user:hush@c", "http://"] {
            let error = url(Some(wrong), None, None).unwrap().unwrap_err();
            assert!(!error.contains("hush") && error.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{error}");
        }
        let off =
            Collector { is_disabled: true, endpoint: Some("http://c".to_owned()), ..Collector::default() };
        assert!(off.url().is_none());
    }
}
