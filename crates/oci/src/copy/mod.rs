//! Copying an image to many repositories: each blob is read once, each repository receives children before parents, and tags
//! last.

mod budget;
mod extents;
mod graph;
mod leases;
mod mover;
mod outline;
mod pace;
mod relay;
mod spool;
mod supply;
mod walk;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::future::{join, join_all, try_join_all};
use futures_util::stream::{self, StreamExt};
pub use graph::Graph;
use mover::{Cargo, Mover, Wanting};
use oci_types::Descriptor;
use oci_types::Digest;
use oci_types::{Repository, Tag};
pub use outline::Outline;
pub use spool::SpoolSettings;
use tokio::sync::{Semaphore, mpsc};
pub use walk::{IMAGE_DEPTH_MAX, IMAGE_MANIFESTS_MAX, Node};

use crate::attach::Known;
use crate::error::{Error, ErrorKind};
use crate::writer::Writer;

/// How many blobs of one image are moved concurrently, not counting those that only wait for targets that are behind.
const BLOBS_AT_ONCE: usize = 16;
/// The same limit, including those that wait for targets that are behind.
const BLOBS_IN_ALL: usize = 64;

/// A destination of an image, and the content that it is known to have.
#[derive(Clone, Debug)]
pub struct Target {
    /// The repository.
    pub repository: Repository,
    /// The tags that the image receives; empty for an image that is pulled only by digest.
    pub tags: Vec<Tag>,
    /// Manifests that the repository is known to have, with all their parts.
    pub present: HashSet<Digest>,
}

/// Counts of what was written to one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs that were uploaded.
    pub blobs_sent: u64,
    /// Blobs that existed, or that were mounted from another repository.
    pub blobs_there: u64,
    /// Bytes of uploaded blobs.
    pub bytes_sent: u64,
    /// Manifests that were written.
    pub manifests: u64,
    /// Tags that were written.
    pub tags: u64,
}

/// A step of a copy, for progress reports. A blob that several targets share is reported once for each.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The repository now has the blob.
    Blob {
        /// The repository.
        repository: &'a Repository,
        /// The blob.
        blob: &'a Descriptor,
        /// Whether it was uploaded, rather than found or mounted.
        sent: bool,
    },
    /// The image can now be pulled by this tag.
    Tagged {
        /// The repository.
        repository: &'a Repository,
        /// The tag.
        tag: &'a Tag,
    },
}

/// A callback for every step of a copy.
pub type Observer<'a> = &'a (dyn Fn(Step<'_>) + Sync);

/// A callback for the result of each target, with its index in the list of targets. It is called as soon as the result is known.
pub type Finished<'a> = &'a (dyn Fn(usize, Result<Copied, Error>) + Sync);

/// The memory budget of a copy that runs concurrently with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The copy uses the common budget.
    Common,
    /// The targets are behind: the copy uses the budget of their first host, and does not delay other copies.
    Behind,
}

/// Copies images. A copier remembers which host has which blob, so one copier should serve a whole run.
#[derive(Clone, Debug)]
pub struct Copier {
    writer: Writer,
    mover: Mover,
}

impl Copier {
    /// Creates a copier that does not know yet which host has which blob.
    pub fn new(writer: Writer, spool: SpoolSettings) -> Self {
        Self { mover: Mover::new(writer.clone(), spool), writer }
    }

    /// Returns how much has been written to the spool so far, in bytes.
    pub fn spooled(&self) -> u64 {
        self.mover.spooled()
    }

    /// Copies an image to all targets concurrently, and reports the result of each target as soon as it is known. A target that
    /// is slow or fails does not stop the others.
    ///
    /// Each repository receives blobs first, then manifests after all their parts, then tags. An interruption therefore leaves no
    /// manifest without its parts and no tag on an incomplete image.
    pub async fn copy(
        &self,
        graph: &Graph,
        source: &Repository,
        targets: &[Target],
        lane: Lane,
        observer: Observer<'_>,
        finished: Finished<'_>,
    ) {
        let wanted: Vec<HashSet<&Digest>> =
            targets.iter().map(|target| wanted_blobs(graph, target)).collect();
        let mut listeners = Vec::new();
        let mut receivers = Vec::new();
        for blobs in &wanted {
            let (sender, receiver) = mpsc::channel(blobs.len().max(1));
            listeners.push(sender);
            receivers.push(receiver);
        }
        let behind = targets.first().filter(|_| lane == Lane::Behind).map(|target| &target.repository.host);
        let permits = Semaphore::new(BLOBS_AT_ONCE);
        let moving = stream::iter(graph.blobs(|_| true)).for_each_concurrent(BLOBS_IN_ALL, |blob| {
            let (wanted, listeners, permits) = (&wanted, &listeners, &permits);
            async move {
                // The semaphore is never closed.
                let Ok(permit) = permits.acquire().await else { return };
                let lacking = (0..targets.len()).filter(|index| wanted[*index].contains(&blob.digest));
                // A target that has failed has closed its channel.
                let listening = lacking.filter(|index| !listeners[*index].is_closed());
                let wanting = listening
                    .map(|index| wanting(&targets[index].repository, blob, &listeners[index]))
                    .collect();
                self.mover.move_to(Cargo { source, blob, behind }, wanting, permit).await;
            }
        });
        let finishing = targets.iter().zip(&wanted).zip(receivers).enumerate().map(
            |(index, ((target, wanted), moved))| async move {
                finished(index, self.finish(graph, target, wanted.len(), moved, observer).await);
            },
        );
        join(join_all(finishing), moving).await;
    }

    /// Waits for the blobs of a target, and writes its manifests and tags.
    async fn finish(
        &self,
        graph: &Graph,
        target: &Target,
        blobs: usize,
        mut moved: mpsc::Receiver<Moved<'_>>,
        observer: Observer<'_>,
    ) -> Result<Copied, Error> {
        let repository = &target.repository;
        let mut copied = Copied::default();
        for _ in 0..blobs {
            let gone = || {
                Error::new(format!("copying to {repository}"), ErrorKind::Content("no blob came".to_owned()))
            };
            let Moved { blob, result } = moved.recv().await.ok_or_else(gone)?;
            let sent = result?;
            copied.blobs_sent += u64::from(sent);
            copied.blobs_there += u64::from(!sent);
            copied.bytes_sent += if sent { blob.size } else { 0 };
            observer(Step::Blob { repository, blob, sent });
        }
        drop(moved);
        copied.manifests = self.write_manifests(graph, target).await?;
        copied.tags = self.write_tags(graph, target, observer).await?;
        Ok(copied)
    }

    /// Writes the manifests that the target lacks, level by level, children first, and returns their number. An image with
    /// tags is written by its tag instead: one request does both.
    async fn write_manifests(&self, graph: &Graph, target: &Target) -> Result<u64, Error> {
        let root = graph.root().digest;
        if target.present.contains(&root) {
            return Ok(0);
        }
        let written = AtomicU64::new(0);
        let mut there = target.present.clone();
        loop {
            let lacking = |digest: &Digest| !there.contains(digest);
            let ready: Vec<&Node> = graph
                .nodes()
                .iter()
                .filter(|node| lacking(&node.digest) && !node.children.iter().any(lacking))
                .filter(|node| node.digest != root || target.tags.is_empty())
                .collect();
            if ready.is_empty() {
                return Ok(written.into_inner());
            }
            try_join_all(ready.iter().map(|node| async {
                written.fetch_add(1, Relaxed);
                // A manifest with a subject is also added to the list of referrers if the registry does not maintain that list.
                self.writer.place(&target.repository, node.digest, &node.manifest, Known::Unknown).await
            }))
            .await?;
            there.extend(ready.iter().map(|node| node.digest));
        }
    }

    async fn write_tags(&self, graph: &Graph, target: &Target, observer: Observer<'_>) -> Result<u64, Error> {
        let root = graph.root();
        let mut written = 0;
        for tag in &target.tags {
            written += u64::from(self.writer.place_tag(&target.repository, tag, &root.manifest).await?);
            observer(Step::Tagged { repository: &target.repository, tag });
        }
        Ok(written)
    }
}

/// Connects a target that needs a blob with the channel for the result.
fn wanting<'a, 'graph: 'a>(
    repository: &'a Repository,
    blob: &'graph Descriptor,
    listener: &'a mpsc::Sender<Moved<'graph>>,
) -> Wanting<'a> {
    let report = move |result| {
        // The channel has capacity for every blob that the target needs. A target that has failed has closed it.
        let _ = listener.try_send(Moved { blob, result });
    };
    Wanting { repository, report: Box::new(report), given_up: Box::pin(listener.closed()) }
}

/// The result of a blob for one target: `true` if it was uploaded.
struct Moved<'a> {
    blob: &'a Descriptor,
    result: Result<bool, Error>,
}

/// Returns the size of the blobs that [`Copier::copy`] reports as [`Step::Blob`] for a target, in bytes. The target may
/// already have some of them.
pub fn wanted_bytes(graph: &Graph, target: &Target) -> u64 {
    if target.present.contains(&graph.root().digest) {
        return 0;
    }
    let wanted = graph.blobs(|node| !target.present.contains(&node.digest));
    // Sizes come from untrusted manifests, so the sum saturates.
    wanted.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
}

/// Returns the blobs of the manifests that a target lacks.
fn wanted_blobs<'a>(graph: &'a Graph, target: &Target) -> HashSet<&'a Digest> {
    // A repository that has the whole image also has its parts: registries accept no manifest without them.
    if target.present.contains(&graph.root().digest) {
        return HashSet::new();
    }
    graph.blobs(|node| !target.present.contains(&node.digest)).iter().map(|blob| &blob.digest).collect()
}
