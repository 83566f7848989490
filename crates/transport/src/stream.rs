//! Bodies as streams, limited in size and time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::answer::Answer;
use crate::error::{Error, ErrorKind, root};
use crate::limit::Permit;
use crate::redact::Carried;
use crate::settings::Timeouts;
use crate::tally::Counters;
use crate::under_way::Ticket;

/// The minimum number of bytes within [`Timeouts::idle`]. A slower stream counts as stalled.
const DRIP: u64 = 1024;
/// The maximum number of bytes that are read from an answer that is not successful.
const REFUSAL_MAX: u64 = 64 * 1024;

/// The maximum time for the body of an answer that is not successful: its status is the most important part.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// Receives the pieces of a body as they arrive. Its methods are synchronous, so it cannot send a
/// request while the answer holds its permit.
pub trait Sink: Send {
    /// Called when a body starts: the first one, and again after an attempt that was interrupted. Earlier pieces are invalid
    /// then.
    fn begin(&mut self);

    /// Receives a piece. Returns `false` to stop reading.
    fn take(&mut self, piece: Bytes) -> bool;
}

/// The head of an answer, with a body that is not read yet. It holds the permit at its host.
pub(crate) struct Head {
    pub(crate) inner: reqwest::Response,
    pub(crate) origin: Origin,
}

/// The request of an answer, and its counters.
pub(crate) struct Origin {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) carried: Arc<Carried>,
    pub(crate) is_redirected: bool,
    pub(crate) attempts: u32,
    pub(crate) started: Instant,
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Arc<Counters>,
    /// Whether the answer is neither a refusal nor a failure.
    pub(crate) is_served: bool,
    pub(crate) ticket: Ticket,
    pub(crate) _permit: Permit,
}

impl Origin {
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, &self.method, &self.url, self.attempts, self.started.elapsed())
    }
}

impl Head {
    pub(crate) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.origin.url
    }

    /// Reads the whole body of a successful answer, up to `limit` bytes, or the start of the body of any other answer.
    pub(crate) async fn collect(self, limit: u64) -> Result<Answer, Error> {
        let mut body = Collected { bytes: BytesMut::new(), left: None };
        if !self.status().is_success() {
            body.left = Some(REFUSAL_MAX);
            let answer = self.begin_answer();
            let limit = REFUSAL_TIME.min(self.origin.timeouts.answer);
            match timeout(limit, self.read(u64::MAX, &mut body)).await {
                Ok(read) => drop(read?),
                // The body of a 404 says what does not exist, so a part of it is not evidence of absence.
                Err(_) if answer.status == StatusCode::NOT_FOUND => {
                    return Err(answer.error(ErrorKind::LongBody { limit }));
                }
                // The part of the body that has arrived is sufficient.
                Err(_) => {}
            }
            let answer = Answer { body: body.bytes.freeze(), ..answer };
            return match ErrorKind::of_answer(answer.status, answer.url.scheme(), &answer.body) {
                Some(kind) => Err(answer.error(kind)),
                None => Ok(answer),
            };
        }
        let answer = self.read(limit, &mut body).await?;
        Ok(Answer { body: body.bytes.freeze(), ..answer })
    }

    /// Passes the body to `sink`, until the body ends or the sink stops.
    pub(crate) async fn read(self, limit: u64, sink: &mut dyn Sink) -> Result<Answer, Error> {
        sink.begin();
        let answer = self.begin_answer();
        if self.inner.content_length().is_some_and(|announced| announced > limit) {
            return Err(self.origin.error(ErrorKind::TooLarge { limit }));
        }
        let whole = self.origin.timeouts.whole;
        let deadline = Instant::now() + whole;
        let mut stream = self.into_stream();
        let mut read = 0;
        loop {
            match timeout_at(deadline, stream.next()).await {
                Ok(Ok(None)) => return Ok(answer),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(Some(piece))) => {
                    read += piece.len() as u64;
                    if read > limit {
                        return Err(stream.origin.error(ErrorKind::TooLarge { limit }));
                    }
                    if !sink.take(piece) {
                        return Ok(answer);
                    }
                }
                Err(_) => {
                    let kind = ErrorKind::LongBody { limit: whole };
                    return Err(stream.origin.error(kind));
                }
            }
        }
    }

    /// Constructs the answer without its body.
    fn begin_answer(&self) -> Answer {
        Answer {
            status: self.inner.status(),
            headers: self.inner.headers().clone(),
            method: self.origin.method.clone(),
            url: self.origin.url.clone(),
            carried: Arc::clone(&self.origin.carried),
            is_redirected: self.origin.is_redirected,
            attempts: self.origin.attempts,
            elapsed: self.origin.started.elapsed(),
            body: Bytes::new(),
        }
    }

    /// Returns the body as a stream, for a caller that passes it on.
    pub(crate) fn into_stream(self) -> BodyStream {
        let drip = Drip { since: Instant::now(), bytes: 0 };
        BodyStream { inner: self.inner, origin: self.origin, drip, is_over: false }
    }
}

/// A body in memory.
struct Collected {
    bytes: BytesMut,
    /// How many more bytes are kept; `None` for all.
    left: Option<u64>,
}

impl Sink for Collected {
    fn begin(&mut self) {
        self.bytes.clear();
    }

    fn take(&mut self, piece: Bytes) -> bool {
        let Some(left) = &mut self.left else {
            self.bytes.extend_from_slice(&piece);
            return true;
        };
        let kept = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
        self.bytes.extend_from_slice(&piece[..kept]);
        *left -= kept as u64;
        *left > 0
    }
}

/// The body of a successful answer as a stream.
///
/// Unlike an [`Answer`], it holds a permit at its host while its owner does something else, such as passing the pieces on to
/// other hosts. Drop it before sending another request to the same host.
pub struct BodyStream {
    inner: reqwest::Response,
    origin: Origin,
    drip: Drip,
    is_over: bool,
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { method, url, .. } = &self.origin;
        write!(f, "{method} {}: {}", crate::redact::shown(url), self.status())
    }
}

impl BodyStream {
    /// Returns the status, which is 2xx.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Returns the value of a header, or `None` if it is missing or not plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// Returns the next piece; `None` after the last.
    ///
    /// # Errors
    /// Returns an error if the body is interrupted or too slow. The stream has ended then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let piece = self.piece().await;
        self.is_over = !matches!(piece, Ok(Some(_)));
        piece
    }

    /// Reads the rest of the body.
    ///
    /// # Errors
    /// Returns the errors of [`BodyStream::next`], and an error if the rest has more than `limit` bytes.
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(&piece);
            if body.len() as u64 > limit {
                return Err(self.origin.error(ErrorKind::TooLarge { limit }));
            }
        }
        Ok(body.freeze())
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let idle = self.origin.timeouts.idle;
        let slow = ErrorKind::SlowBody { least: DRIP, span: idle };
        match timeout(idle, self.inner.chunk()).await {
            Err(_) => Err(self.origin.error(slow)),
            Ok(Err(error)) => Err(self.origin.error(ErrorKind::Broken(root(&error)))),
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(piece))) => {
                self.origin.counters.received.fetch_add(piece.len() as u64, Relaxed);
                match self.origin.is_served {
                    true => self.origin.counters.served(),
                    false => self.origin.counters.answered(),
                }
                self.origin.ticket.progress.touch();
                if self.drip.is_too_slow(piece.len() as u64, idle) {
                    return Err(self.origin.error(slow));
                }
                Ok(Some(piece))
            }
        }
    }
}

/// Detects streams that are too slow.
struct Drip {
    since: Instant,
    bytes: u64,
}

impl Drip {
    /// Counts bytes. Returns `true` if fewer than [`DRIP`] bytes have arrived in a whole span.
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
