//! Copying an image to many repositories: each blob is read once, each repository gets parts before wholes, tags come last.

mod claims;
mod fan;
mod graph;
mod mover;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::future::{join, join_all, try_join_all};
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

pub use graph::{Graph, Node};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::manifest::Descriptor;
use crate::name::{Repository, Tag};
use crate::read::Selector;
use crate::write::Writer;
use mover::Mover;

/// How many blobs of one image are on their way at once.
const BLOBS_AT_ONCE: usize = 16;

/// Where an image goes, and what is known to be there.
#[derive(Clone, Debug)]
pub struct Target {
    /// The repository.
    pub repository: Repository,
    /// The tags it gets; none to be had by digest alone.
    pub tags: Vec<Tag>,
    /// Manifests that the repository is known to hold, with all their parts.
    pub present: HashSet<Digest>,
}

/// What was done for one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs that were uploaded.
    pub blobs_sent: u64,
    /// Blobs that were there, or were mounted from another repository.
    pub blobs_there: u64,
    /// Bytes of uploaded blobs.
    pub bytes_sent: u64,
    /// Manifests that were written.
    pub manifests: u64,
    /// Tags that were written.
    pub tags: u64,
}

/// A step of a copy, for whoever shows progress. Blobs shared by targets are told once for each.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A blob is in the repository now; `sent` tells whether it had to be uploaded.
    Blob {
        /// Where.
        repository: &'a Repository,
        /// Which.
        blob: &'a Descriptor,
        /// Whether it was uploaded, rather than found or mounted.
        sent: bool,
    },
    /// The image can be pulled by this tag now.
    Tagged {
        /// Where.
        repository: &'a Repository,
        /// Which.
        tag: &'a Tag,
    },
}

/// Told of every step of a copy.
pub type Observer<'a> = &'a (dyn Fn(Step<'_>) + Sync);

/// Copies images. It remembers which host has which blob, so one copier should serve a whole run.
#[derive(Clone, Debug)]
pub struct Copier {
    writer: Writer,
    mover: Mover,
}

impl Copier {
    /// A copier that remembers nothing yet.
    pub fn new(writer: Writer) -> Self {
        Self { mover: Mover::new(writer.clone()), writer }
    }

    /// Copies an image to all targets at the same time and tells for each, in their order, what came of it. A target that
    /// fails does not stop the others.
    ///
    /// In each repository blobs come first, then manifests after all their parts, then the tags, so that whatever
    /// interrupts this leaves no manifest without its parts and no tag on an incomplete image.
    pub async fn copy(
        &self,
        graph: &Graph,
        source: &Repository,
        targets: &[Target],
        observer: Observer<'_>,
    ) -> Vec<Result<Copied, Error>> {
        let wanted: Vec<HashSet<Digest>> = targets.iter().map(|target| wanted_blobs(graph, target)).collect();
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for blobs in &wanted {
            let (sender, receiver) = mpsc::channel(blobs.len().max(1));
            senders.push(sender);
            receivers.push(receiver);
        }
        let moving = async {
            let blobs = graph.blobs(|_| true);
            stream::iter(blobs)
                .for_each_concurrent(BLOBS_AT_ONCE, |blob| {
                    let lacking: Vec<usize> =
                        (0..targets.len()).filter(|i| wanted[*i].contains(&blob.digest)).collect();
                    self.move_blob(blob, source, targets, lacking, &senders)
                })
                .await;
        };
        let finishing = targets
            .iter()
            .zip(&wanted)
            .zip(receivers)
            .map(|((target, wanted), moved)| self.finish(graph, target, wanted.len(), moved, observer));
        let (finished, ()) = join(join_all(finishing), moving).await;
        finished
    }

    async fn move_blob(
        &self,
        blob: &Descriptor,
        source: &Repository,
        targets: &[Target],
        lacking: Vec<usize>,
        senders: &[mpsc::Sender<Moved>],
    ) {
        let repositories = lacking.into_iter().map(|index| (index, &targets[index].repository)).collect();
        let report = |index: usize, result: Result<bool, Error>| {
            // A target that has failed already listens no more; its channel has room for every blob it wants.
            let _ = senders[index].try_send(Moved { blob: blob.clone(), result });
        };
        self.mover.move_to(source, blob, repositories, &report).await;
    }

    /// Waits for a target's blobs and writes its manifests and tags.
    async fn finish(
        &self,
        graph: &Graph,
        target: &Target,
        blobs: usize,
        mut moved: mpsc::Receiver<Moved>,
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
            observer(Step::Blob { repository, blob: &blob, sent });
        }
        drop(moved);
        copied.manifests = self.write_manifests(graph, target).await?;
        copied.tags = self.write_tags(graph, target, observer).await?;
        Ok(copied)
    }

    /// Writes the manifests that the target lacks, level by level from the parts up, and gives their number. An image that
    /// gets a tag is written by that tag: one request for both.
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
                let which = Selector::Digest(node.digest);
                self.writer.put_manifest(&target.repository, which, &node.manifest).await
            }))
            .await?;
            there.extend(ready.iter().map(|node| node.digest));
        }
    }

    async fn write_tags(&self, graph: &Graph, target: &Target, observer: Observer<'_>) -> Result<u64, Error> {
        let root = graph.root();
        for tag in &target.tags {
            self.writer.put_manifest(&target.repository, Selector::Tag(tag), &root.manifest).await?;
            observer(Step::Tagged { repository: &target.repository, tag });
        }
        Ok(target.tags.len() as u64)
    }
}

/// What came of a blob for one target: whether it was uploaded.
struct Moved {
    blob: Descriptor,
    result: Result<bool, Error>,
}

/// The blobs of the manifests that a target lacks.
fn wanted_blobs(graph: &Graph, target: &Target) -> HashSet<Digest> {
    // Where the whole is there, so are its parts: registries take no manifest without them.
    if target.present.contains(&graph.root().digest) {
        return HashSet::new();
    }
    graph.blobs(|node| !target.present.contains(&node.digest)).iter().map(|blob| blob.digest).collect()
}
