//! Answers, whose bodies are bounded in size and time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::error::{Error, ErrorKind, root};
use crate::limit::Permit;
use crate::settings::Timeouts;
use crate::tally::Counters;
use crate::under_way::Place;

/// The least that must come within [`Timeouts::idle`], in bytes, lest a stream counts as hanging.
const DRIP: u64 = 1024;

/// An answer: any status, its headers, and a body that is still to come.
///
/// It keeps its host's permit until its body is read or it is dropped.
pub struct Response {
    pub(crate) inner: reqwest::Response,
    pub(crate) origin: Origin,
}

/// Where an answer comes from and what it is counted under.
pub(crate) struct Origin {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) attempts: u32,
    pub(crate) started: Instant,
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Arc<Counters>,
    pub(crate) place: Place,
    pub(crate) _permit: Permit,
}

impl Origin {
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.method, &self.url, self.attempts, self.started.elapsed())
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.origin.method, crate::redact::shown(&self.origin.url), self.status())
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// A header's value, where it is there and plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The URL that answered, after redirects.
    pub fn url(&self) -> &Url {
        &self.origin.url
    }

    /// The method that was asked with.
    pub fn method(&self) -> &Method {
        &self.origin.method
    }

    /// The attempts it took.
    pub fn attempts(&self) -> u32 {
        self.origin.attempts
    }

    /// An error about this answer, for callers that find its body wanting.
    pub fn error(&self, kind: ErrorKind) -> Error {
        self.origin.error(kind)
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Response::read`].
    pub async fn bytes(self, limit: u64) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        self.read(limit, |piece| {
            body.extend_from_slice(&piece);
            true
        })
        .await?;
        Ok(body.freeze())
    }

    /// Reads the body, piece by piece, until its end, or until `take` wants no more; gives the number of bytes.
    ///
    /// # Errors
    /// When it has more than `limit` bytes, stops coming, or takes longer than [`Timeouts::whole`].
    pub async fn read(self, limit: u64, mut take: impl FnMut(Bytes) -> bool) -> Result<u64, Error> {
        if let Some(announced) = self.inner.content_length()
            && announced > limit
        {
            return Err(self.error(ErrorKind::TooLarge { limit }));
        }
        let whole = self.origin.timeouts.whole;
        let late = self.error(ErrorKind::Timeout { waiting_for: "the whole body", limit: whole });
        let deadline = Instant::now() + whole;
        let mut pieces = std::pin::pin!(self.pieces());
        let mut read = 0;
        loop {
            match timeout_at(deadline, pieces.next()).await {
                Ok(None) => return Ok(read),
                Ok(Some((_, Err(error)))) => return Err(error),
                Ok(Some((origin, Ok(piece)))) => {
                    read += piece.len() as u64;
                    if read > limit {
                        return Err(origin.error(ErrorKind::TooLarge { limit }));
                    }
                    if !take(piece) {
                        return Ok(read);
                    }
                }
                Err(_) => return Err(late),
            }
        }
    }

    /// Reads what little there is of a body that nobody wants, so that its connection can be used again.
    pub async fn discard(self) {
        const LITTLE: u64 = 64 * 1024;
        // Boxed, because it is rare: no request should have room for it. A body that is larger or broken costs its
        // connection, and nothing else.
        let _ = Box::pin(self.bytes(LITTLE)).await;
    }

    /// The body, piece by piece.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        self.pieces().map(|(_, piece)| piece)
    }

    fn pieces(self) -> impl Stream<Item = (Arc<Origin>, Result<Bytes, Error>)> + Send + 'static {
        let Self { inner, origin } = self;
        let drip = Drip { since: Instant::now(), bytes: 0 };
        let state = Some((inner, Arc::new(origin), drip));
        stream::unfold(state, |state| async move {
            let (mut inner, origin, mut drip) = state?;
            let idle = origin.timeouts.idle;
            let slow =
                || origin.error(ErrorKind::Timeout { waiting_for: "the next part of the body", limit: idle });
            let piece = match timeout(idle, inner.chunk()).await {
                Err(_) => Err(slow()),
                Ok(Err(error)) => Err(origin.error(ErrorKind::Broken(root(&error)))),
                Ok(Ok(None)) => return None,
                Ok(Ok(Some(piece))) => {
                    origin.counters.received.fetch_add(piece.len() as u64, Relaxed);
                    origin.counters.touch();
                    origin.place.progress.touch();
                    if drip.is_too_slow(piece.len() as u64, idle) { Err(slow()) } else { Ok(piece) }
                }
            };
            let next = piece.is_ok().then(|| (inner, Arc::clone(&origin), drip));
            Some(((origin, piece), next))
        })
    }
}

/// Tells a stream from a drip.
struct Drip {
    since: Instant,
    bytes: u64,
}

impl Drip {
    /// Takes note of some bytes; `true` where a whole span has brought next to nothing.
    fn is_too_slow(&mut self, bytes: u64, span: Duration) -> bool {
        self.bytes += bytes;
        if self.since.elapsed() < span {
            return false;
        }
        let slow = self.bytes < DRIP;
        *self = Self { since: Instant::now(), bytes: 0 };
        slow
    }
}
