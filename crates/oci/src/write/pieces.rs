//! A stream that is split into consecutive parts.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};

/// A stream to split.
pub(super) struct Divided {
    rest: Arc<Mutex<Rest>>,
}

struct Rest {
    stream: BoxStream<'static, std::io::Result<Bytes>>,
    /// The start of the next part, which has been read already.
    held: Bytes,
}

impl Divided {
    pub(super) fn new(stream: BoxStream<'static, std::io::Result<Bytes>>) -> Self {
        Self { rest: Arc::new(Mutex::new(Rest { stream, held: Bytes::new() })) }
    }

    /// Returns a stream of the first `length` bytes of the rest, or of fewer if the stream ends before.
    pub(super) fn first(&self, length: u64) -> BoxStream<'static, std::io::Result<Bytes>> {
        let rest = Arc::clone(&self.rest);
        let mut left = length;
        futures_util::stream::poll_fn(move |context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
            while rest.held.is_empty() {
                match ready!(rest.stream.poll_next_unpin(context)) {
                    Some(Ok(piece)) => rest.held = piece,
                    end => return Poll::Ready(end),
                }
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.held.len());
            left -= length as u64;
            Poll::Ready(Some(Ok(rest.held.split_to(length))))
        })
        .boxed()
    }
}
