//! Bodies while they arrive, bounded in size and time.

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

/// The fewest bytes that must come within [`Timeouts::idle`]; a stream with fewer counts as hanging.
const DRIP: u64 = 1024;
/// The most bytes that are read of an answer that is not a success.
const REFUSAL_MAX: u64 = 64 * 1024;

/// The longest that the body of an answer that is not a success is read: its status has said the most.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// Takes the pieces of a body as they arrive. It cannot wait, so it cannot send a request while the answer has its place.
pub trait Sink: Send {
    /// A body begins: at first, and again after an attempt that broke in the middle. What was taken before is void.
    fn begin(&mut self);

    /// Takes a piece; `false` to read no further.
    fn take(&mut self, piece: Bytes) -> bool;
}

/// The head of an answer, with a body that is still to come. It holds its host's permit.
pub(crate) struct Head {
    pub(crate) inner: reqwest::Response,
    pub(crate) origin: Origin,
}

/// Where an answer comes from and what it is counted under.
pub(crate) struct Origin {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) carried: Arc<Carried>,
    pub(crate) is_redirected: bool,
    pub(crate) attempts: u32,
    pub(crate) started: Instant,
    pub(crate) timeouts: Timeouts,
    pub(crate) counters: Arc<Counters>,
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

    /// Reads the whole body: of a success at most `limit` bytes, of any other status the beginning.
    pub(crate) async fn collect(self, limit: u64) -> Result<Answer, Error> {
        let mut body = Collected { bytes: BytesMut::new(), left: None };
        if !self.status().is_success() {
            body.left = Some(REFUSAL_MAX);
            let answer = self.begin_answer();
            let limit = REFUSAL_TIME.min(self.origin.timeouts.answer);
            match timeout(limit, self.read(u64::MAX, &mut body)).await {
                Ok(read) => drop(read?),
                // What is not there is told by the body: half of one must prove nothing.
                Err(_) if answer.status == StatusCode::NOT_FOUND => {
                    return Err(answer.error(ErrorKind::LongBody { limit }));
                }
                // What has come by now is what the answer says.
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

    /// Gives the body to `sink` until its end, or until the sink wants no more.
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

    /// The answer without its body.
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

    /// The body, piece by piece, for a caller that passes it on.
    pub(crate) fn into_stream(self) -> BodyStream {
        let drip = Drip { since: Instant::now(), bytes: 0 };
        BodyStream { inner: self.inner, origin: self.origin, drip, is_over: false }
    }
}

/// A body in memory.
struct Collected {
    bytes: BytesMut,
    /// How many more bytes are kept; `None`: all.
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

/// The body of a successful answer, piece by piece.
///
/// It is the one thing that holds a place at its host while its owner does something else, such as passing the pieces on to
/// other hosts. Drop it before the same host is asked again.
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
    /// The status, which is a success.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// A header's value, where it is there and plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// When the body breaks, or does not come fast enough. The stream is over then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let piece = self.piece().await;
        self.is_over = !matches!(piece, Ok(Some(_)));
        piece
    }

    /// The rest of the body as a whole.
    ///
    /// # Errors
    /// As [`BodyStream::next`], and when it has more than `limit` bytes.
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
                self.origin.counters.answered();
                self.origin.ticket.progress.touch();
                if self.drip.is_too_slow(piece.len() as u64, idle) {
                    return Err(self.origin.error(slow));
                }
                Ok(Some(piece))
            }
        }
    }
}

/// Tells a stream from a drip.
struct Drip {
    since: Instant,
    bytes: u64,
}

impl Drip {
    /// Counts some bytes; `true` where a whole span has brought fewer than [`DRIP`].
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
