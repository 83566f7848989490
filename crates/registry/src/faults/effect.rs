//! The effects of faults on requests and responses.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::sleep;

use crate::body::{Body, Response, full};
use crate::error::{ErrorCode, Refusal};

/// How long the connection has to send the first part of a body before it breaks.
const FLUSH: Duration = Duration::from_millis(20);
/// A chunk of an endless body. At 64 KiB each millisecond, the body reaches the limits of a client without loading the processor.
const ENDLESS_PIECE: &[u8] = &[b' '; 64 << 10];
const ENDLESS_PAUSE: Duration = Duration::from_millis(1);
/// How many chunks a second a slow body is sent in.
const SLOW_PIECES: u64 = 20;

/// What a fault does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The request is not processed, and the response is an error.
    Status {
        /// The status of the response.
        status: StatusCode,
        /// The error code in the body.
        code: ErrorCode,
        /// The value of `Retry-After`, rounded up to seconds. `None` omits the header.
        retry_after: Option<Duration>,
    },
    /// The request is not processed, and the response is this one.
    Canned(Canned),
    /// The request is not processed, and the connection is reset.
    Reset,
    /// The request is processed, but the connection is reset before the response.
    LostAnswer,
    /// The request is not processed and never answered.
    Hang,
    /// The request is processed, but never answered.
    HangAnswer,
    /// The connection breaks after this many bytes of the response body, although the response announces the full length.
    Cut {
        /// In bytes.
        after: u64,
    },
    /// The response body has the right length, but its first byte is changed.
    Corrupt,
    /// The response body is sent slowly.
    Slow {
        /// At least 1.
        bytes_per_second: u64,
    },
    /// The response body stalls after this many bytes.
    HangBody {
        /// In bytes.
        after: u64,
    },
    /// The response body is replaced by one that never ends.
    Endless,
}

/// A fixed response to any request.
#[derive(Clone, Debug)]
pub struct Canned {
    /// The status.
    pub status: StatusCode,
    /// The headers. The server sets those for the length.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Canned {
    /// Returns a response without headers or body.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Sets the body and its `Content-Type`.
    #[must_use]
    pub fn with_body(self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }.with_header(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(crate) fn response(self) -> Response {
        let mut response = Response::new(full(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// An effect, by the moment at which it is applied.
#[derive(Debug)]
pub(crate) enum Injection {
    /// Applied instead of processing the request.
    Before(Before),
    /// Applied to the response.
    After(After),
}

#[derive(Debug)]
pub(crate) enum Before {
    Answer(Box<Response>),
    Reset,
    Hang,
}

#[derive(Debug)]
pub(crate) enum After {
    Lost,
    Unanswered,
    Cut(u64),
    Corrupt,
    Slow(u64),
    Hang(u64),
    Endless,
}

impl From<Effect> for Injection {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Status { status, code, retry_after } => {
                Self::Before(Before::Answer(Box::new(refused(status, code, retry_after))))
            }
            Effect::Canned(canned) => Self::Before(Before::Answer(Box::new(canned.response()))),
            Effect::Reset => Self::Before(Before::Reset),
            Effect::Hang => Self::Before(Before::Hang),
            Effect::HangAnswer => Self::After(After::Unanswered),
            Effect::LostAnswer => Self::After(After::Lost),
            Effect::Cut { after } => Self::After(After::Cut(after)),
            Effect::Corrupt => Self::After(After::Corrupt),
            Effect::Slow { bytes_per_second } => Self::After(After::Slow(bytes_per_second.max(1))),
            Effect::HangBody { after } => Self::After(After::Hang(after)),
            Effect::Endless => Self::After(After::Endless),
        }
    }
}

/// Returns the error response of a configured fault.
pub(crate) fn refused(status: StatusCode, code: ErrorCode, retry_after: Option<Duration>) -> Response {
    let refusal = Refusal::new(code, "the registry is configured to refuse this request").with_status(status);
    let refusal = match retry_after {
        None => refusal,
        Some(wait) => refusal.with_header(RETRY_AFTER, HeaderValue::from(whole_seconds(wait))),
    };
    refusal.into_response()
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl After {
    /// Applies the effect to a response. Returns `None` if the response is lost.
    pub(crate) async fn apply(self, response: Response) -> Option<Response> {
        let (mut parts, body) = response.into_parts();
        // The length is announced even if the body is cut short: without it, a client could not notice the cut.
        if let Some(length) = hyper::body::Body::size_hint(&body).exact()
            && !parts.headers.contains_key(CONTENT_LENGTH)
        {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let body = match self {
            Self::Lost => return None,
            Self::Unanswered => std::future::pending().await,
            Self::Cut(after) => of(first(body, after).chain(stream::once(broken()))),
            Self::Hang(after) => of(first(body, after).chain(stream::pending())),
            Self::Corrupt => of(corrupted(body)),
            Self::Slow(rate) => of(slowed(body, rate)),
            Self::Endless => {
                parts.headers.remove(CONTENT_LENGTH);
                of(endless())
            }
        };
        Some(Response::from_parts(parts, body))
    }
}

fn of(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

fn pieces(body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send {
    body.into_data_stream()
}

/// Returns the first `bytes` bytes of a body.
fn first(body: Body, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    pieces(body).scan(bytes, |left, piece| {
        let taken = (*left > 0).then(|| {
            piece.map(|piece| {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= length as u64;
                piece.slice(..length)
            })
        });
        std::future::ready(taken)
    })
}

async fn broken() -> io::Result<Bytes> {
    // Bytes that are still in the send buffer are lost when the connection breaks.
    sleep(FLUSH).await;
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the response is cut short"))
}

fn corrupted(body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send {
    pieces(body).scan(false, |done, piece| {
        let piece = piece.map(|piece| {
            if *done || piece.is_empty() {
                return piece;
            }
            *done = true;
            let mut wrong = piece.to_vec();
            wrong[0] = !wrong[0];
            wrong.into()
        });
        std::future::ready(Some(piece))
    })
}

fn slowed(body: Body, rate: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let size = usize::try_from(rate.div_ceil(SLOW_PIECES)).unwrap_or(usize::MAX);
    let small = pieces(body).flat_map(move |piece| stream::iter(split(piece, size)));
    small.then(move |piece| async move {
        if let Ok(piece) = &piece {
            sleep(Duration::from_secs_f64(piece.len() as f64 / rate as f64)).await;
        }
        piece
    })
}

fn split(piece: io::Result<Bytes>, size: usize) -> Vec<io::Result<Bytes>> {
    match piece {
        Err(error) => vec![Err(error)],
        Ok(whole) => (0..whole.len())
            .step_by(size)
            .map(|start| Ok(whole.slice(start..whole.len().min(start.saturating_add(size)))))
            .collect(),
    }
}

fn endless() -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::repeat(()).then(|()| async {
        sleep(ENDLESS_PAUSE).await;
        Ok(Bytes::from_static(ENDLESS_PIECE))
    })
}
