//! A blob on its way out of a registry: resumed where it breaks, verified before its end is given away.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderValue, Method, StatusCode, header};
use transport::{Budget, Class};

use crate::client::expect;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind};
use crate::name::Repository;
use crate::read::Reader;

/// What a connection has to bring for a break after it to count as a new one, in bytes: large blobs on long ways may break often,
/// but a host that gives little at a time is given up.
const PROGRESS: u64 = 1024 * 1024;

/// A blob as a stream of verified content.
///
/// The last piece is held back until the whole has the right size and digest, so that whoever passes the pieces on cannot
/// complete an upload of wrong content. A connection that breaks is resumed where the registry serves ranges, and read
/// over where it does not; wrong content is an error at once.
pub struct BlobStream {
    reader: Reader,
    repository: Repository,
    digest: Digest,
    size: u64,
    class: Class,
    budget: Budget,
    hasher: Option<Hasher>,
    /// Bytes taken in, the one held back included.
    read: u64,
    held: Option<Bytes>,
    body: Option<BoxStream<'static, Result<Bytes, transport::Error>>>,
    /// What was read when the connection was made.
    resumed_at: u64,
}

impl BlobStream {
    pub(crate) fn new(reader: Reader, repository: Repository, digest: Digest, size: u64) -> Self {
        let budget = reader.shared.door.budget();
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
        }
    }

    /// The same, asked for by requests of another class than those for much.
    pub(crate) fn of_class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    fn doing(&self) -> String {
        format!("reading the blob {}@{}", self.repository, self.digest)
    }

    /// Asks for the blob, so that a caller knows whether it is there before it opens uploads for it.
    ///
    /// # Errors
    /// When the registry does not give it.
    pub async fn open(&mut self) -> Result<(), Error> {
        if self.body.is_none() && self.hasher.is_some() {
            self.body = Some(self.connect().await?);
        }
        Ok(())
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// When the content is wrong, or the registry gives up for good.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.hasher.is_none() {
                return Ok(self.held.take());
            }
            self.open().await?;
            let Some(body) = &mut self.body else { continue };
            match body.next().await {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.take_in(&piece)?;
                    if let Some(before) = self.held.replace(piece) {
                        return Ok(Some(before));
                    }
                }
                Some(Err(error)) => self.interrupted(error).await?,
                None => {
                    self.verify()?;
                    self.body = None;
                }
            }
        }
    }

    /// The whole blob, for one that is small enough to be kept.
    ///
    /// # Errors
    /// As [`BlobStream::next`].
    pub async fn whole(mut self) -> Result<Bytes, Error> {
        // A size comes from a manifest, which anybody may have written: memory follows what arrives.
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

    /// Closes the account: after this only what is held back remains to be given.
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

    /// Waits before the rest is asked for, if the budget has it.
    async fn interrupted(&mut self, error: transport::Error) -> Result<(), Error> {
        self.body = None;
        if self.read == self.size {
            // Nothing is left to ask for.
            return self.verify();
        }
        if self.read - self.resumed_at >= PROGRESS {
            self.budget = self.reader.shared.door.budget();
            self.budget.attempt();
        }
        match self.budget.pause(None) {
            Some(pause) if error.is_temporary() => {
                tracing::debug!(blob = %self.digest, read = self.read, %error, "resuming");
                tokio::time::sleep(pause).await;
                Ok(())
            }
            _ => Err(Error::new(self.doing(), ErrorKind::Transport(error))),
        }
    }

    /// Asks for what is still to come.
    async fn connect(&mut self) -> Result<BoxStream<'static, Result<Bytes, transport::Error>>, Error> {
        let doing = self.doing();
        self.budget.attempt();
        let path = format!("blobs/{}", self.digest);
        let mut call = self.reader.shared.reading(Method::GET, &self.repository, &path, "blob-get")?;
        call.class = self.class;
        let mut request = call.request().follow();
        if self.read > 0 {
            let range = HeaderValue::try_from(format!("bytes={}-", self.read));
            let range = range.map_err(|_| Error::new(&doing, ErrorKind::Malformed("no range".to_owned())))?;
            request = request.header(header::RANGE, range);
        }
        let response =
            expect(self.reader.shared.send(call, request, &doing).await?, &[200, 206], &doing).await?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        if partial {
            let resumes = format!("bytes {}-", self.read);
            let range = response.header(header::CONTENT_RANGE.as_str()).unwrap_or_default();
            if self.read == 0 || !range.starts_with(&resumes) {
                let why = format!("asked from byte {}, it answers with the range `{range}`", self.read);
                return Err(Error::new(doing, ErrorKind::Malformed(why)));
            }
        }
        let skip = if partial { 0 } else { self.read };
        self.resumed_at = self.read;
        Ok(skipping(response.stream(), skip))
    }
}

/// A stream without its first `skip` bytes.
fn skipping(
    body: impl futures_util::Stream<Item = Result<Bytes, transport::Error>> + Send + 'static,
    mut skip: u64,
) -> Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, transport::Error>> + Send>> {
    body.map(move |piece| {
        piece.map(|mut piece| {
            let cut = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= cut as u64;
            piece.split_off(cut)
        })
    })
    .boxed()
}
