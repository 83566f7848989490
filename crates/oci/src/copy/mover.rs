//! Moving one blob to all repositories that need it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join};
use futures_util::stream::{FuturesUnordered, StreamExt};
use oci_types::Descriptor;
use oci_types::{Host, Repository};
use tokio::sync::{Notify, OwnedSemaphorePermit, SemaphorePermit};

use super::budget::Budgets;
use super::leases::{BlobLeases, Claim, Turn};
use super::pace::Pace;
use super::relay::Cause;
use super::spool::{Spool, SpoolSettings};
use super::supply::{Engaged, Origin, Resources, Supply};
use crate::error::{Error, ErrorKind};
use crate::write::{Brought, Content, Contents};
use crate::writer::Writer;

/// How long an image waits for the other repositories of a blob, after the first one has it, before it continues with other
/// blobs.
const AFTER_THE_FIRST: Duration = Duration::from_secs(1);

/// Moves blobs. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Mover {
    writer: Writer,
    leases: BlobLeases,
    resources: Arc<Resources>,
}

/// A repository that needs the blob.
pub(super) struct Wanting<'a> {
    pub(super) repository: &'a Repository,
    /// Receives the result: `true` if the blob was uploaded.
    pub(super) report: Box<dyn Fn(Result<bool, Error>) + Send + Sync + 'a>,
    /// Completes when the result is no longer needed.
    pub(super) given_up: BoxFuture<'a, ()>,
}

/// The blob that is moved.
#[derive(Clone, Copy)]
pub(super) struct Cargo<'a> {
    pub(super) source: &'a Repository,
    pub(super) blob: &'a Descriptor,
    /// The host whose memory budget is used; `None` for the common budget.
    pub(super) behind: Option<&'a Host>,
}

impl Mover {
    pub(super) fn new(writer: Writer, spool: SpoolSettings) -> Self {
        let resources =
            Resources { spool: Spool::new(spool), budgets: Budgets::default(), pace: Pace::default() };
        Self { writer, leases: BlobLeases::default(), resources: Arc::new(resources) }
    }

    /// Returns how much has been written to the spool so far, in bytes.
    pub(super) fn spooled(&self) -> u64 {
        self.resources.spool.written()
    }

    /// Brings a blob to all repositories that need it, and reports each one as soon as it has the blob. The permit of the image
    /// is released as soon as only repositories that are behind are left.
    ///
    /// The repositories are independent. A repository that waits for another image to move a blob to its host holds no resources
    /// in the meantime, so images that share blobs do not deadlock.
    pub(super) async fn move_to(
        &self,
        cargo: Cargo<'_>,
        repositories: Vec<Wanting<'_>>,
        permit: SemaphorePermit<'_>,
    ) {
        let Cargo { source, blob, behind } = cargo;
        let origin = Origin { reader: self.writer.reader(), repository: source, blob };
        let supply = &Supply::new(origin, &self.resources, behind);
        let (first, settled) = (Notify::new(), Notify::new());
        let mut serving: FuturesUnordered<_> = repositories
            .into_iter()
            .enumerate()
            .map(|(number, wanting)| {
                let Wanting { repository, report, given_up } = wanting;
                let destination = Destination { mover: self, cargo, supply, number, repository };
                // All hosts are claimed at once: if two images divided the hosts of a blob between them, the blob would be
                // read twice.
                let claim = self.leases.claim(repository, blob.digest);
                let engaged = claim.is_ok().then(|| destination.engage());
                async move {
                    tokio::select! {
                        result = destination.serve(claim, engaged) => report(result),
                        () = given_up => {}
                    }
                }
            })
            .collect();
        let all_served = async {
            while serving.next().await.is_some() {
                first.notify_one();
            }
        };
        let releasing = async {
            let long_after_the_first = async {
                first.notified().await;
                tokio::time::sleep(AFTER_THE_FIRST).await;
            };
            tokio::select! {
                () = settled.notified() => {}
                () = long_after_the_first => {}
            }
            drop(permit);
        };
        tokio::select! {
            () = all_served => {}
            _ = join(supply.run(|| settled.notify_one()), releasing) => {}
        }
    }
}

/// The transfer of one blob to one repository.
struct Destination<'a> {
    mover: &'a Mover,
    cargo: Cargo<'a>,
    supply: &'a Supply<'a>,
    number: usize,
    repository: &'a Repository,
}

impl<'a> Destination<'a> {
    /// Brings the blob to the repository. Returns `true` if it was uploaded.
    async fn serve(&self, claim: Claim, engaged: Option<Engaged<'a>>) -> Result<bool, Error> {
        let Cargo { source, blob, .. } = self.cargo;
        let (from, lead) = match self.mover.leases.turn(claim, self.repository, blob.digest).await {
            Turn::Mount(from) => (Some(from), None),
            // If the source is on the same host, the blob can be mounted from there.
            Turn::Lead(lead) if self.repository.host == source.host => {
                (Some(source.path.clone()), Some(lead))
            }
            Turn::Lead(lead) => (None, Some(lead)),
        };
        // From here on, this task does not wait for any task that may wait for it.
        let engaged = engaged.unwrap_or_else(|| self.engage());
        let mut contents = FromSource { destination: self, engaged };
        let writer = &self.mover.writer;
        let brought =
            writer.bring(self.repository, blob.digest, blob.size, from.as_ref(), &mut contents).await?;
        if let Some(lead) = lead {
            lead.succeeded(self.repository);
        }
        Ok(brought == Brought::Sent)
    }

    fn engage(&self) -> Engaged<'a> {
        self.supply.engage(self.number, &self.repository.host)
    }

    /// Converts a failure of the source to the error of this destination.
    fn source_failed(&self, cause: &Cause) -> Error {
        let Cause { text, temporary, advice } = cause.clone();
        let kind = ErrorKind::Source { cause: text, temporary, advice };
        Error::new(format!("uploading to {}", self.repository), kind)
    }
}

/// A blob of the source, as the content for one destination.
struct FromSource<'d, 'a> {
    destination: &'d Destination<'a>,
    engaged: Engaged<'a>,
}

impl Contents for FromSource<'_, '_> {
    async fn content(&mut self) -> Result<Content, Error> {
        let pieces = self.engaged.pieces().await;
        let stream = pieces.map_err(|cause| self.destination.source_failed(&cause))?;
        Ok(Content::Stream { length: self.destination.cargo.blob.size, stream })
    }

    fn failure(&self) -> Option<Error> {
        self.engaged.failure().map(|cause| self.destination.source_failed(&cause))
    }

    fn may_be_wanted_again(&self) {
        self.engaged.again();
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let Destination { mover, repository, .. } = self.destination;
        Some(mover.resources.budgets.request(&repository.host).await)
    }
}
