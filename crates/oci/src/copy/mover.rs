//! Moving one blob to all the repositories that want it.

use std::sync::Arc;

use futures_util::future::{join, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use transport::Budget;

use super::claims::{Claim, Claims, Lead};
use super::fan::Fan;
use crate::error::{Error, ErrorKind};
use crate::manifest::Descriptor;
use crate::name::{Repository, RepositoryPath};
use crate::write::{Content, Presence, Upload, Writer};

/// Blobs up to this size, in bytes, are held in memory: they can be sent again without being read again.
const SMALL: u64 = 4 * 1024 * 1024;
/// The most that small blobs may take in memory, in bytes, over all images.
const SMALL_TOGETHER: usize = 48 * 1024 * 1024;
/// How many large blobs stream at once, over all images. Fewer than a host takes requests, so that large blobs that wait for
/// one another's hosts do not wait in a circle; where a host is configured to take fewer, the fan gives up in the end.
const LARGE_AT_ONCE: usize = 4;

/// Moves blobs. Clones share what they know.
#[derive(Clone, Debug)]
pub(super) struct Mover {
    writer: Writer,
    claims: Claims,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Told for each repository, by its index, whether the blob had to be uploaded.
pub(super) type Report<'a> = &'a (dyn Fn(usize, Result<bool, Error>) + Sync);

/// A repository that wants the blob, with the upload that it has opened for it.
struct Wanting<'a> {
    index: usize,
    repository: &'a Repository,
    upload: Upload,
    /// The duty towards the others of the host, where it is ours.
    lead: Option<Lead>,
}

/// A repository whose upload has failed.
struct Failed<'a> {
    index: usize,
    repository: &'a Repository,
    lead: Option<Lead>,
    error: Error,
}

impl Mover {
    pub(super) fn new(writer: Writer) -> Self {
        let small = Arc::new(Semaphore::new(SMALL_TOGETHER));
        let large = Arc::new(Semaphore::new(LARGE_AT_ONCE));
        Self { writer, claims: Claims::default(), small, large }
    }

    /// Brings a blob to all `repositories` and reports each as soon as it has it.
    ///
    /// What nobody is moving is moved first, without waiting for anybody; only then is waited for what others move. That
    /// keeps images that share blobs from waiting for each other in a circle.
    pub(super) async fn move_to(
        &self,
        source: &Repository,
        blob: &Descriptor,
        mut repositories: Vec<(usize, &Repository)>,
        report: Report<'_>,
    ) {
        while !repositories.is_empty() {
            let mut waiting = Vec::new();
            let mut asking = FuturesUnordered::new();
            for (index, repository) in repositories.drain(..) {
                match self.claims.claim(repository, blob.digest) {
                    Claim::Wait(over) => waiting.push((index, repository, over)),
                    Claim::Mount(from) => asking.push(self.ask(index, repository, blob, from, None, report)),
                    Claim::Lead(lead) => {
                        // Staging on the same host is as good a place to mount from as any.
                        let from =
                            if repository.host == source.host { &source.path } else { &repository.path };
                        asking.push(self.ask(index, repository, blob, from.clone(), Some(lead), report));
                    }
                }
            }
            let mut wanting = Vec::new();
            while let Some(wants) = asking.next().await {
                wanting.extend(wants);
            }
            drop(asking);
            if !wanting.is_empty() {
                self.transfer(source, blob, wanting, report).await;
            }
            for (index, repository, mut over) in waiting {
                // An error is the end of the wait.
                let _ = over.changed().await;
                repositories.push((index, repository));
            }
        }
    }

    /// Asks one repository for the blob; gives what remains to be done.
    async fn ask<'a>(
        &self,
        index: usize,
        repository: &'a Repository,
        blob: &Descriptor,
        from: RepositoryPath,
        lead: Option<Lead>,
        report: Report<'_>,
    ) -> Option<Wanting<'a>> {
        let asked = match self.writer.mount_or_open(repository, blob.digest, &from).await {
            // Mounting from elsewhere may be forbidden where uploading is not.
            Err(error) if from != repository.path && is_refused(&error) => {
                self.writer.mount_or_open(repository, blob.digest, &repository.path).await
            }
            asked => asked,
        };
        match asked {
            Ok(Presence::There) => {
                if let Some(lead) = lead {
                    lead.succeeded(repository);
                }
                report(index, Ok(false));
                None
            }
            Ok(Presence::Wanted(upload)) => Some(Wanting { index, repository, upload, lead }),
            Err(error) => {
                report(index, Err(error));
                None
            }
        }
    }

    /// Reads the blob and sends it to all who want it; those that fail for a passing reason get it again.
    async fn transfer(
        &self,
        source: &Repository,
        blob: &Descriptor,
        wanting: Vec<Wanting<'_>>,
        report: Report<'_>,
    ) {
        if blob.size <= SMALL {
            self.transfer_small(source, blob, wanting, report).await;
        } else {
            self.transfer_large(source, blob, wanting, report).await;
        }
    }

    async fn transfer_small(
        &self,
        source: &Repository,
        blob: &Descriptor,
        wanting: Vec<Wanting<'_>>,
        report: Report<'_>,
    ) {
        let _room = room(&self.small, u32::try_from(blob.size).unwrap_or(u32::MAX)).await;
        let bytes = match self.writer.reader().blob(source, blob.digest, blob.size).whole().await {
            Ok(bytes) => bytes,
            Err(error) => return fail_all(wanting, &error, report),
        };
        let sending = wanting.into_iter().map(|wants| {
            let bytes = bytes.clone();
            async move {
                let mut budget = self.writer.reader().shared.door.budget();
                let mut next = Some(wants);
                while let Some(wants) = next.take() {
                    budget.attempt();
                    if let Some(failed) = self.send(wants, Content::Bytes(bytes.clone()), report).await {
                        next = self.try_again(failed, wants_another_upload, blob, &budget, report).await;
                    }
                }
            }
        });
        join_all(sending).await;
    }

    async fn transfer_large(
        &self,
        source: &Repository,
        blob: &Descriptor,
        mut wanting: Vec<Wanting<'_>>,
        report: Report<'_>,
    ) {
        let _room = room(&self.large, 1).await;
        let mut budget = self.writer.reader().shared.door.budget();
        while !wanting.is_empty() {
            budget.attempt();
            let mut content = self.writer.reader().blob(source, blob.digest, blob.size);
            // Uploads begin when the source has begun to answer: who waits for a destination then holds what it gives.
            if let Err(error) = content.open().await {
                return fail_all(wanting, &error, report);
            }
            let mut fan = Fan::default();
            let sending: FuturesUnordered<_> = wanting
                .into_iter()
                .map(|wants| {
                    let stream = fan.branch(blob.size);
                    self.send(wants, Content::Stream { length: blob.size, stream }, report)
                })
                .collect();
            let failing = sending.filter_map(std::future::ready).collect::<Vec<Failed<'_>>>();
            let (passed, failed) = join(fan.pass_on(&mut content), failing).await;
            budget.progressed();
            wanting = Vec::new();
            for failed in failed {
                match &passed {
                    Err(cause) => report(failed.index, Err(same_cause(cause, failed.repository))),
                    Ok(()) => {
                        wanting.extend(self.try_again(failed, may_go_better, blob, &budget, report).await);
                    }
                }
            }
        }
    }

    /// Sends the content of an upload and reports success; a failure is the caller's to judge.
    async fn send<'a>(&self, wants: Wanting<'a>, content: Content, report: Report<'_>) -> Option<Failed<'a>> {
        let Wanting { index, repository, upload, lead } = wants;
        match self.writer.upload(upload, content).await {
            Ok(()) => {
                if let Some(lead) = lead {
                    lead.succeeded(repository);
                }
                report(index, Ok(true));
                None
            }
            Err(error) => Some(Failed { index, repository, lead, error }),
        }
    }

    /// Opens another upload after one that has failed, if that may go better; else reports the failure.
    async fn try_again<'a>(
        &self,
        failed: Failed<'a>,
        worth_it: fn(&Error) -> bool,
        blob: &Descriptor,
        budget: &Budget,
        report: Report<'_>,
    ) -> Option<Wanting<'a>> {
        let Failed { index, repository, lead, error } = failed;
        let Some(pause) = budget.pause(None).filter(|_| worth_it(&error)) else {
            report(index, Err(error));
            return None;
        };
        tracing::debug!(%repository, blob = %blob.digest, %error, "uploading again");
        tokio::time::sleep(pause).await;
        self.ask(index, repository, blob, repository.path.clone(), lead, report).await
    }
}

/// Whether a failed upload of bytes is worth another one: what passes by itself has been tried often enough at the door.
fn wants_another_upload(error: &Error) -> bool {
    matches!(
        error.status(),
        // The registry has lost the upload; or it refuses whole blobs of this size, and gets pieces the next time.
        Some(StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PAYLOAD_TOO_LARGE)
    )
}

/// Whether a failed upload of a stream is worth another one: the door sends a stream but once.
fn may_go_better(error: &Error) -> bool {
    // The source is judged before: a stream that failed here was let go for being slow.
    let let_go = match error.kind() {
        ErrorKind::Content(_) => true,
        ErrorKind::Transport(error) => matches!(error.kind(), transport::ErrorKind::Content(_)),
        _ => false,
    };
    // A token that has ended in the middle is got anew with the next upload.
    let token = error.status() == Some(StatusCode::UNAUTHORIZED);
    error.is_temporary() || let_go || token || wants_another_upload(error)
}

/// The failure of the source, as it is for one of its destinations.
fn same_cause(cause: &Error, repository: &Repository) -> Error {
    let kind = ErrorKind::Source { cause: cause.to_string(), temporary: cause.is_temporary() };
    Error::new(format!("uploading to {repository}"), kind)
}

fn fail_all(wanting: Vec<Wanting<'_>>, cause: &Error, report: Report<'_>) {
    for wants in wanting {
        report(wants.index, Err(same_cause(cause, wants.repository)));
    }
}

fn is_refused(error: &Error) -> bool {
    error.status().is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
}

/// Waits for room.
async fn room(semaphore: &Semaphore, permits: u32) -> SemaphorePermit<'_> {
    #[expect(
        clippy::expect_used,
        reason = "the semaphore is never closed, and no blob asks for more than it has"
    )]
    semaphore.acquire_many(permits).await.expect("an open semaphore")
}
