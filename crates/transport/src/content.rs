//! The content of a request while it is sent: counted, and watched for whose fault a silence or a failure is.

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

/// How slowly a body that is sent in one piece may leave, in bytes a second; its answer is waited for that much longer.
const SLOWEST_LINE: u64 = 100_000;

/// A request's body as the client takes it.
pub(crate) struct Content {
    pub(crate) body: Option<reqwest::Body>,
    /// What `Content-Length` says where the client does not know it.
    pub(crate) length: Option<u64>,
    /// The time that sending it may take.
    pub(crate) sending_time: Duration,
    pub(crate) failure: Failure,
}

/// Why a stream of ours failed, where it did: the client reports that as a failure of the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn set(&self, error: &io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// The reason, once.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Prepares a body to be sent.
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

/// A stream of ours on its way out.
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
        // From here on it is the host that has to move.
        self.progress.set_starved(false);
    }
}
