//! Promote: images are copied and tagged. Failures are data: the other images go on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt};
use oci::{
    Copied, Copier, Descriptor, Digest, Graph, Lane, Reader, Repository, SpoolSettings, Step, Target, Writer,
};
use tokio::sync::Notify;

use crate::decide::Verdict;
use crate::edge::Edge;
use crate::event::{Event, Phase, Promotion};
use crate::intern::Id;
use crate::notary::Notary;
use crate::phase::examine::{Examined, Examiner};
use crate::phase::plan::{ImageId, Plan};
use crate::phase::schedule::{Begin, Occasion, Schedule};
use crate::phase::validate::Cleared;
use crate::policy::Policies;
use crate::run::Run;
use crate::subject::{Subject, edges_of};

/// That somebody has said `--confirm`: without it Promote cannot be called.
#[derive(Clone, Copy, Debug)]
pub struct Confirmed(());

impl Confirmed {
    /// The confirmation, where `confirm` says so.
    pub fn when(confirm: bool) -> Option<Self> {
        confirm.then_some(Self(()))
    }
}

/// What Promote has made of the plan.
#[derive(Debug)]
pub struct Promoted {
    plan: Plan,
    brought: HashSet<(Id<Repository>, Id<Digest>)>,
    pub(super) policies: Policies,
    /// What was found of the images that this run has promoted.
    pub(super) examined: HashMap<ImageId, Examined>,
    failed: usize,
    not_begun: usize,
}

impl Promoted {
    /// The plan that was carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether an image is at home with all the tags that it can have there, be it of this run or an earlier one. A tag that
    /// cannot be given any more, since staging has lost the image, takes nothing from the others.
    pub(super) fn holds(&self, subject: &Subject) -> bool {
        let wished = self.plan.decisions_at(subject.home).filter(|(edge, _)| edge.digest == subject.digest);
        let mut wished = wished.filter(|(_, verdict)| **verdict != Verdict::Lost).peekable();
        wished.peek().is_some() && wished.all(|(edge, verdict)| self.is_there(edge, verdict))
    }

    /// The edges of an image that are there at its home.
    pub(super) fn held(&self, subject: &Subject) -> impl Iterator<Item = &Edge> {
        let wished = self.plan.decisions_at(subject.home);
        let digest = subject.digest;
        wished
            .filter(move |(edge, verdict)| edge.digest == digest && self.is_there(edge, verdict))
            .map(|(edge, _)| edge)
    }

    fn is_there(&self, edge: &Edge, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Done | Verdict::DoneWithoutSource => true,
            Verdict::Copy | Verdict::Tag => self.brought.contains(&(edge.destination, edge.digest)),
            _ => false,
        }
    }

    /// Whether this run has brought an image to its home, or given it a tag there.
    pub(super) fn has_brought(&self, subject: &Subject) -> bool {
        self.brought.contains(&(subject.home, subject.digest))
    }

    /// The manifests of an image at home to which something can be attached, its own first, as that names them.
    ///
    /// No request where the image was copied; otherwise one, and one for each index below it.
    pub(super) async fn outline(
        &self,
        run: &Run,
        reader: &Reader,
        subject: &Subject,
    ) -> Result<Vec<Descriptor>, oci::Error> {
        let edges = self.plan.edges();
        let image = edges.repository(subject.home).at(*edges.digest_name(subject.digest));
        let read = edges_of(edges, subject).find_map(|edge| self.plan.image(edge));
        let mut outline = match read.filter(|graph| graph.is_whole()) {
            Some(graph) => graph.outline(),
            None => reader.outline(&image).await?,
        };
        let all = outline.len();
        outline.retain(|part| matches!(part.digest, Digest::Sha256(_)));
        if outline.len() < all {
            run.tell(&Event::Warned(format!(
                "parts of {image} are neither signed nor attested: they have no digest of the algorithm SHA-256, by which \
                 alone signatures name images"
            )));
        }
        Ok(outline)
    }

    /// What was found of an image, where this run has looked at it.
    pub(super) fn examined(&self, source: Id<Repository>, digest: &Digest) -> Option<&Examined> {
        let digest = self.plan.edges().find_digest(digest)?;
        self.examined.get(&(source, digest))
    }

    /// How many images could not be brought to a repository.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// How many images were not begun, because the run was told to stop.
    pub fn not_begun(&self) -> usize {
        self.not_begun
    }
}

/// An image and all that is wished of it.
struct Shipment<'a> {
    graph: &'a Graph,
    source: &'a Repository,
    /// Ordered by destination; those of one destination are a target.
    edges: Vec<&'a Edge>,
}

/// How images are copied.
#[derive(Clone, Debug, Default)]
pub struct Copying {
    /// Where blobs wait for destinations that are behind, and how much room they may have there.
    pub spool: SpoolSettings,
}

/// Copies and tags what the plan says, the largest images first.
pub async fn promote(
    run: &Run,
    writer: &Writer,
    cleared: Cleared,
    _: Confirmed,
    copying: &Copying,
    notary: &Notary,
) -> Promoted {
    let Cleared { mut plan, policies, mut examined } = cleared;
    if !plan.keeps_going() && plan.failures().next().is_some() {
        run.stop();
    }
    let mut brought = HashSet::new();
    let (failed, not_begun) = run
        .phase(Phase::Promote, async {
            let copier = Copier::new(writer.clone(), copying.spool.clone());
            let promoting = Promoting::new(run, &plan, &examined, copier.clone(), |_| true);
            let (failed, not_begun) = promoting.carry_out(&mut brought).await;
            if plan.late() == 0 || run.is_stopping() {
                return (failed, not_begun + plan.late());
            }
            let late = plan.catch_up(run, writer.reader()).await;
            let examiner = Examiner { run, reader: writer.reader(), notary, policies: &policies };
            let (blocked, not_looked_at) = examine_late(&examiner, &mut plan, &mut examined, &late).await;
            let is_late = |edge: &Edge| late.contains(&edge.destination);
            let promoting = Promoting::new(run, &plan, &examined, copier, is_late);
            let (failed_late, not_begun_late) = promoting.carry_out(&mut brought).await;
            // Nobody has begun what could not be decided before a stop.
            let failed = failed + failed_late + plan.conflicts() + blocked;
            (failed, not_begun + not_begun_late + not_looked_at + plan.late())
        })
        .await;
    Promoted { not_begun, failed: failed + plan.failures().count(), brought, policies, examined, plan }
}

/// Looks at the images that were decided late, as Provenance and Validate have looked at the others: what must not be promoted
/// is taken out of the plan, and told. Gives how many images are kept out of repositories for that, and how many nobody has
/// looked at because of a stop.
async fn examine_late(
    examiner: &Examiner<'_>,
    plan: &mut Plan,
    examined: &mut HashMap<ImageId, Examined>,
    late: &BTreeSet<Id<Repository>>,
) -> (usize, usize) {
    let is_late = |edge: &Edge| late.contains(&edge.destination);
    let mut images = plan.to_promote(is_late);
    images.retain(|image| !examined.contains_key(image));
    let run = examiner.run;
    let wrong: BTreeMap<ImageId, String> = match examiner.look_at(plan, images.clone()).await {
        Ok(looked) => {
            plan.cannot_read(run, looked.unread);
            let wrong = |found: &Examined| found.unproven().or_else(|| found.invalid());
            let images = looked.examined.iter();
            let wrong = images.filter_map(|(image, found)| Some((*image, wrong(found)?))).collect();
            examined.extend(looked.examined);
            wrong
        }
        Err(error) => {
            images.iter().map(|image| (*image, format!("it cannot be verified: {error}"))).collect()
        }
    };
    let mut blocked = 0;
    for shipment in shipments(plan, is_late) {
        let Some(why) = wrong.get(&shipment.image()) else { continue };
        for edges in shipment.targets() {
            blocked += 1;
            run.tell(&Event::Withheld(plan.promotion(edges), why.clone()));
        }
    }
    // Where the run was told to stop, some have not been looked at; what cannot be read has failed.
    images.retain(|image| {
        !wrong.contains_key(image) && !examined.contains_key(image) && plan.graph(*image).is_some()
    });
    let not_looked_at = images.len();
    plan.block(wrong.into_keys().chain(images));
    (blocked, not_looked_at)
}

/// Promote at work.
struct Promoting<'a> {
    run: &'a Run,
    plan: &'a Plan,
    copier: Copier,
    shipments: Vec<Shipment<'a>>,
    state: Mutex<State>,
    /// A target has ended.
    changed: Notify,
}

struct State {
    schedule: Schedule,
    /// How many targets of each image are not done with.
    left: Vec<usize>,
    /// Images, and the repositories that they have got to.
    brought: HashSet<(Id<Repository>, Id<Digest>)>,
    /// The first failures of targets that are to be tried again.
    first_failures: BTreeMap<(usize, usize), oci::Error>,
    failed: usize,
}

impl<'a> Promoting<'a> {
    fn new(
        run: &'a Run,
        plan: &'a Plan,
        examined: &HashMap<ImageId, Examined>,
        copier: Copier,
        which: impl Fn(&Edge) -> bool,
    ) -> Self {
        // What nobody has looked at is not promoted.
        let shipments =
            shipments(plan, |edge| which(edge) && examined.contains_key(&(edge.source, edge.digest)));
        let mut numbers = HashMap::new();
        let images: Vec<Vec<usize>> = shipments
            .iter()
            .map(|shipment| {
                let hosts = shipment.targets().map(|edges| &plan.edges().destination(edges[0]).host);
                hosts
                    .map(|host| {
                        let next = numbers.len();
                        *numbers.entry(host).or_insert(next)
                    })
                    .collect()
            })
            .collect();
        let left = images.iter().map(Vec::len).collect();
        let schedule = Schedule::new(images);
        let state = Mutex::new(State {
            schedule,
            left,
            brought: HashSet::new(),
            first_failures: BTreeMap::new(),
            failed: 0,
        });
        Self { run, plan, copier, shipments, state, changed: Notify::new() }
    }

    /// Sends everything out; gives how many targets have failed and how many images were not begun.
    async fn carry_out(&self, brought: &mut HashSet<(Id<Repository>, Id<Digest>)>) -> (usize, usize) {
        self.run.tell(&Event::Work { units: "images", more: self.shipments.len() });
        let mut under_way = FuturesUnordered::new();
        loop {
            while !self.run.is_stopping()
                && let Some(begin) = self.begin()
            {
                under_way.push(self.ship(begin));
            }
            if under_way.is_empty() {
                break;
            }
            tokio::select! {
                _ = under_way.next() => {}
                () = self.changed.notified() => {}
                () = self.run.stopped(), if !self.run.is_stopping() => {}
            }
        }
        drop(under_way);
        // What was to be tried again, and is not because of a stop, has failed.
        let failures = std::mem::take(&mut self.state().first_failures);
        for ((image, target), error) in failures {
            self.failed(image, target, error);
        }
        let mut state = self.state();
        brought.extend(state.brought.drain());
        (state.failed, state.schedule.not_begun())
    }

    fn begin(&self) -> Option<Begin> {
        self.state().schedule.next()
    }

    /// Brings an image to some of its targets.
    async fn ship(&self, Begin { image, targets: numbers, occasion }: Begin) {
        let shipment = &self.shipments[image];
        let targets: Vec<Target> = shipment
            .targets()
            .enumerate()
            .filter(|(number, _)| numbers.contains(number))
            .map(|(_, edges)| self.target(shipment, edges))
            .collect();
        let alone = occasion != Occasion::Fresh || self.state().schedule.is_one_of_many(image);
        let lane = if alone { Lane::Behind } else { Lane::Common };
        let observer = |step: Step<'_>| match step {
            Step::Blob { repository, blob, sent } => {
                self.run.tell(&Event::Blob { destination: repository.clone(), size: blob.size, sent });
            }
            Step::Tagged { repository, tag } => self.run.tell(&Event::Tagged(repository.tagged(tag.clone()))),
        };
        let finished = |place: usize, result: Result<Copied, oci::Error>| {
            self.finished(image, numbers[place], result, occasion);
        };
        let Shipment { graph, source, .. } = shipment;
        self.copier.copy(graph, source, &targets, lane, &observer, &finished).await;
    }

    /// Takes note of what came of a target, and has it tried once more where its failure may pass.
    fn finished(&self, image: usize, target: usize, result: Result<Copied, oci::Error>, occasion: Occasion) {
        self.state().first_failures.remove(&(image, target));
        match result {
            Ok(copied) => {
                self.run.tell(&Event::Promoted(self.promotion(image, target), copied));
                let edge = self.edges(image, target)[0];
                self.state().brought.insert((edge.destination, edge.digest));
                self.ended(image, target);
            }
            // What has been silent thrice would be waited for as long once more.
            Err(error)
                if occasion != Occasion::Again
                    && error.is_temporary()
                    && !error.is_silence()
                    && !self.run.is_stopping() =>
            {
                let mut state = self.state();
                state.schedule.try_again(image, target);
                state.first_failures.insert((image, target), error);
            }
            Err(error) => {
                self.failed(image, target, error);
                self.ended(image, target);
            }
        }
        self.changed.notify_one();
    }

    fn failed(&self, image: usize, target: usize, error: oci::Error) {
        self.run.tell(&Event::Failed(self.promotion(image, target), Arc::new(error)));
        self.state().failed += 1;
        if !self.plan.keeps_going() {
            self.run.stop();
        }
    }

    fn ended(&self, image: usize, target: usize) {
        let mut state = self.state();
        state.schedule.ended(image, target);
        state.left[image] -= 1;
        let is_done = state.left[image] == 0;
        drop(state);
        if is_done {
            self.run.tell(&Event::Worked);
        }
    }

    fn target(&self, shipment: &Shipment<'_>, edges: &[&Edge]) -> Target {
        let repository = self.plan.edges().destination(edges[0]).clone();
        Target {
            repository,
            tags: self.plan.tags(edges),
            present: self.plan.present(edges[0], shipment.graph),
        }
    }

    fn promotion(&self, image: usize, target: usize) -> Promotion {
        self.plan.promotion(self.edges(image, target))
    }

    fn edges(&self, image: usize, target: usize) -> &[&'a Edge] {
        #[expect(clippy::expect_used, reason = "targets are numbered by what this gives")]
        self.shipments[image].targets().nth(target).expect("a target of the image")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Shipment<'a> {
    fn image(&self) -> ImageId {
        (self.edges[0].source, self.edges[0].digest)
    }

    /// The edges of each repository that the image goes to.
    fn targets(&self) -> impl Iterator<Item = &[&'a Edge]> {
        self.edges.chunk_by(|a, b| a.destination == b.destination)
    }
}

/// What goes where: the edges to carry out, by image, the largest first: what ends last should not have begun last.
fn shipments(plan: &Plan, which: impl Fn(&Edge) -> bool) -> Vec<Shipment<'_>> {
    let mut images: BTreeMap<ImageId, Vec<&Edge>> = BTreeMap::new();
    for (edge, verdict) in plan.decisions() {
        if matches!(verdict, Verdict::Copy | Verdict::Tag) && which(edge) {
            images.entry((edge.source, edge.digest)).or_default().push(edge);
        }
    }
    let mut shipments: Vec<Shipment<'_>> = images
        .into_values()
        .filter_map(|edges| {
            let graph = plan.image(edges[0])?;
            // Edges are ordered by destination.
            Some(Shipment { graph, source: plan.edges().source(edges[0]), edges })
        })
        .collect();
    shipments.sort_by_cached_key(|shipment| std::cmp::Reverse(shipment.graph.size()));
    shipments
}
