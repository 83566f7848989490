//! The HTTP client of the exporter: its requests go through a door.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use transport::{Body, Class, Door, Request};
use url::Url;

/// The largest answer of a collector that is read, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// Why the first export that failed has failed.
pub(super) type Failure = Arc<Mutex<Option<String>>>;

/// The HTTP client of the exporter.
pub(super) struct Client {
    door: Door,
    runtime: Handle,
    failure: Failure,
}

impl Client {
    /// Creates a client that sends its requests through this door, on this runtime.
    pub(super) fn new(door: Door, runtime: Handle, failure: Failure) -> Self {
        Self { door, runtime, failure }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
