//! Blobs (OCI distribution specification, *Pulling blobs*, *Deleting blobs*).

use std::io::SeekFrom;
use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use oci::{Digest, RepositoryPath};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::{Call, Registry, header, status};
use crate::body::{Body, Response, empty, full};
use crate::error::{ErrorCode, Refusal};
use crate::headers::DOCKER_CONTENT_DIGEST;
use crate::store::Source;

/// How much of a blob is read from disk at once, in bytes.
const READ_SIZE: usize = 256 << 10;

/// A part of a blob, in bytes. The end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

/// The part of a blob that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Span),
    /// A range outside the blob.
    Nothing,
}

impl Wanted {
    /// Parses the `Range` header (RFC 9110, 14.2). The RFC permits a server to ignore several ranges and other units; this one
    /// ignores both.
    fn of(headers: &HeaderMap, size: u64) -> Self {
        let range = headers.get(RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
        let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return Self::Whole };
        let span = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(start), Ok(last)) => Span { start, end: last.saturating_add(1).min(size) },
            (Ok(start), Err(_)) if last.is_empty() => Span { start, end: size },
            (Err(_), Ok(count)) if first.is_empty() => Span { start: size.saturating_sub(count), end: size },
            _ => return Self::Whole,
        };
        if span.start < span.end { Self::Part(span) } else { Self::Nothing }
    }
}

impl Registry {
    pub(super) async fn blob(
        &self,
        call: &Call,
        repository: &RepositoryPath,
        digest: Digest,
        visible: bool,
    ) -> Result<Response, Refusal> {
        let unknown =
            || Refusal::new(ErrorCode::BlobUnknown, format!("`{repository}` has no blob `{digest}`"));
        match call.method {
            Method::GET | Method::HEAD => {
                let found = self.store.blob_source(repository, &digest).filter(|_| visible);
                let (size, source) = found.ok_or_else(unknown)?;
                blob(call, &digest, size, source).await
            }
            Method::DELETE => {
                let deleted = self.store.delete_blob(repository, digest).await?;
                if deleted { Ok(status(StatusCode::ACCEPTED)) } else { Err(unknown()) }
            }
            _ => Err(Refusal::method_not_allowed("GET, HEAD, DELETE")),
        }
    }
}

async fn blob(call: &Call, digest: &Digest, size: u64, source: Source) -> Result<Response, Refusal> {
    let whole = Span { start: 0, end: size };
    if call.method == Method::HEAD {
        return answer(StatusCode::OK, empty(), digest, whole);
    }
    match Wanted::of(&call.headers, size) {
        Wanted::Whole => answer(StatusCode::OK, content(source, whole).await?, digest, whole),
        Wanted::Part(span) => {
            let body = content(source, span).await?;
            let mut response = answer(StatusCode::PARTIAL_CONTENT, body, digest, span)?;
            let range = format!("bytes {}-{}/{size}", span.start, span.end - 1);
            response.headers_mut().insert(CONTENT_RANGE, header(range)?);
            Ok(response)
        }
        Wanted::Nothing => {
            let refusal = Refusal::new(ErrorCode::SizeInvalid, format!("the blob has {size} bytes"));
            Err(refusal
                .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
                .with_header(CONTENT_RANGE, header(format!("bytes */{size}"))?))
        }
    }
}

fn answer(status: StatusCode, body: Body, digest: &Digest, span: Span) -> Result<Response, Refusal> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(span.end - span.start));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(ETAG, header(format!("\"{digest}\""))?);
    headers.insert(DOCKER_CONTENT_DIGEST, header(digest.to_string())?);
    Ok(response)
}

async fn content(source: Source, span: Span) -> Result<Body, Refusal> {
    match source {
        Source::Memory(bytes) => Ok(full(slice(&bytes, span))),
        Source::File(path) => stream(&path, span).await.map_err(|error| {
            tracing::error!(path = %path.display(), %error, "a blob cannot be read");
            Refusal::new(ErrorCode::Unknown, "the registry's storage failed; see its log")
        }),
        Source::Discarded => {
            Err(Refusal::new(ErrorCode::Unsupported, "this registry discards the content of blobs"))
        }
    }
}

fn slice(bytes: &Bytes, span: Span) -> Bytes {
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(span.start)..at(span.end))
}

async fn stream(path: &Path, span: Span) -> std::io::Result<Body> {
    let mut file = File::open(path).await?;
    if span.start > 0 {
        file.seek(SeekFrom::Start(span.start)).await?;
    }
    let pieces = ReaderStream::with_capacity(file.take(span.end - span.start), READ_SIZE);
    Ok(StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(range: &str) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().unwrap());
        Wanted::of(&headers, 100)
    }

    #[test]
    fn ranges_are_parsed_as_http_defines_them() {
        let part = |start, end| Wanted::Part(Span { start, end });
        assert_eq!(wanted("bytes=0-0"), part(0, 1));
        assert_eq!(wanted("bytes=10-19"), part(10, 20));
        assert_eq!(wanted("bytes=90-"), part(90, 100));
        assert_eq!(wanted("bytes=-10"), part(90, 100));
        assert_eq!(wanted("bytes=-1000"), part(0, 100));
        assert_eq!(wanted("bytes=50-18446744073709551615"), part(50, 100));
    }

    #[test]
    fn ranges_outside_the_blob_are_refused_and_invalid_ones_are_ignored() {
        for outside in ["bytes=100-", "bytes=100-200", "bytes=20-10", "bytes=-0"] {
            assert_eq!(wanted(outside), Wanted::Nothing, "{outside}");
        }
        for ignored in ["lines=1-2", "bytes=1-2,4-5", "bytes=a-b", "bytes=", "bytes=-"] {
            assert_eq!(wanted(ignored), Wanted::Whole, "{ignored}");
        }
    }

    proptest! {
        /// For every `Range`, only bytes within the blob are read.
        #[test]
        fn no_range_exceeds_the_blob(range in "bytes=[0-9]{0,20}-[0-9]{0,20}|.{0,20}", size in any::<u64>()) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = range.parse() {
                headers.insert(RANGE, value);
            }
            if let Wanted::Part(span) = Wanted::of(&headers, size) {
                prop_assert!(span.start < span.end && span.end <= size, "{span:?} of {size}");
            }
        }
    }
}
