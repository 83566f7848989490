//! Sending the content of an upload (distribution specification, *Pushing a blob monolithically* and *in chunks*).

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderValue, Method, header};
use oci_types::Digest;
use oci_types::Repository;
use transport::{Answer, Body, Class};
use url::Url;

use super::pieces::Divided;
use crate::answer::{agrees, refused, same_host, success};
use crate::error::{Error, ErrorKind};
use crate::writer::Writer;

/// An upload that a registry has opened.
#[derive(Debug)]
pub struct Upload {
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    pub(super) location: Url,
    /// The minimum chunk size of the registry (`OCI-Chunk-Min-Length`), in bytes.
    pub(super) least_chunk: u64,
}

/// The content of an upload.
pub(crate) enum Content {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A stream of bytes, which can be read once.
    Stream {
        /// The length, in bytes.
        length: u64,
        /// The stream; an error ends the upload, which the registry then never completes.
        stream: BoxStream<'static, std::io::Result<Bytes>>,
    },
}

/// The result of sending content.
#[derive(Debug)]
pub(super) enum Sent {
    /// The registry has the content.
    Done,
    /// The registry redirects the upload to another URL of the same host.
    Elsewhere(Url),
}

impl Upload {
    pub(super) fn doing(&self) -> String {
        format!("uploading the blob {} to {}", self.digest, self.repository)
    }
}

impl Writer {
    /// Sends the content of an upload once: in one request, or in chunks of `chunk` bytes.
    pub(super) async fn send(
        &self,
        upload: &Upload,
        content: Content,
        chunk: Option<u64>,
    ) -> Result<Sent, Error> {
        match chunk {
            Some(chunk) => self.send_chunks(upload, content, chunk).await,
            None => {
                let body = match content {
                    Content::Bytes(bytes) => Body::Bytes(bytes),
                    Content::Stream { length, stream } => Body::Stream { length, stream },
                };
                self.close(upload, upload.location.clone(), body).await
            }
        }
    }

    /// Sends a blob in chunks. Each chunk is a stream, so none is kept in memory.
    async fn send_chunks(&self, upload: &Upload, content: Content, chunk: u64) -> Result<Sent, Error> {
        let (length, stream) = match content {
            Content::Stream { length, stream } => (length, stream),
            Content::Bytes(bytes) => (bytes.len() as u64, futures_util::stream::iter([Ok(bytes)]).boxed()),
        };
        let chunk = chunk.max(upload.least_chunk).max(1);
        let all = Divided::new(stream);
        let mut location = upload.location.clone();
        let mut sent = 0;
        while sent < length {
            let next = chunk.min(length - sent);
            location = self.send_chunk(upload, location, sent..sent + next, all.first(next)).await?;
            sent += next;
        }
        self.close(upload, location, Body::Empty).await
    }

    /// Sends one chunk, and returns the URL for the next one.
    async fn send_chunk(
        &self,
        upload: &Upload,
        location: Url,
        place: Range<u64>,
        stream: BoxStream<'static, std::io::Result<Bytes>>,
    ) -> Result<Url, Error> {
        let doing = upload.doing();
        let sessions = &self.own.sessions;
        let mut call = sessions.call(Method::PATCH, &upload.repository, "blobs/uploads/", "blob-chunk")?;
        (call.class, call.url) = (Class::BulkWrite, location.clone());
        let range = HeaderValue::try_from(format!("{}-{}", place.start, place.end - 1))
            .map_err(|_| Error::new(&doing, ErrorKind::Malformed("no range".to_owned())))?;
        let request = call
            .request()
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(header::CONTENT_RANGE, range)
            // A stream is sent only once: a chunk that arrived twice would corrupt the blob.
            .body(Body::Stream { length: place.end - place.start, stream });
        let answer = success(sessions.send(&call, request, &doing).await?, &doing)?;
        Ok(self::location(&answer, &doing)?.unwrap_or(location))
    }

    /// Closes an upload, with the rest of the body.
    async fn close(&self, upload: &Upload, mut location: Url, body: Body) -> Result<Sent, Error> {
        let doing = upload.doing();
        location.query_pairs_mut().append_pair("digest", &upload.digest.to_string());
        let sessions = &self.own.sessions;
        let mut call = sessions.call(Method::PUT, &upload.repository, "blobs/uploads/", "blob-put")?;
        (call.class, call.url) = (Class::BulkWrite, location);
        let mut request = call.request().follow_on_host();
        request = match body {
            Body::Empty => request.header(header::CONTENT_LENGTH, HeaderValue::from(0)),
            body => request
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
                .body(body),
        };
        // A session that was closed cannot be closed again; the caller determines whether it was.
        let reply = sessions.send(&call, request.again_when_refused(), &doing).await?;
        if matches!(reply.status().as_u16(), 307 | 308) {
            let to = self::location(&reply.answer, &doing)?;
            return to.map(Sent::Elsewhere).ok_or_else(|| refused(&reply, &doing));
        }
        let answer = success(reply, &doing)?;
        agrees(&answer, upload.digest, &doing)?;
        Ok(Sent::Done)
    }
}

/// Returns the URL of the next request of an upload, if the answer contains one.
pub(super) fn location(answer: &Answer, doing: &str) -> Result<Option<Url>, Error> {
    let to = answer.header(header::LOCATION.as_str()).filter(|to| !to.trim().is_empty());
    to.map(|to| same_host(answer.url(), to, "Location", doing)).transpose()
}
