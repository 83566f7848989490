//! Providing a repository with a blob: it already exists, is mounted from another repository, or is uploaded, as the registry
//! permits.

use bytes::Bytes;
use http::{Method, StatusCode};
use oci_types::Digest;
use oci_types::{Repository, RepositoryPath};
use tokio::sync::OwnedSemaphorePermit;
use transport::is_temporary;

use super::upload::{Content, Sent, Upload, location};
use crate::answer::refused;
use crate::auth::Scope;
use crate::error::{Error, ErrorKind};
use crate::session::{Call, Reply, Session};
use crate::writer::Writer;

/// After this many connection failures of whole uploads in a row, chunks are tried: a host that refuses a body as too large may
/// close the connection before the client has read its answer.
const BROKEN_WHOLE: u32 = 2;
/// The maximum number of redirects of an upload, each to another URL of its host.
const REDIRECTS_MAX: u32 = 3;

/// Whether a repository has a blob.
#[derive(Debug)]
pub enum Presence {
    /// The repository has it.
    There,
    /// The repository needs the blob; this upload was opened for it.
    Wanted(Upload),
}

/// How a repository received a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// It existed, or was mounted from another repository.
    Found,
    /// It was uploaded.
    Sent,
}

/// The source of a blob's content, which may be read several times.
pub(crate) trait Contents {
    /// Returns the whole content.
    fn content(&mut self) -> impl Future<Output = Result<Content, Error>> + Send;

    /// Returns why the content that was returned last has failed at its source, if it has.
    fn failure(&self) -> Option<Error>;

    /// Records that the content may be needed again.
    fn may_be_wanted_again(&self) {}

    /// Waits until a request about the blob may be sent. The permit is held during the request.
    fn slot(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send;
}

impl Contents for Bytes {
    async fn content(&mut self) -> Result<Content, Error> {
        Ok(Content::Bytes(self.clone()))
    }

    fn failure(&self) -> Option<Error> {
        None
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        None
    }
}

impl Writer {
    /// Ensures that a repository has a blob. `from` is another repository of the same host that has it.
    ///
    /// Sends one request if the blob exists or is mounted, and two if it is uploaded; more if the registry requires chunks, does
    /// not mount, or loses an upload.
    pub(crate) async fn bring(
        &self,
        repository: &Repository,
        digest: Digest,
        size: u64,
        from: Option<&RepositoryPath>,
        contents: &mut impl Contents,
    ) -> Result<Brought, Error> {
        match self.ask(repository, digest, from, contents).await? {
            Presence::There => Ok(Brought::Found),
            Presence::Wanted(upload) => self.upload(upload, size, contents).await,
        }
    }

    async fn ask(
        &self,
        repository: &Repository,
        digest: Digest,
        from: Option<&RepositoryPath>,
        contents: &impl Contents,
    ) -> Result<Presence, Error> {
        let _slot = contents.slot().await;
        // Boxed to keep the future of a request small while it waits for its permit.
        Box::pin(self.mount_or_open(repository, digest, from)).await
    }

    /// Asks a repository to mount a blob from another repository of its registry, and opens an upload if that is not possible
    /// (*Mounting a blob from another repository*). One request does all of this.
    ///
    /// If no other repository is known to have the blob, the request names the repository itself, and so asks whether the blob
    /// exists. If a registry refuses mounts, with any status, separate requests ask for the blob by `HEAD` and open an upload.
    ///
    /// # Errors
    /// Returns an error if the registry does neither.
    pub async fn mount_or_open(
        &self,
        repository: &Repository,
        digest: Digest,
        from: Option<&RepositoryPath>,
    ) -> Result<Presence, Error> {
        let session = self.own.sessions.of(&repository.host)?;
        let mut failed = None;
        let first = session.first_mount().await;
        if session.mounts() {
            let own = &repository.path;
            // Mounting from another repository may be forbidden although uploading is not.
            let sources = from.filter(|from| *from != own).into_iter().chain([own]);
            for source in sources {
                match self.mount(repository, digest, source).await? {
                    Ok(presence) => {
                        session.learn_mount_worked();
                        return Ok(presence);
                    }
                    Err(for_good) => failed = Some(for_good),
                }
            }
        }
        if failed != Some(false) && self.has_blob(repository, digest).await? {
            return Ok(Presence::There);
        }
        let upload = self.open(repository, digest).await?;
        failed.into_iter().for_each(|for_good| session.learn_mount_failed(for_good));
        drop(first);
        Ok(Presence::Wanted(upload))
    }

    /// Requests a mount. `Err` means that it was refused, with `true` if the refusal applies to all mounts.
    async fn mount(
        &self,
        repository: &Repository,
        digest: Digest,
        from: &RepositoryPath,
    ) -> Result<Result<Presence, bool>, Error> {
        let doing = format!("asking {repository} for the blob {digest}");
        let mut call = self.opening(repository, "blob-mount")?;
        call.url.set_query(Some(&format!("mount={digest}&from={from}")));
        let is_elsewhere = *from != repository.path;
        if is_elsewhere {
            call.scopes.insert(Scope::pull(from));
        }
        // The repetitions are limited: if the host does not mount at all, an upload may succeed immediately.
        let mut repeats = call.session.mount_repeats();
        let mut budget = self.own.sessions.door.budget();
        let asked = loop {
            let mut request = call.request().follow_on_host();
            if repeats.is_some() {
                request = request.again_when_refused();
            }
            let asked = self.own.sessions.send(&call, request, &doing).await;
            let may_pass = match &asked {
                Ok(reply) => is_temporary(reply.status()),
                Err(error) => error.is_temporary(),
            };
            budget.attempt();
            let pause = budget.pause(None).filter(|_| may_pass && repeats.is_some_and(|left| left > 0));
            let Some(pause) = pause else { break asked };
            repeats = repeats.map(|left| left - 1);
            tokio::time::sleep(pause).await;
        };
        let reply = match asked {
            Ok(reply) => reply,
            // A token service may refuse the additional scope that a mount requires.
            Err(error) if error.is_temporary() || is_elsewhere && error.refusal().is_some() => {
                return Ok(Err(false));
            }
            Err(error) => return Err(error),
        };
        match reply.status() {
            StatusCode::CREATED => Ok(Ok(Presence::There)),
            status if status.is_success() => {
                self.opened(repository, digest, &reply, &doing).map(|upload| Ok(Presence::Wanted(upload)))
            }
            StatusCode::TOO_MANY_REQUESTS if !is_elsewhere => Err(refused(&reply, &doing)),
            status if status.is_redirection() => Err(refused(&reply, &doing)),
            // These statuses are about this repository and say nothing about others.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(Err(false)),
            status => Ok(Err(status.is_client_error() && !is_elsewhere)),
        }
    }

    /// Opens an upload without a mount.
    async fn open(&self, repository: &Repository, digest: Digest) -> Result<Upload, Error> {
        let doing = format!("opening an upload for the blob {digest} in {repository}");
        let call = self.opening(repository, "blob-open")?;
        let request = call.request().follow_on_host();
        let reply = self.own.sessions.send(&call, request, &doing).await?;
        if !reply.status().is_success() {
            return Err(refused(&reply, &doing));
        }
        self.opened(repository, digest, &reply, &doing)
    }

    fn opening<'a>(&self, repository: &'a Repository, kind: &'static str) -> Result<Call<'a>, Error> {
        self.own.sessions.call(Method::POST, repository, "blobs/uploads/", kind)
    }

    /// Returns the upload that a successful answer has opened.
    fn opened(
        &self,
        repository: &Repository,
        digest: Digest,
        reply: &Reply,
        doing: &str,
    ) -> Result<Upload, Error> {
        let Some(location) = location(&reply.answer, doing)? else {
            return Err(Error::new(
                doing,
                ErrorKind::Malformed("it names no Location for the upload".to_owned()),
            ));
        };
        let least_chunk =
            reply.answer.header("oci-chunk-min-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Upload { repository: repository.clone(), digest, location, least_chunk })
    }

    /// Returns `true` if a repository has a blob. If the answer is unclear, the blob counts as missing and is uploaded once more.
    pub(crate) async fn has_blob(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        let doing = format!("looking for the blob {digest} in {repository}");
        let call = self.own.call(Method::HEAD, repository, &format!("blobs/{digest}"), "blob-head")?;
        let reply = self.own.sessions.send(&call, call.request().follow(), &doing).await?;
        Ok(reply.status() == StatusCode::OK)
    }

    /// Sends a blob to an upload. Retries, and falls back to other methods, if that may succeed.
    async fn upload(
        &self,
        mut upload: Upload,
        size: u64,
        contents: &mut impl Contents,
    ) -> Result<Brought, Error> {
        let session = self.own.sessions.of(&upload.repository.host)?;
        let mut budget = self.own.sessions.door.budget();
        let (mut broken, mut redirects) = (0, 0);
        loop {
            let content = contents.content().await?;
            budget.attempt();
            let chunk = chunk(&session, size, broken);
            let sent = {
                let _slot = contents.slot().await;
                Box::pin(self.send(&upload, content, chunk)).await
            };
            let error = match sent {
                Ok(Sent::Done) => {
                    if chunk.is_some() {
                        session.learn_chunks_wanted();
                    }
                    return Ok(Brought::Sent);
                }
                Ok(Sent::Elsewhere(location)) if redirects < REDIRECTS_MAX => {
                    redirects += 1;
                    contents.may_be_wanted_again();
                    upload.location = without_digest(location);
                    continue;
                }
                Ok(Sent::Elsewhere(_)) => {
                    let what = "it redirects the upload again and again".to_owned();
                    return Err(Error::new(upload.doing(), ErrorKind::Malformed(what)));
                }
                Err(error) => error,
            };
            if let Some(failed) = contents.failure() {
                return Err(failed);
            }
            broken = if is_broken(&error) { broken + 1 } else { 0 };
            if wants_pieces(&error) {
                session.learn_chunks_wanted();
            }
            error.count_in(&mut budget);
            let pause = if is_refused(&error) { budget.pause_refused() } else { budget.pause(None) };
            let Some(pause) = pause.filter(|_| may_succeed(&error)) else { return Err(error) };
            contents.may_be_wanted_again();
            let Upload { repository, digest, .. } = &upload;
            tracing::debug!(%repository, blob = %digest, %error, "uploading again");
            tokio::time::sleep(pause).await;
            // A request that was refused because of a rate limit was not executed, so the upload is still open.
            if is_refused(&error) {
                continue;
            }
            budget.progressed();
            // If the answer was lost, the upload may have succeeded.
            if is_unanswered(&error) && self.has_blob(repository, *digest).await.unwrap_or(false) {
                return Ok(Brought::Sent);
            }
            upload = match self.ask(repository, *digest, None, contents).await? {
                Presence::There => return Ok(Brought::Found),
                Presence::Wanted(upload) => upload,
            };
        }
    }
}

/// Returns the chunk size for a blob of `size` bytes; `None` for a whole upload.
fn chunk(session: &Session, size: u64, broken: u32) -> Option<u64> {
    let fallback = session.fallback_chunk();
    session.upload_chunk().or((broken >= BROKEN_WHOLE && size > fallback).then_some(fallback))
}

/// Returns `true` if a failed upload may succeed when it is repeated. The door sends a stream only once.
fn may_succeed(error: &Error) -> bool {
    // Failures of the source were handled before: a stream that fails here was dropped because its destination was slow.
    let was_dropped = match error.kind() {
        ErrorKind::Content(_) => true,
        ErrorKind::Transport(error) => matches!(error.kind(), transport::ErrorKind::Content(_)),
        _ => false,
    };
    error.is_temporary() || was_dropped || wants_pieces(error) || has_lost_upload(error)
}

/// Returns `true` if the registry no longer knows the upload, or if the token expired during it.
fn has_lost_upload(error: &Error) -> bool {
    let Some(refusal) = error.refusal() else { return false };
    match refusal.status {
        StatusCode::UNAUTHORIZED
        | StatusCode::NOT_FOUND
        | StatusCode::GONE
        | StatusCode::RANGE_NOT_SATISFIABLE => true,
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT => {
            refusal.says(&["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"])
        }
        _ => false,
    }
}

/// Returns `true` if the registry requires chunks.
fn wants_pieces(error: &Error) -> bool {
    let Some(refusal) = error.refusal() else { return false };
    match refusal.status {
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::LENGTH_REQUIRED
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::NOT_IMPLEMENTED => true,
        StatusCode::BAD_REQUEST => refusal.says(&["UNSUPPORTED", "SIZE_INVALID"]),
        _ => false,
    }
}

/// Returns `true` if the connection failed during the upload.
fn is_broken(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Transport(error) => matches!(error.kind(), transport::ErrorKind::Broken(_)),
        _ => false,
    }
}

/// Returns `true` if it is unknown what the registry has done.
fn is_unanswered(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Transport(error) => error.is_temporary(),
        _ => error.status().is_some_and(|status| status.is_server_error()) || has_lost_upload(error),
    }
}

/// Returns `true` if the host has refused the request because of a rate limit.
fn is_refused(error: &Error) -> bool {
    error.status() == Some(StatusCode::TOO_MANY_REQUESTS)
}

/// Removes the digest from a URL: it is appended when the upload is sent.
fn without_digest(mut url: url::Url) -> url::Url {
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(name, _)| name != "digest").map(|(n, v)| (n.into(), v.into())).collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url
}
