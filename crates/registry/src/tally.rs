//! Counts of the requests that a server has received.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, Response};

/// Declares [`Kind`] together with the list of its values, so that the two cannot differ.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The kinds of requests to a registry. `HEAD` counts as `GET` unless it has a kind of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $name),+ }

        impl Kind {
            /// Every kind, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

kinds! {
    /// `GET /v2/`
    Ping,
    /// `GET /v2/<name>/tags/list`
    TagList,
    /// `HEAD /v2/<name>/manifests/<reference>`
    ManifestHead,
    /// `GET /v2/<name>/manifests/<reference>`
    ManifestGet,
    /// `PUT /v2/<name>/manifests/<reference>`
    ManifestPut,
    /// `DELETE /v2/<name>/manifests/<reference>`
    ManifestDelete,
    /// `HEAD /v2/<name>/blobs/<digest>`
    BlobHead,
    /// `GET /v2/<name>/blobs/<digest>`
    BlobGet,
    /// `DELETE /v2/<name>/blobs/<digest>`
    BlobDelete,
    /// `POST /v2/<name>/blobs/uploads/?mount=<digest>`
    Mount,
    /// `POST /v2/<name>/blobs/uploads/`, with or without `digest`
    UploadOpen,
    /// `PATCH /v2/<name>/blobs/uploads/<id>`
    UploadPatch,
    /// `PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>`
    UploadPut,
    /// `GET /v2/<name>/blobs/uploads/<id>`
    UploadStatus,
    /// `DELETE /v2/<name>/blobs/uploads/<id>`
    UploadCancel,
    /// `GET /v2/<name>/referrers/<digest>`
    Referrers,
    /// `GET /v2/_catalog`
    Catalog,
    /// `GET /token`
    Token,
    /// Any other request.
    Other,
}

impl Kind {
    /// Returns whether requests of this kind change the content of the registry.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::ManifestPut
                | Self::ManifestDelete
                | Self::BlobDelete
                | Self::Mount
                | Self::UploadOpen
                | Self::UploadPatch
                | Self::UploadPut
                | Self::UploadCancel
        )
    }
}

#[derive(Debug, Default)]
struct Counter {
    requests: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Counters {
    kinds: Vec<Counter>,
    received: AtomicU64,
    sent: AtomicU64,
    blobs_sent: AtomicU64,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    log: Mutex<VecDeque<Logged>>,
    log_capacity: usize,
}

/// The running counts of one server. Clones share them.
#[derive(Clone, Debug)]
pub struct Tally {
    counters: Arc<Counters>,
}

/// A request that was answered, or whose connection was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The method.
    pub method: Method,
    /// The path and the query, as requested.
    pub target: String,
    /// The status of the response, `None` if the connection was broken instead.
    pub status: Option<StatusCode>,
}

impl Tally {
    pub(crate) fn new(log_capacity: usize) -> Self {
        Self {
            counters: Arc::new(Counters {
                kinds: Kind::ALL.iter().map(|_| Counter::default()).collect(),
                received: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                blobs_sent: AtomicU64::new(0),
                in_flight: AtomicUsize::new(0),
                most_in_flight: AtomicUsize::new(0),
                log: Mutex::new(VecDeque::new()),
                log_capacity,
            }),
        }
    }

    /// Returns the counts since the start or the last [`Tally::reset`].
    pub fn snapshot(&self) -> Snapshot {
        let counters = &self.counters;
        Snapshot {
            kinds: counters
                .kinds
                .iter()
                .map(|c| (c.requests.load(Relaxed), c.refused.load(Relaxed)))
                .collect(),
            bytes_in: counters.received.load(Relaxed),
            bytes_out: counters.sent.load(Relaxed),
            blob_bytes_out: counters.blobs_sent.load(Relaxed),
            most_in_flight: counters.most_in_flight.load(Relaxed),
        }
    }

    /// Sets all counts to zero and clears the log. Requests in flight stay in flight.
    pub fn reset(&self) {
        let counters = &self.counters;
        for counter in &counters.kinds {
            counter.requests.store(0, Relaxed);
            counter.refused.store(0, Relaxed);
        }
        counters.received.store(0, Relaxed);
        counters.sent.store(0, Relaxed);
        counters.blobs_sent.store(0, Relaxed);
        counters.most_in_flight.store(counters.in_flight.load(Relaxed), Relaxed);
        counters.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the latest requests, oldest first. [`crate::Config::request_log`] limits their number.
    pub fn log(&self) -> Vec<Logged> {
        self.counters.log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn begin(&self, kind: Kind) -> Flight {
        let counters = &self.counters;
        counters.kinds[kind as usize].requests.fetch_add(1, Relaxed);
        let now = counters.in_flight.fetch_add(1, Relaxed) + 1;
        counters.most_in_flight.fetch_max(now, Relaxed);
        Flight { tally: self.clone(), kind }
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.counters.received.fetch_add(bytes, Relaxed);
    }

    fn keep(&self, logged: impl FnOnce() -> Logged) {
        let counters = &self.counters;
        if counters.log_capacity == 0 {
            return;
        }
        let mut log = counters.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == counters.log_capacity {
            log.pop_front();
        }
        log.push_back(logged());
    }
}

/// A request from its arrival to the last byte of its response.
#[derive(Debug)]
pub(crate) struct Flight {
    tally: Tally,
    kind: Kind,
}

impl Flight {
    /// Records the outcome of the request.
    pub(crate) fn record(&self, method: &Method, target: &str, status: Option<StatusCode>) {
        if status == Some(StatusCode::TOO_MANY_REQUESTS) {
            self.tally.counters.kinds[self.kind as usize].refused.fetch_add(1, Relaxed);
        }
        self.tally.keep(|| Logged { method: method.clone(), target: target.to_owned(), status });
    }

    /// Counts the bytes of the response as they are sent. The request stays in flight until the last of them.
    pub(crate) fn follow(self, response: Response) -> Response {
        let blob = self.kind == Kind::BlobGet && response.status().is_success();
        response.map(|inner| Followed { inner, blob, flight: self }.boxed_unsync())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.tally.counters.in_flight.fetch_sub(1, Relaxed);
    }
}

struct Followed {
    inner: Body,
    blob: bool,
    flight: Flight,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            let counters = &self.flight.tally.counters;
            counters.sent.fetch_add(piece.len() as u64, Relaxed);
            if self.blob {
                counters.blobs_sent.fetch_add(piece.len() as u64, Relaxed);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The counts at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    kinds: Vec<(u64, u64)>,
    /// Bytes of request bodies that were read.
    pub bytes_in: u64,
    /// Bytes of response bodies that were handed to the network.
    pub bytes_out: u64,
    /// The part of [`Snapshot::bytes_out`] that was content of blobs.
    pub blob_bytes_out: u64,
    /// The maximum number of requests in flight at once, each from its arrival to the last byte of its response.
    pub most_in_flight: usize,
}

impl Snapshot {
    /// Returns the number of requests of a kind, refused requests included.
    pub fn requests(&self, kind: Kind) -> u64 {
        self.kinds[kind as usize].0
    }

    /// Returns the number of requests of a kind that were answered with 429.
    pub fn refused(&self, kind: Kind) -> u64 {
        self.kinds[kind as usize].1
    }

    /// Returns the number of all requests, refused requests included.
    pub fn total(&self) -> u64 {
        self.kinds.iter().map(|(requests, _)| requests).sum()
    }

    /// Returns the number of all requests that were answered with 429.
    pub fn total_refused(&self) -> u64 {
        self.kinds.iter().map(|(_, refused)| refused).sum()
    }

    /// Returns the number of requests that change the content of the registry, refused requests included.
    pub fn writes(&self) -> u64 {
        Kind::ALL.iter().filter(|kind| kind.is_write()).map(|kind| self.requests(*kind)).sum()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Snapshot");
        for kind in Kind::ALL.iter().filter(|kind| self.requests(**kind) > 0) {
            shown.field(&format!("{kind:?}"), &(self.requests(*kind), self.refused(*kind)));
        }
        shown
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.bytes_out)
            .field("blob_bytes_out", &self.blob_bytes_out)
            .field("most_in_flight", &self.most_in_flight)
            .finish()
    }
}
