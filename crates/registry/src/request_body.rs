//! Request bodies.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::error::{ErrorCode, Refusal};
use crate::tally::Tally;

/// A request body as it arrives. It counts the bytes and limits the time between two chunks.
pub(crate) struct RequestBody {
    incoming: Incoming,
    tally: Tally,
    idle: Duration,
}

/// Why a request body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("no data was received for {} s", .0.as_secs_f64())]
    Idle(Duration),
    #[error("the request body was interrupted: {0}")]
    Broken(hyper::Error),
    #[error("the request body is larger than the limit of {0} bytes")]
    TooLarge(u64),
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, tally: Tally, idle: Duration) -> Self {
        Self { incoming, tally, idle }
    }

    /// Reads the next chunk. Returns `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = tokio::time::timeout(self.idle, self.incoming.frame())
                .await
                .map_err(|_| BodyError::Idle(self.idle))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(BodyError::Broken(error)),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        self.tally.received(piece.len() as u64);
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// Reads the whole body, if it is at most `limit` bytes.
    pub(crate) async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        let mut collected = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if collected.len() + piece.len() > limit {
                return Err(BodyError::TooLarge(limit as u64));
            }
            collected.extend_from_slice(&piece);
        }
        Ok(collected.freeze())
    }

    /// Reads and discards up to `limit` bytes, so that a client that is still sending can read the response.
    pub(crate) async fn drain(&mut self, limit: u64) {
        let mut seen = 0;
        while let Ok(Some(piece)) = self.next().await {
            seen += piece.len() as u64;
            if seen > limit {
                return;
            }
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Idle(_) => Self::new(ErrorCode::BlobUploadInvalid, error.to_string())
                .with_status(StatusCode::REQUEST_TIMEOUT),
            BodyError::Broken(_) => Self::new(ErrorCode::BlobUploadInvalid, error.to_string()),
            BodyError::TooLarge(_) => Self::new(ErrorCode::SizeInvalid, error.to_string())
                .with_status(StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
}
