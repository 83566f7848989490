//! Moving one blob to all the repositories that want it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use tokio::sync::{Notify, SemaphorePermit};

use super::claims::{Claim, Claims, Turn};
use super::pace::Pace;
use super::relay::Cause;
use super::room::Rooms;
use super::spool::{Spool, SpoolSettings};
use super::supply::{Engaged, Means, Origin, Pieces, Supply};
use crate::error::{Error, ErrorKind};
use crate::manifest::Descriptor;
use crate::name::{Host, Repository, RepositoryPath};
use crate::write::{Content, Presence, Upload, Writer};

/// How long the other repositories of a blob have, after the first has it, before the image goes on with other blobs.
const AFTER_THE_FIRST: Duration = Duration::from_secs(1);

/// Moves blobs. Clones share what they know.
#[derive(Clone, Debug)]
pub(super) struct Mover {
    writer: Writer,
    claims: Claims,
    means: Arc<Means>,
}

/// A repository that wants the blob.
pub(super) struct Wanting<'a> {
    pub(super) repository: &'a Repository,
    /// Told whether the blob had to be uploaded.
    pub(super) report: Box<dyn Fn(Result<bool, Error>) + Send + Sync + 'a>,
    /// Ends when nobody wants to know any more.
    pub(super) given_up: BoxFuture<'a, ()>,
}

/// What is on its way.
#[derive(Clone, Copy)]
pub(super) struct Cargo<'a> {
    pub(super) source: &'a Repository,
    pub(super) blob: &'a Descriptor,
    /// The host in whose share of memory it moves; `None`: that of all.
    pub(super) behind: Option<&'a Host>,
}

impl Mover {
    pub(super) fn new(writer: Writer, spool: SpoolSettings) -> Self {
        let means = Means { spool: Spool::new(spool), rooms: Rooms::default(), pace: Pace::default() };
        Self { writer, claims: Claims::default(), means: Arc::new(means) }
    }

    /// How much has gone to the spool so far, in bytes.
    pub(super) fn spooled(&self) -> u64 {
        self.means.spool.written()
    }

    /// Brings a blob to all repositories that want it and reports each as soon as it has it. The image's place for a blob on
    /// its way is given back as soon as only repositories that are behind are left.
    ///
    /// Each repository goes its own way: one that waits for what another image moves to its host holds nothing meanwhile, so
    /// images that share blobs do not wait for each other in a circle.
    pub(super) async fn move_to(
        &self,
        cargo: Cargo<'_>,
        repositories: Vec<Wanting<'_>>,
        place: SemaphorePermit<'_>,
    ) {
        let Cargo { source, blob, behind } = cargo;
        let origin = Origin { reader: self.writer.reader(), repository: source, blob };
        let supply = &Supply::new(origin, &self.means, behind);
        let (first, settled) = (Notify::new(), Notify::new());
        let mut serving: FuturesUnordered<_> = repositories
            .into_iter()
            .enumerate()
            .map(|(number, wanting)| {
                let Wanting { repository, report, given_up } = wanting;
                let destination = Destination { mover: self, cargo, supply, number, repository };
                // All hosts at one moment: where two images share the hosts of a blob between them, it is read twice.
                let claim = self.claims.claim(repository, blob.digest);
                let engaged = claim.is_ok().then(|| destination.engage());
                async move {
                    tokio::select! {
                        result = destination.serve(claim, engaged) => report(result),
                        () = given_up => {}
                    }
                }
            })
            .collect();
        let everybody = async {
            while serving.next().await.is_some() {
                first.notify_one();
            }
        };
        let giving_back = async {
            let long_after_the_first = async {
                first.notified().await;
                tokio::time::sleep(AFTER_THE_FIRST).await;
            };
            tokio::select! {
                () = settled.notified() => {}
                () = long_after_the_first => {}
            }
            drop(place);
        };
        tokio::select! {
            () = everybody => {}
            _ = join(supply.run(|| settled.notify_one()), giving_back) => {}
        }
    }
}

/// One repository on its way to one blob.
struct Destination<'a> {
    mover: &'a Mover,
    cargo: Cargo<'a>,
    supply: &'a Supply<'a>,
    number: usize,
    repository: &'a Repository,
}

impl<'a> Destination<'a> {
    /// Brings the blob to the repository; tells whether it had to be uploaded.
    async fn serve(&self, claim: Claim, engaged: Option<Engaged<'a>>) -> Result<bool, Error> {
        let Cargo { source, blob, .. } = self.cargo;
        let (from, lead) = match self.mover.claims.turn(claim, self.repository, blob.digest).await {
            Turn::Mount(from) => (from, None),
            // Staging on the same host is as good a place to mount from as any.
            Turn::Lead(lead) if self.repository.host == source.host => (source.path.clone(), Some(lead)),
            Turn::Lead(lead) => (self.repository.path.clone(), Some(lead)),
        };
        // From here on nobody is waited for who may wait for us.
        let mut engaged = engaged.unwrap_or_else(|| self.engage());
        let sent = match self.ask(&from).await? {
            Presence::There => false,
            Presence::Wanted(upload) => self.upload(upload, &mut engaged).await?,
        };
        if let Some(lead) = lead {
            lead.succeeded(self.repository);
        }
        Ok(sent)
    }

    fn engage(&self) -> Engaged<'a> {
        self.supply.engage(self.number, &self.repository.host)
    }

    /// Asks the repository for the blob: it may have it, or take it from another of its host.
    async fn ask(&self, from: &RepositoryPath) -> Result<Presence, Error> {
        let (writer, digest) = (&self.mover.writer, self.cargo.blob.digest);
        let _room = self.mover.means.rooms.request(&self.repository.host).await;
        // Boxed, so that who waits for its turn has no room for it.
        match Box::pin(writer.mount_or_open(self.repository, digest, from)).await {
            // Mounting from elsewhere may be forbidden where uploading is not.
            Err(error) if *from != self.repository.path && is_refused(&error) => {
                Box::pin(writer.mount_or_open(self.repository, digest, &self.repository.path)).await
            }
            asked => asked,
        }
    }

    /// Sends the blob, again where that may go better; `false` where the repository turned out to have it.
    async fn upload(&self, mut upload: Upload, engaged: &mut Engaged<'_>) -> Result<bool, Error> {
        let mut budget = self.mover.writer.reader().shared.door.budget();
        loop {
            let pieces = engaged.pieces().await.map_err(|cause| self.source_failed(&cause))?;
            budget.attempt();
            let Err(error) = self.send(&upload, pieces).await else { return Ok(true) };
            if let Some(cause) = engaged.failure() {
                return Err(self.source_failed(&cause));
            }
            let Some(pause) = budget.pause(None).filter(|_| may_go_better(&error)) else { return Err(error) };
            engaged.again();
            tracing::debug!(repository = %self.repository, blob = %self.cargo.blob.digest, %error, "uploading again");
            tokio::time::sleep(pause).await;
            budget.progressed();
            // What was turned away before it began is where it was.
            if !is_turned_away(&error) {
                upload = match self.ask(&self.repository.path).await? {
                    Presence::There => return Ok(false),
                    Presence::Wanted(upload) => upload,
                };
            }
        }
    }

    async fn send(&self, upload: &Upload, stream: Pieces) -> Result<(), Error> {
        let content = Content::Stream { length: self.cargo.blob.size, stream };
        let _room = self.mover.means.rooms.request(&self.repository.host).await;
        Box::pin(self.mover.writer.upload(upload, content)).await
    }

    /// The failure of the source, as it is for one of its destinations.
    fn source_failed(&self, cause: &Cause) -> Error {
        let kind = ErrorKind::Source { cause: cause.text.clone(), temporary: cause.temporary };
        Error::new(format!("uploading to {}", self.repository), kind)
    }
}

/// Whether a failed upload is worth another one: the door sends a stream but once.
fn may_go_better(error: &Error) -> bool {
    // The source is judged before: a stream that failed here was let go for being slow.
    let let_go = match error.kind() {
        ErrorKind::Content(_) => true,
        ErrorKind::Transport(error) => matches!(error.kind(), transport::ErrorKind::Content(_)),
        _ => false,
    };
    let another = matches!(
        error.status(),
        Some(
            // A token that has ended in the middle is got anew with the next upload.
            StatusCode::UNAUTHORIZED
            // The registry has lost the upload; or it refuses whole blobs of this size, and gets pieces the next time.
            | StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PAYLOAD_TOO_LARGE
        )
    );
    error.is_temporary() || let_go || another
}

/// Whether the host has only said that it is asked too much.
fn is_turned_away(error: &Error) -> bool {
    matches!(error.status(), Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE))
}

fn is_refused(error: &Error) -> bool {
    error.status().is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
}
