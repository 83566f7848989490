//! The OpenTelemetry trace of a run, exported by OTLP over HTTP where the environment names a collector.
//!
//! `steps` translates the events of each kind of run, and `spans` makes spans of them.
//!
//! Spans are collected by the OpenTelemetry SDK, in a queue of bounded length, and sent by a thread of its own. Requests go through a
//! door of their own, so that the report of the run does not count them. An export that fails has no effect on the run.

mod client;
mod spans;
mod steps;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use client::{Client, Failure};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use promote::Observer;
use spans::Spans;
use steps::Traced;
use tokio::runtime::Handle;
use transport::{Door, Settings};
use url::Url;

use crate::exit::Exit;

/// The time that the end of a run waits for the collector.
const PATIENCE: Duration = Duration::from_secs(3);

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
        let client = Client::new(door, Handle::current(), Arc::clone(&failure));
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
        let spans = Arc::new(Spans::begin(provider.tracer("kpromo"), name));
        Ok(Self { provider, spans, failure, host })
    }

    /// Returns the observer of the run.
    pub(crate) fn observer<E: Traced>(&self) -> Arc<dyn Observer<E>> {
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
