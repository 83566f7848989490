//! Blobs (distribution specification, *Pulling Blobs*). Reads are resumed after an interruption and verified before they end.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, header};
use oci_types::Repository;
use oci_types::{Digest, Hasher};
use transport::{BodyStream, Budget, Class};

use crate::answer::refused;
use crate::error::{Error, ErrorKind};
use crate::reader::Reader;
use crate::session::{Call, Reply, Streamed};

/// How many bytes a connection must deliver for its failure to count as the first one: large blobs over long distances may be
/// interrupted often, but a host that delivers little each time must not be retried forever.
const PROGRESS: u64 = 1024 * 1024;

/// A blob as a stream of verified content.
///
/// The last piece is held back until the size and digest of the whole blob are verified, so that a caller that passes the pieces
/// on cannot complete an upload of wrong content. After a connection failure the read is resumed if the registry supports ranges,
/// and repeated from the start otherwise. Wrong content is an error at once.
pub struct BlobStream {
    reader: Reader,
    repository: Repository,
    digest: Digest,
    size: u64,
    class: Class,
    budget: Budget,
    hasher: Option<Hasher>,
    /// The number of bytes received, including the piece that is held back.
    read: u64,
    held: Option<Bytes>,
    body: Option<Body>,
    /// The value of `read` when the current connection was made.
    resumed_at: u64,
    /// Whether the registry has answered once that the blob does not exist.
    denied: bool,
}

/// The rest of one answer.
struct Body {
    stream: Box<BodyStream>,
    /// The number of bytes to skip, which an earlier answer has delivered.
    skip: u64,
}

impl Reader {
    /// Reads a blob piece by piece and hashes it as it arrives. The last piece is returned only after digest and size are
    /// verified.
    pub fn blob(&self, repository: &Repository, digest: Digest, size: u64) -> BlobStream {
        BlobStream::new(self.clone(), repository.clone(), digest, size)
    }
}

impl BlobStream {
    fn new(reader: Reader, repository: Repository, digest: Digest, size: u64) -> Self {
        let budget = reader.sessions.door.budget();
        let hasher = Some(digest.algorithm().hasher());
        Self {
            reader,
            repository,
            digest,
            size,
            class: Class::BulkRead,
            budget,
            hasher,
            read: 0,
            held: None,
            body: None,
            resumed_at: 0,
            denied: false,
        }
    }

    /// Sets the class of the requests; the default is the class for large content.
    pub(crate) fn of_class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    fn doing(&self) -> String {
        format!("reading the blob {}@{}", self.repository, self.digest)
    }

    /// Sends the request, so that the caller knows that the blob exists before it opens uploads for it.
    ///
    /// # Errors
    /// Returns an error if the registry does not deliver the blob.
    pub async fn open(&mut self) -> Result<(), Error> {
        while self.body.is_none() && self.hasher.is_some() {
            self.body = self.connect().await?;
        }
        Ok(())
    }

    /// Returns the next piece; `None` after the last.
    ///
    /// # Errors
    /// Returns an error if the content is wrong, or if all attempts have failed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.hasher.is_none() {
                return Ok(self.held.take());
            }
            self.open().await?;
            let Some(body) = &mut self.body else { continue };
            match body.next().await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    self.take_in(&piece)?;
                    if let Some(before) = self.held.replace(piece) {
                        return Ok(Some(before));
                    }
                }
                Err(error) => self.interrupted(error).await?,
                Ok(None) => {
                    self.verify()?;
                    self.body = None;
                }
            }
        }
    }

    /// Reads the whole blob, which must be small enough for memory.
    ///
    /// # Errors
    /// Returns the errors of [`BlobStream::next`].
    pub async fn whole(mut self) -> Result<Bytes, Error> {
        // The size comes from an untrusted manifest, so the buffer grows with the data that arrives.
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    fn take_in(&mut self, piece: &Bytes) -> Result<(), Error> {
        self.read += piece.len() as u64;
        if self.read > self.size {
            return Err(Error::new(
                self.doing(),
                ErrorKind::WrongSize { expected: self.size, got: self.read },
            ));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        Ok(())
    }

    /// Verifies size and digest. After this only the piece that is held back is left.
    fn verify(&mut self) -> Result<(), Error> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        if self.read != self.size {
            self.held = None;
            return Err(Error::new(
                self.doing(),
                ErrorKind::WrongSize { expected: self.size, got: self.read },
            ));
        }
        let got = hasher.finish();
        if got != self.digest {
            self.held = None;
            return Err(Error::new(self.doing(), ErrorKind::WrongDigest { expected: self.digest, got }));
        }
        Ok(())
    }

    /// Waits before the rest is requested, if the budget permits another attempt.
    async fn interrupted(&mut self, error: transport::Error) -> Result<(), Error> {
        // This releases the permit at the host before the next request.
        self.body = None;
        if self.read == self.size {
            // No bytes are left to request.
            return self.verify();
        }
        if self.read - self.resumed_at >= PROGRESS {
            self.budget = self.reader.sessions.door.budget();
            self.budget.attempt();
        }
        self.budget.failed(&error);
        if !error.is_temporary() {
            return Err(Error::new(self.doing(), ErrorKind::Transport(error)));
        }
        self.pause(Error::new(self.doing(), ErrorKind::Transport(error))).await
    }

    /// Waits before another attempt, or returns the error if there is none left.
    async fn pause(&mut self, error: Error) -> Result<(), Error> {
        let Some(pause) = self.budget.pause(None) else { return Err(error) };
        tracing::debug!(blob = %self.digest, read = self.read, %error, "reading again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Requests the rest of the blob; `None` if it must be requested in another way.
    async fn connect(&mut self) -> Result<Option<Body>, Error> {
        let doing = self.doing();
        self.budget.attempt();
        let path = format!("blobs/{}", self.digest);
        // The call borrows the repository while the stream is read.
        let repository = self.repository.clone();
        let mut call = self.reader.call(Method::GET, &repository, &path, "blob-get")?;
        call.class = self.class;
        let mut request = call.request().follow();
        let resumes = self.read > 0 && call.session.takes_range();
        if resumes {
            let range = HeaderValue::try_from(format!("bytes={}-", self.read));
            let range = range.map_err(|_| Error::new(&doing, ErrorKind::Malformed("no range".to_owned())))?;
            request = request.header(header::RANGE, range);
        }
        let reader = self.reader.clone();
        let stream = match reader.sessions.stream(&call, request, &doing).await? {
            Streamed::Body(stream) => stream,
            Streamed::Other(reply) => {
                self.declined(&call, &reply, resumes, &doing).await?;
                return Ok(None);
            }
        };
        if stream.status() == StatusCode::PARTIAL_CONTENT {
            let range = stream.header(header::CONTENT_RANGE.as_str()).unwrap_or_default();
            let length = stream.header(header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
            let is_right = range.starts_with(&format!("bytes {}-", self.read))
                && length.is_none_or(|length: u64| length == self.size - self.read);
            if !resumes || !is_right {
                let why =
                    format!("requested from byte {}, it answers with another range: `{range}`", self.read);
                // Dropped before the blob is requested again, to release its permit.
                drop(stream);
                call.session.learn_range_refused();
                self.pause(Error::new(doing, ErrorKind::Malformed(why))).await?;
                return Ok(None);
            }
            self.resumed_at = self.read;
            return Ok(Some(Body { stream, skip: 0 }));
        }
        self.resumed_at = self.read;
        Ok(Some(Body { stream, skip: self.read }))
    }

    /// Handles an answer other than the blob. If a range is refused, the blob is read again from the start. If the answer is that
    /// the blob does not exist, it is requested once more, since registries have been observed to deny blobs that they have.
    async fn declined(
        &mut self,
        call: &Call<'_>,
        reply: &Reply,
        resumes: bool,
        doing: &str,
    ) -> Result<(), Error> {
        let error = refused(reply, doing);
        match reply.status() {
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::RANGE_NOT_SATISFIABLE
                if resumes =>
            {
                call.session.learn_range_refused();
                self.pause(error).await
            }
            StatusCode::NOT_FOUND if !std::mem::replace(&mut self.denied, true) => self.pause(error).await,
            _ => Err(error),
        }
    }
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>, transport::Error> {
        let Some(mut piece) = self.stream.next().await? else { return Ok(None) };
        let cut = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
        self.skip -= cut as u64;
        Ok(Some(piece.split_off(cut)))
    }
}
