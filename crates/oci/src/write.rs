//! Writing to a registry (distribution specification, *Push*).

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderValue, Method, StatusCode, header};
use transport::{Body, Class, Response};
use url::Url;

use crate::auth::Scope;
use crate::client::{expect, named_digest, same_host};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::manifest::RawManifest;
use crate::name::{Repository, RepositoryPath};
use crate::read::{Reader, Selector};

/// What may write to registries.
#[derive(Clone, Debug)]
pub struct Writer {
    pub(crate) reader: Reader,
}

/// What came of asking for a blob.
#[derive(Debug)]
pub enum Presence {
    /// The repository has it.
    There,
    /// The repository wants it: this is the upload that was opened for it.
    Wanted(Upload),
}

/// An upload that a registry has opened.
#[derive(Debug)]
pub struct Upload {
    repository: Repository,
    digest: Digest,
    location: Url,
    /// The least that the registry takes in a piece (`OCI-Chunk-Min-Length`), in bytes.
    least_chunk: u64,
}

/// The content of an upload.
pub enum Content {
    /// Bytes that can be sent again.
    Bytes(Bytes),
    /// Bytes that come once.
    Stream {
        /// How many.
        length: u64,
        /// The bytes; an error ends the upload, which the registry then never completes.
        stream: BoxStream<'static, std::io::Result<Bytes>>,
    },
}

impl Writer {
    /// The same access without the right to write.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Asks a repository to take a blob from another of its registry, and opens an upload for it where that cannot be
    /// done (*Mounting a blob from another repository*): one request that asks, mounts and opens.
    ///
    /// Where no repository is known to have the blob, `from` is the repository itself: then the request asks whether the
    /// blob is there.
    ///
    /// # Errors
    /// When the registry does neither.
    pub async fn mount_or_open(
        &self,
        repository: &Repository,
        digest: Digest,
        from: &RepositoryPath,
    ) -> Result<Presence, Error> {
        let shared = &self.reader.shared;
        let doing = format!("asking {repository} for the blob {digest}");
        let path = format!("{}/blobs/uploads/?mount={digest}&from={from}", repository.path);
        let mut call =
            shared.writing(Method::POST, repository, shared.url(&repository.host, &path)?, "blob-mount");
        if *from != repository.path {
            call.scopes.insert(Scope::pull(from));
        }
        let asked = call.url.clone();
        let request = call.request();
        let response = expect(shared.send(call, request, &doing).await?, &[201, 202], &doing).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(Presence::There);
        }
        let location = location(&response, &asked, &doing)?;
        let least_chunk =
            response.header("oci-chunk-min-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Presence::Wanted(Upload { repository: repository.clone(), digest, location, least_chunk }))
    }

    /// Sends the content of an upload: in one request, or in pieces to hosts that want pieces.
    ///
    /// # Errors
    /// When the registry does not take it. A host that refuses a whole blob as too large is remembered: the next upload
    /// to it goes in pieces.
    pub async fn upload(&self, upload: &Upload, content: Content) -> Result<(), Error> {
        let shared = &self.reader.shared;
        match shared.upload_chunk(&upload.repository.host) {
            Some(chunk) => self.upload_chunks(upload, content, chunk).await,
            None => self.upload_whole(upload, content).await,
        }
    }

    async fn upload_whole(&self, upload: &Upload, content: Content) -> Result<(), Error> {
        let doing = upload.doing();
        let body = match content {
            Content::Bytes(bytes) => Body::Bytes(bytes),
            Content::Stream { length, stream } => Body::Stream { length, stream },
        };
        self.finish(upload, upload.location.clone(), body, &doing).await.inspect_err(|error| {
            if error.status() == Some(StatusCode::PAYLOAD_TOO_LARGE) {
                self.reader.shared.learn_chunked(&upload.repository.host);
            }
        })
    }

    /// Sends a blob in pieces, each of which streams: none is kept.
    async fn upload_chunks(&self, upload: &Upload, content: Content, chunk: u64) -> Result<(), Error> {
        let doing = upload.doing();
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
            location = self.send_chunk(upload, location, sent..sent + next, all.first(next), &doing).await?;
            sent += next;
        }
        self.finish(upload, location, Body::Empty, &doing).await
    }

    /// Sends one piece and gives where the next one goes.
    async fn send_chunk(
        &self,
        upload: &Upload,
        location: Url,
        place: Range<u64>,
        stream: BoxStream<'static, std::io::Result<Bytes>>,
        doing: &str,
    ) -> Result<Url, Error> {
        let shared = &self.reader.shared;
        let mut call = shared.writing(Method::PATCH, &upload.repository, location, "blob-chunk");
        call.class = Class::BulkWrite;
        let asked = call.url.clone();
        let range = HeaderValue::try_from(format!("{}-{}", place.start, place.end - 1))
            .map_err(|_| Error::new(doing, ErrorKind::Malformed("no range".to_owned())))?;
        let request = call
            .request()
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(header::CONTENT_RANGE, range)
            // A stream is sent once: a piece that arrived twice would not be the blob any more.
            .body(Body::Stream { length: place.end - place.start, stream });
        let response = expect(shared.send(call, request, doing).await?, &[202], doing).await?;
        self::location(&response, &asked, doing)
    }

    /// Closes an upload, with the body that is still to be sent.
    async fn finish(&self, upload: &Upload, mut location: Url, body: Body, doing: &str) -> Result<(), Error> {
        let shared = &self.reader.shared;
        location.query_pairs_mut().append_pair("digest", &upload.digest.to_string());
        let mut call = shared.writing(Method::PUT, &upload.repository, location, "blob-put");
        call.class = Class::BulkWrite;
        let mut request = call.request();
        request = match body {
            Body::Empty => request.header(header::CONTENT_LENGTH, HeaderValue::from(0)),
            body => request
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
                .body(body),
        };
        let response = expect(shared.send(call, request, doing).await?, &[201, 204], doing).await?;
        agrees(&response, upload.digest, doing)
    }

    /// Puts a manifest under a tag or its own digest, its bytes as they are. Its parts must be there.
    ///
    /// # Errors
    /// When the registry does not take it, or says that it is another.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        which: Selector<'_>,
        manifest: &RawManifest,
    ) -> Result<(), Error> {
        self.send_manifest(repository, which, manifest).await.map(drop)
    }

    /// Puts a manifest, and gives the registry's answer to it.
    pub(crate) async fn send_manifest(
        &self,
        repository: &Repository,
        which: Selector<'_>,
        manifest: &RawManifest,
    ) -> Result<Response, Error> {
        let shared = &self.reader.shared;
        let doing = format!("writing {}", which.within(repository));
        let url = shared.url(&repository.host, &format!("{}/manifests/{which}", repository.path))?;
        let call = shared.writing(Method::PUT, repository, url, "manifest-put");
        let media_type = HeaderValue::try_from(manifest.media_type().as_str())
            .map_err(|error| Error::new(&doing, ErrorKind::Malformed(error.to_string())))?;
        let request = call
            .request()
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::Bytes(manifest.bytes().clone()));
        let response = expect(shared.send(call, request, &doing).await?, &[200, 201, 202], &doing).await?;
        agrees(&response, manifest.digest(), &doing)?;
        Ok(response)
    }
}

/// A stream that is given out in parts, one after another.
struct Divided {
    rest: Arc<Mutex<Rest>>,
}

struct Rest {
    stream: BoxStream<'static, std::io::Result<Bytes>>,
    /// What has come of the next part.
    held: Bytes,
}

impl Divided {
    fn new(stream: BoxStream<'static, std::io::Result<Bytes>>) -> Self {
        Self { rest: Arc::new(Mutex::new(Rest { stream, held: Bytes::new() })) }
    }

    /// The first `length` bytes of what is left; fewer where there are not so many.
    fn first(&self, length: u64) -> BoxStream<'static, std::io::Result<Bytes>> {
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

impl Upload {
    fn doing(&self) -> String {
        format!("uploading the blob {} to {}", self.digest, self.repository)
    }
}

/// Where the next request of an upload goes.
fn location(response: &transport::Response, asked: &Url, doing: &str) -> Result<Url, Error> {
    let to = response
        .header(header::LOCATION.as_str())
        .ok_or_else(|| Error::new(doing, ErrorKind::Malformed("it names no Location".to_owned())))?;
    same_host(asked, to, "Location", doing)
}

/// Whether the registry took what we sent for what it is.
fn agrees(response: &transport::Response, expected: Digest, doing: &str) -> Result<(), Error> {
    match named_digest(response) {
        // It may name it by another algorithm than we do.
        Some(got) if got != expected && got.algorithm() == expected.algorithm() => {
            Err(Error::new(doing, ErrorKind::WrongDigest { expected, got }))
        }
        _ => Ok(()),
    }
}
