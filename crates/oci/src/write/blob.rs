//! Bringing a blob to a repository: found there, mounted from another repository, or uploaded, whatever the registry lets.

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

/// After so many whole uploads in a row whose connection broke, pieces are tried: a host that refuses a body as too large may
/// close the connection before its answer is read.
const BROKEN_WHOLE: u32 = 2;
/// How often an upload is sent on to another place of its host.
const SENT_ON: u32 = 3;

/// What came of asking for a blob.
#[derive(Debug)]
pub enum Presence {
    /// The repository has it.
    There,
    /// The repository wants it: this is the upload that was opened for it.
    Wanted(Upload),
}

/// How a blob came to be in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// It was there, or was mounted from another repository.
    Found,
    /// It was uploaded.
    Sent,
}

/// Where the content of a blob comes from, as often as it is needed.
pub(crate) trait Contents {
    /// The whole content.
    fn content(&mut self) -> impl Future<Output = Result<Content, Error>> + Send;

    /// Why the content that was given last has failed at its source, where it has.
    fn failure(&self) -> Option<Error>;

    /// Notes that the content may be wanted again.
    fn may_be_wanted_again(&self) {}

    /// Waits until a request about the blob may be made; what comes back is held while it is.
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
    /// Brings a blob to a repository. `from` is another repository of the same host that has it.
    ///
    /// One request where it is there or mounted, two where it is uploaded; more where the registry takes it in pieces, does not
    /// mount, or loses an upload.
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
        // Boxed, so that requests that wait for their slot are small.
        Box::pin(self.mount_or_open(repository, digest, from)).await
    }

    /// Asks a repository to take a blob from another of its registry, and opens an upload for it where that cannot be
    /// done (*Mounting a blob from another repository*): one request that asks, mounts and opens.
    ///
    /// Where no other repository is known to have the blob, the repository itself is named: then the request asks whether the
    /// blob is there. A registry that refuses mounts, by whatever status, is asked for the blob by `HEAD` and for an upload
    /// without them.
    ///
    /// # Errors
    /// When the registry does neither.
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
            // Mounting from elsewhere may be forbidden where uploading is not.
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

    /// Asks for a mount; `Err` where it is refused: `true` where that speaks for all mounts.
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
        // Where the host may not mount at all, an upload may succeed at once.
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
            // A token service may refuse what a mount needs besides.
            Err(error) if error.is_temporary() || is_elsewhere && error.refusal().is_some() => {
                return Ok(Err(false));
            }
            Err(error) => return Err(error),
        };
        match reply.status() {
            StatusCode::CREATED => Ok(Ok(Presence::There)),
            status if status.is_success() => self.opened(repository, digest, &reply, &doing).map(Ok),
            StatusCode::TOO_MANY_REQUESTS if !is_elsewhere => Err(refused(&reply, &doing)),
            status if status.is_redirection() => Err(refused(&reply, &doing)),
            // What speaks of this repository alone says nothing about others.
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
        match self.opened(repository, digest, &reply, &doing)? {
            Presence::Wanted(upload) => Ok(upload),
            Presence::There => {
                Err(Error::new(doing, ErrorKind::Malformed("it names no Location for the upload".to_owned())))
            }
        }
    }

    fn opening<'a>(&self, repository: &'a Repository, kind: &'static str) -> Result<Call<'a>, Error> {
        self.own.sessions.call(Method::POST, repository, "blobs/uploads/", kind)
    }

    /// The upload that a success has opened.
    fn opened(
        &self,
        repository: &Repository,
        digest: Digest,
        reply: &Reply,
        doing: &str,
    ) -> Result<Presence, Error> {
        let Some(location) = location(&reply.answer, doing)? else {
            return Err(Error::new(
                doing,
                ErrorKind::Malformed("it names no Location for the upload".to_owned()),
            ));
        };
        let least_chunk =
            reply.answer.header("oci-chunk-min-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Presence::Wanted(Upload { repository: repository.clone(), digest, location, least_chunk }))
    }

    /// Whether a repository has a blob. Where it does not say, the blob counts as missing: then it is uploaded once more.
    async fn has_blob(&self, repository: &Repository, digest: Digest) -> Result<bool, Error> {
        let doing = format!("looking for the blob {digest} in {repository}");
        let call = self.own.call(Method::HEAD, repository, &format!("blobs/{digest}"), "blob-head")?;
        let reply = self.own.sessions.send(&call, call.request().follow(), &doing).await?;
        Ok(reply.status() == StatusCode::OK)
    }

    /// Sends a blob to an upload, again and by other ways where that may succeed.
    async fn upload(
        &self,
        mut upload: Upload,
        size: u64,
        contents: &mut impl Contents,
    ) -> Result<Brought, Error> {
        let session = self.own.sessions.of(&upload.repository.host)?;
        let mut budget = self.own.sessions.door.budget();
        let (mut broken, mut sent_on) = (0, 0);
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
                Ok(Sent::Elsewhere(location)) if sent_on < SENT_ON => {
                    sent_on += 1;
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
            // What was refused for the rate has not begun.
            if is_refused(&error) {
                continue;
            }
            budget.progressed();
            // An answer that was lost may have been a success.
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

/// The size of pieces to send a blob of `size` bytes in; `None`: whole.
fn chunk(session: &Session, size: u64, broken: u32) -> Option<u64> {
    let fallback = session.fallback_chunk();
    session.upload_chunk().or((broken >= BROKEN_WHOLE && size > fallback).then_some(fallback))
}

/// Whether a failed upload is worth another one: the door sends a stream but once.
fn may_succeed(error: &Error) -> bool {
    // The source was judged before: a stream that failed here was let go for being slow.
    let let_go = match error.kind() {
        ErrorKind::Content(_) => true,
        ErrorKind::Transport(error) => matches!(error.kind(), transport::ErrorKind::Content(_)),
        _ => false,
    };
    error.is_temporary() || let_go || wants_pieces(error) || has_lost_upload(error)
}

/// Whether the registry does not know the upload any more, or the token has ended in the middle of it.
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

/// Whether the registry wants pieces.
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

/// Whether the connection broke while the upload was sent.
fn is_broken(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Transport(error) => matches!(error.kind(), transport::ErrorKind::Broken(_)),
        _ => false,
    }
}

/// Whether nothing is known of what the registry has done.
fn is_unanswered(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Transport(error) => error.is_temporary(),
        _ => error.status().is_some_and(|status| status.is_server_error()) || has_lost_upload(error),
    }
}

/// Whether the host has refused the request for its rate.
fn is_refused(error: &Error) -> bool {
    error.status() == Some(StatusCode::TOO_MANY_REQUESTS)
}

/// A URL to which the digest is appended when it is sent to.
fn without_digest(mut url: url::Url) -> url::Url {
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(name, _)| name != "digest").map(|(n, v)| (n.into(), v.into())).collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url
}
