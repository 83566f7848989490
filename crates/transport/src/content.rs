//! The body of a request while it is sent. It is counted, and delays and failures are attributed to the client or to the host.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream};

use crate::request::Body;
use crate::tally::Counters;
use crate::under_way::Progress;

/// The assumed minimum speed, in bytes a second, at which a body in memory is sent. The timeout of the answer is extended
/// accordingly.
const SLOWEST_LINE: u64 = 100_000;

/// The body of a request for the HTTP client.
pub(crate) struct Content {
    pub(crate) body: Option<reqwest::Body>,
    /// The value of `Content-Length`, if the HTTP client does not know it.
    pub(crate) length: Option<u64>,
    /// The time that sending the body may take.
    pub(crate) sending_time: Duration,
    pub(crate) failure: Failure,
}

/// Why a body stream of this process failed. The HTTP client reports such a failure as one of the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn set(&self, error: &io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// Takes the recorded reason.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Prepares a body for sending.
pub(crate) fn content(body: Body, progress: &Progress, counters: &Arc<Counters>) -> Content {
    let none =
        Content { body: None, length: None, sending_time: Duration::ZERO, failure: Failure::default() };
    match body {
        Body::Empty => none,
        Body::Bytes(bytes) => {
            let length = bytes.len() as u64;
            counters.sent.fetch_add(length, Relaxed);
            let sending_time = Duration::from_secs(length / SLOWEST_LINE);
            Content { body: Some(bytes.into()), sending_time, ..none }
        }
        Body::Stream { length, stream } => {
            let failure = none.failure.clone();
            let watched =
                Watched { stream, progress: progress.clone(), counters: Arc::clone(counters), failure };
            Content { body: Some(reqwest::Body::wrap_stream(watched)), length: Some(length), ..none }
        }
    }
}

/// A body stream of this process while it is sent.
struct Watched {
    stream: BoxStream<'static, io::Result<Bytes>>,
    progress: Progress,
    counters: Arc<Counters>,
    failure: Failure,
}

impl Stream for Watched {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.as_mut().poll_next(context);
        self.progress.set_starved(next.is_pending());
        match &next {
            Poll::Ready(Some(Ok(piece))) => {
                self.progress.touch();
                self.counters.sent.fetch_add(piece.len() as u64, Relaxed);
            }
            Poll::Ready(Some(Err(error))) => self.failure.set(error),
            Poll::Ready(None) | Poll::Pending => {}
        }
        next
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The client no longer reads this body, so from now on it waits for the host.
        self.progress.set_starved(false);
    }
}
