//! What a fault does to a request or to its answer.

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

/// How long the connection has to bring the first part of a body to the client before it breaks.
const FLUSH: Duration = Duration::from_millis(20);
/// The pieces of a body without end: 64 KiB a millisecond, so that it takes a client's patience and not the processor.
const ENDLESS_PIECE: &[u8] = &[b' '; 64 << 10];
const ENDLESS_PAUSE: Duration = Duration::from_millis(1);
/// How many pieces a second a slow body comes in.
const SLOW_PIECES: u64 = 20;

/// What a fault does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The request is not carried out and refused.
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// The code in its body.
        code: ErrorCode,
        /// What `Retry-After` says, rounded up to seconds; `None` leaves the header out.
        retry_after: Option<Duration>,
    },
    /// The request is not carried out and answered with this instead.
    Canned(Canned),
    /// The request is not carried out and the connection is reset.
    Reset,
    /// The request is carried out, but the connection is reset before the answer.
    LostAnswer,
    /// The request is not carried out and never answered.
    Hang,
    /// The request is carried out, but never answered.
    HangAnswer,
    /// The answer's body ends with the connection after this many bytes, though it announces its full length.
    Cut {
        /// In bytes.
        after: u64,
    },
    /// The answer's body has its length, but its first byte is another.
    Corrupt,
    /// The answer's body comes this slowly.
    Slow {
        /// At least 1.
        bytes_per_second: u64,
    },
    /// Nothing more comes after this many bytes of the answer's body.
    HangBody {
        /// In bytes.
        after: u64,
    },
    /// The answer's body is replaced by one that never ends.
    Endless,
}

/// An answer that has nothing to do with the request.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Its status.
    pub status: StatusCode,
    /// Its headers; those of the length are set by the server.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Canned {
    /// An answer without headers or body.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same with a body and its `Content-Type`.
    #[must_use]
    pub fn with_body(self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }.with_header(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// The same with one more header.
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

/// An effect, by when it takes place.
#[derive(Debug)]
pub(crate) enum Injection {
    /// Instead of carrying out the request.
    Before(Before),
    /// Upon the answer.
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

/// The refusal that a configured fault answers with.
pub(crate) fn refused(status: StatusCode, code: ErrorCode, retry_after: Option<Duration>) -> Response {
    let refusal = Refusal::new(code, "the registry was told to refuse this").with_status(status);
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
    /// Does to an answer what is to be done; `None` where it is lost.
    pub(crate) async fn apply(self, response: Response) -> Option<Response> {
        let (mut parts, body) = response.into_parts();
        // The length is announced although the body may not keep the promise. Without it a cut could not be noticed.
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

/// The first so many bytes.
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
    // What was sent before would be lost with the connection if it had not left by now.
    sleep(FLUSH).await;
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the answer is cut short"))
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
