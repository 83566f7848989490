//! Plan: registries are read, edges decided, the images to copy read from staging. Nothing is written.

mod memory;
mod progress;
mod reading;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use oci::{AttachmentKind, Digest, Graph, Host, InvalidManifest, Known, MediaType, Reader, Repository, Tag};
use serde::Serialize;

use crate::cache::Cache;
use crate::decide::Verdict;
use crate::edge::{Edge, Edges};
use crate::error::{Conflict, Error};
use crate::event::{Event, Phase, Promotion};
use crate::evidence::Hints;
use crate::intern::Id;
use crate::inventory::{Inventory, Known as Presence};
use crate::notary::{Notary, Production};
use crate::phase::setup::Ready;
use crate::policy::Policies;
use crate::problem::NewAdvice;
use crate::run::Run;
use crate::subject::subjects;
use memory::Memory;
use progress::Progress;
pub(super) use reading::by_host;
use reading::{Readers, ask, list, list_all, read_images};

/// An image in staging.
pub(crate) type ImageId = (Id<Repository>, Id<Digest>);

/// What is to be done, edge by edge, with the images to copy already read.
#[derive(Debug)]
pub struct Plan {
    edges: Edges,
    verdicts: Vec<Verdict>,
    inventory: Inventory,
    images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    /// Images that were found late, and must not be promoted.
    blocked: HashSet<ImageId>,
    /// Where images are at home, in a run that signs.
    homes: Option<Production>,
    keep_going: bool,
    cache: Option<Cache>,
}

/// Counts of edges, and what moving them would cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Edges in all.
    pub edges: usize,
    /// Edges whose image is to be copied.
    pub copy: usize,
    /// Edges whose image is there and lacks the tag.
    pub tag: usize,
    /// Images that lack a signature, as far as listings tell: at their homes, without their parts. What has one that may not
    /// be ours is looked at when it comes to signing.
    pub sign: usize,
    /// Edges of which nothing is left to do.
    pub done: usize,
    /// Edges whose image neither staging nor production has.
    pub lost: usize,
    /// Edges that contradict production.
    pub conflicts: usize,
    /// Edges whose registries or images cannot be read.
    pub failed: usize,
    /// Edges whose registries have not answered yet, and are asked again when the others are done.
    pub late: usize,
    /// Bytes to move at the most: what production has somewhere is mounted instead.
    pub bytes: u64,
}

/// Counts by project and in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// By project, those with edges alone.
    pub projects: BTreeMap<String, Count>,
    /// All together.
    pub total: Count,
}

/// An edge that cannot be decided or carried out, and why.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The edge.
    pub edge: &'a Edge,
    /// What came back.
    pub error: &'a Arc<oci::Error>,
}

/// Reads what has to be known and decides every edge.
///
/// # Errors
/// When an edge contradicts production, when no repository at all can be read, or when the run is told to stop.
pub async fn plan(
    run: &Run,
    reader: &Reader,
    ready: Ready,
    notary: &Notary,
) -> Result<(Plan, Policies), Error> {
    run.phase(Phase::Plan, async {
        let Ready { edges, policies, strict, keep_going, late_after, writes, cache } = ready;
        let readers = Readers::new(reader, writes, &edges);
        let mut memory = Memory::recall(run, cache, &edges);
        let mut inventory = Inventory::observing(observed(&edges, notary));
        let verdicts = loop {
            memory.settled().for_each(|repository| inventory.settle(repository));
            list(run, &readers, &edges, &memory, &mut inventory, late_after).await;
            let verdicts = ask(run, &readers, &edges, &mut inventory).await?;
            // What is remembered of a host is forgotten as soon as one bit of it is wrong, so this ends.
            let wrong = memory.contradicted(run, &edges, &verdicts);
            if wrong.is_empty() {
                break verdicts;
            }
            wrong.into_iter().for_each(|repository| inventory.forget(repository));
        };
        // Nobody else can use it as long as we have it open.
        let cache = memory.keep(run, &edges, &verdicts).filter(|_| notary.signing.is_some());
        let images = read_images(run, reader, &edges, edges.all().iter().zip(&verdicts)).await;
        if run.is_stopping() {
            return Err(Error::Interrupted);
        }
        let homes = notary.signing.as_ref().map(|_| notary.production.clone());
        let plan =
            Plan { edges, verdicts, inventory, images, blocked: HashSet::new(), homes, keep_going, cache };
        plan.warn(run, |_| true);
        Ok((plan.check(strict)?, policies))
    })
    .await
}

/// The repositories in which it matters what is attached to images: staging, and the homes of what is signed.
fn observed(edges: &Edges, notary: &Notary) -> BTreeSet<Id<Repository>> {
    let mut observed: BTreeSet<Id<Repository>> = edges.all().iter().map(|edge| edge.source).collect();
    if notary.signing.is_some() {
        observed.extend(subjects(edges, &notary.production).iter().map(|subject| subject.home));
    }
    observed
}

impl Plan {
    /// The edges.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Every edge with what is to be done about it.
    pub fn decisions(&self) -> impl Iterator<Item = (&Edge, &Verdict)> {
        self.edges.all().iter().zip(&self.verdicts)
    }

    /// The edges that end in a repository, each with what is to be done about it.
    pub(super) fn decisions_at(
        &self,
        destination: Id<Repository>,
    ) -> impl Iterator<Item = (&Edge, &Verdict)> {
        let (first, edges) = self.edges.range_to(destination);
        edges.iter().zip(&self.verdicts[first..])
    }

    /// What is remembered from run to run, where anything is.
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Whether an image that fails leaves the others alone.
    pub(super) fn keeps_going(&self) -> bool {
        self.keep_going
    }

    /// Whether the run has anything to write.
    pub fn is_empty(&self) -> bool {
        !self.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Copy | Verdict::Tag | Verdict::Late))
    }

    /// Why an edge cannot be decided or carried out: a registry does not answer, or the image cannot be read.
    pub fn failure(&self, edge: &Edge, verdict: &Verdict) -> Option<&Arc<oci::Error>> {
        match verdict {
            Verdict::Unreadable(question) => self.inventory.failure(question),
            Verdict::Copy | Verdict::Tag => self.images.get(&(edge.source, edge.digest))?.as_ref().err(),
            _ => None,
        }
    }

    /// The edges that cannot be decided or carried out, and why.
    pub fn failures(&self) -> impl Iterator<Item = Failure<'_>> {
        self.decisions()
            .filter_map(|(edge, verdict)| Some(Failure { edge, error: self.failure(edge, verdict)? }))
    }

    /// The edges whose image is nowhere.
    pub fn lost(&self) -> impl Iterator<Item = &Edge> {
        self.decisions().filter(|(_, verdict)| **verdict == Verdict::Lost).map(|(edge, _)| edge)
    }

    /// Images whose registries have not answered yet.
    pub(super) fn late(&self) -> usize {
        let late = self.decisions().filter(|(_, verdict)| **verdict == Verdict::Late);
        late.map(|(edge, _)| (edge.source, edge.digest)).collect::<HashSet<ImageId>>().len()
    }

    /// Reads the registries that the others did not wait for, and decides their edges; gives their repositories. What
    /// contradicts them is warned of, and is nothing that is carried out.
    pub(super) async fn catch_up(&mut self, run: &Run, reader: &Reader) -> BTreeSet<Id<Repository>> {
        let late = self.inventory.take_late();
        let hosts = late.iter().map(|repository| (&self.edges.repository(*repository).host, true));
        let progress = Progress::new(hosts);
        // Only a run that writes catches up.
        let readers = Readers::new(reader, true, &self.edges);
        list_all(run, &readers, &self.edges, &late, &mut self.inventory, &progress).await;
        // Where the run is told to stop between questions, all of it stays undecided.
        let Ok(verdicts) = ask(run, &readers, &self.edges, &mut self.inventory).await else {
            return BTreeSet::new();
        };
        let is_late = |edge: &Edge| late.contains(&edge.destination);
        let decided = self.edges.all().iter().zip(&verdicts).filter(|(edge, _)| is_late(edge));
        let lacking = decided.filter(|(edge, verdict)| {
            // An image that only got tags elsewhere has been read in part.
            match self.images.get(&(edge.source, edge.digest)) {
                Some(Ok(graph)) => **verdict == Verdict::Copy && !graph.is_whole(),
                Some(Err(_)) => false,
                None => true,
            }
        });
        let images = read_images(run, reader, &self.edges, lacking).await;
        if run.is_stopping() {
            return BTreeSet::new();
        }
        self.images.extend(images);
        for ((edge, verdict), new) in self.edges.all().iter().zip(&mut self.verdicts).zip(verdicts) {
            if is_late(edge) {
                *verdict = new;
            }
        }
        self.warn(run, is_late);
        for (edge, verdict) in self.decisions().filter(|(edge, _)| is_late(edge)) {
            if let Some(reason) = self.conflict(edge, verdict, false) {
                let reason = format!("{reason} ({})", self.edges.origin(edge));
                run.tell(&Event::Withheld(self.promotion(&[edge]), reason));
            }
        }
        late
    }

    /// Edges that contradict production, or whose images cannot be copied.
    pub(super) fn conflicts(&self) -> usize {
        self.decisions().filter(|(edge, verdict)| self.conflict(edge, verdict, false).is_some()).count()
    }

    /// Counts by project and in all.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        let mut moved: HashSet<(&Host, Digest)> = HashSet::new();
        for (edge, verdict) in self.decisions() {
            let mut count = Count { edges: 1, ..Count::default() };
            match verdict {
                verdict if self.failure(edge, verdict).is_some() => count.failed = 1,
                Verdict::Done | Verdict::DoneWithoutSource => count.done = 1,
                Verdict::Copy => {
                    count.copy = 1;
                    count.bytes = self.bytes_to_move(edge, &mut moved);
                }
                Verdict::Tag => count.tag = 1,
                Verdict::Lost => count.lost = 1,
                Verdict::Moved(_) | Verdict::Unsupported(_) => count.conflicts = 1,
                Verdict::Unreadable(_) => count.failed = 1,
                Verdict::Late => count.late = 1,
            }
            summary.total.add(count);
            summary.projects.entry(self.edges.project(edge).to_owned()).or_default().add(count);
        }
        for edge in self.to_sign() {
            let count = Count { sign: 1, ..Count::default() };
            summary.total.add(count);
            summary.projects.entry(self.edges.project(edge).to_owned()).or_default().add(count);
        }
        summary
    }

    /// The first edge of each image that lacks a signature at its home, as far as listings tell.
    fn to_sign(&self) -> impl Iterator<Item = &Edge> {
        let subjects = self.homes.as_ref().map(|production| subjects(&self.edges, production));
        subjects.unwrap_or_default().into_iter().filter_map(|subject| {
            let digest = self.edges.digest_name(subject.digest);
            let mut wished = self
                .decisions_at(subject.home)
                .filter(|(edge, _)| edge.digest == subject.digest && edge.tag.is_some());
            let (edge, verdict) = wished.next()?;
            let lacks = match verdict {
                Verdict::Copy | Verdict::Tag => self.image(edge).is_some(),
                Verdict::Done => {
                    self.attached(subject.home, digest, AttachmentKind::Signature) == Known::Absent
                }
                _ => false,
            };
            lacks.then_some(edge)
        })
    }

    /// The bytes of an edge's image that no edge before it has brought to its host.
    fn bytes_to_move<'a>(&'a self, edge: &Edge, moved: &mut HashSet<(&'a Host, Digest)>) -> u64 {
        let Some(Ok(graph)) = self.images.get(&(edge.source, edge.digest)) else { return 0 };
        let host = &self.edges.destination(edge).host;
        let new = graph.blobs(|_| true).into_iter().filter(|blob| moved.insert((host, blob.digest)));
        new.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// The images that are to be copied or tagged at destinations that `which` picks.
    pub(super) fn to_promote(&self, which: impl Fn(&Edge) -> bool) -> BTreeSet<ImageId> {
        let decided = self.decisions().filter(|(edge, verdict)| {
            matches!(verdict, Verdict::Copy | Verdict::Tag) && which(edge) && self.image(edge).is_some()
        });
        decided.map(|(edge, _)| (edge.source, edge.digest)).collect()
    }

    /// Takes in that it cannot be read what is attached to images: they are not promoted.
    pub(super) fn cannot_read(&mut self, run: &Run, unread: Vec<(ImageId, Arc<oci::Error>)>) {
        let mut new_advice = NewAdvice::default();
        for (image, error) in unread {
            let reference = self.edges.repository(image.0).at(*self.edges.digest_name(image.1));
            let problem = new_advice.of(&error);
            run.tell(&Event::Warned(format!("{reference} cannot be promoted: {problem}")));
            self.images.insert(image, Err(error));
        }
    }

    /// Takes in that images must not be promoted.
    pub(super) fn block(&mut self, images: impl IntoIterator<Item = ImageId>) {
        self.blocked.extend(images);
    }

    /// What a listing has shown of an image's evidence.
    pub(super) fn hints(&self, repository: Id<Repository>, digest: &Digest) -> Hints {
        super::examine::hints(self, repository, digest)
    }

    /// The manifests of an image, as far as they have been read.
    pub(super) fn graph(&self, image: ImageId) -> Option<&Graph> {
        self.images.get(&image)?.as_ref().ok()
    }

    /// The image of an edge, where it may be promoted.
    pub(super) fn image(&self, edge: &Edge) -> Option<&Graph> {
        let image = (edge.source, edge.digest);
        if self.blocked.contains(&image) { None } else { self.graph(image) }
    }

    /// What is to come of edges that bring one image to one repository.
    pub(super) fn promotion(&self, edges: &[&Edge]) -> Promotion {
        let Self { edges: names, .. } = self;
        Promotion {
            source: names.source(edges[0]).at(*names.digest(edges[0])),
            destination: names.destination(edges[0]).clone(),
            tags: self.tags(edges),
        }
    }

    /// The tags of edges.
    pub(super) fn tags(&self, edges: &[&Edge]) -> Vec<Tag> {
        edges.iter().filter_map(|edge| self.edges.tag(edge)).cloned().collect()
    }

    /// The manifests of an image that the destination of an edge is known to have.
    pub(super) fn present(&self, edge: &Edge, image: &Graph) -> HashSet<Digest> {
        let digests = image.nodes().iter().map(|node| node.digest);
        digests.filter(|digest| self.inventory.has(edge, digest, &self.edges)).collect()
    }

    /// What is known of the tag of what is attached to a manifest in a repository.
    pub(super) fn attached(&self, home: Id<Repository>, digest: &Digest, kind: AttachmentKind) -> Known {
        known(&self.inventory.attached(home, digest, Some(kind)))
    }

    /// What is known of the fallback tag of a manifest's referrers in a repository.
    pub(super) fn fallback(&self, home: Id<Repository>, digest: &Digest) -> Known {
        known(&self.inventory.attached(home, digest, None))
    }

    /// Whether something may refer to a manifest in a repository. To what this run has brought there, nothing does that it
    /// has not written itself.
    pub(super) fn may_have_referrers(&self, home: Id<Repository>, digest: &Digest) -> bool {
        !self.inventory.lacks(home, digest, &self.edges)
    }

    /// Refuses a plan that must not, or cannot, be carried out.
    fn check(self, strict: bool) -> Result<Self, Error> {
        let conflicts: Vec<Conflict> = self
            .decisions()
            .filter_map(|(edge, verdict)| {
                let reason = self.conflict(edge, verdict, strict)?;
                Some(Conflict {
                    reference: self.edges.reference(edge),
                    origin: self.edges.origin(edge),
                    reason,
                })
            })
            .collect();
        if !conflicts.is_empty() {
            return Err(Error::Conflicts(conflicts, Box::new(self)));
        }
        let unreadable = |verdict: &Verdict| matches!(verdict, Verdict::Unreadable(_));
        let first = self.failures().next().map(|failure| Arc::clone(failure.error));
        match first {
            Some(error) if self.verdicts.iter().all(unreadable) => {
                Err(Error::Unavailable(error, Box::new(self)))
            }
            _ => Ok(self),
        }
    }

    fn conflict(&self, edge: &Edge, verdict: &Verdict, strict: bool) -> Option<String> {
        let refused = |media_type| InvalidManifest::Unsupported(media_type).to_string();
        match verdict {
            Verdict::Moved(held) => {
                let wanted = self.edges.digest(edge);
                Some(format!(
                    "the tag is {held} in production, is to be {wanted}, and tags of production never move"
                ))
            }
            Verdict::Unsupported(media_type) => Some(refused(MediaType::clone(media_type))),
            Verdict::Lost if strict => {
                Some(format!("{} has lost {}", self.edges.source(edge), self.edges.digest(edge)))
            }
            Verdict::Copy | Verdict::Tag => {
                match self.images.get(&(edge.source, edge.digest))?.as_ref().err()?.kind() {
                    oci::ErrorKind::Manifest(InvalidManifest::Unsupported(media_type)) => {
                        Some(refused(media_type.clone()))
                    }
                    _ => None,
                }
            }
            Verdict::Done
            | Verdict::DoneWithoutSource
            | Verdict::Lost
            | Verdict::Unreadable(_)
            | Verdict::Late => None,
        }
    }

    /// Says what a person should know although it stops nothing.
    fn warn(&self, run: &Run, which: impl Fn(&Edge) -> bool) {
        for (edge, verdict) in self.decisions().filter(|(edge, _)| which(edge)) {
            let (source, digest) = (self.edges.source(edge), self.edges.digest(edge));
            let reference = self.edges.reference(edge);
            match verdict {
                Verdict::Lost => {
                    let origin = self.edges.origin(edge);
                    let text = format!(
                        "lost: {source}@{digest} is gone, and {reference} does not have it ({origin})"
                    );
                    run.tell(&Event::Lost(text));
                }
                Verdict::DoneWithoutSource => {
                    run.tell(&Event::Warned(format!("{reference} is promoted, but {source} has lost it")));
                }
                _ => {}
            }
        }
        let (mut told, mut new_advice) = (HashSet::new(), NewAdvice::default());
        let failures = self.failures().filter(|failure| which(failure.edge));
        for failure in failures.filter(|failure| told.insert(Arc::as_ptr(failure.error))) {
            let reference = self.edges.reference(failure.edge);
            let problem = new_advice.of(failure.error);
            run.tell(&Event::Warned(format!("{reference} and others cannot be promoted: {problem}")));
        }
    }
}

/// What those need to know who would ask for a tag.
fn known(presence: &Presence<()>) -> Known {
    match presence {
        Presence::Absent => Known::Absent,
        Presence::Present(()) => Known::Present,
        Presence::Unknown => Known::Nothing,
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.edges += other.edges;
        self.copy += other.copy;
        self.tag += other.tag;
        self.sign += other.sign;
        self.done += other.done;
        self.lost += other.lost;
        self.conflicts += other.conflicts;
        self.failed += other.failed;
        self.late += other.late;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}
