//! Promote: images are copied and tagged. Failures are data: the other images go on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt};
use oci::{Copied, Copier, Graph, Lane, Repository, SpoolSettings, Step, Tag, Target, Writer};
use tokio::sync::Notify;

use crate::decide::Verdict;
use crate::edge::Edge;
use crate::event::{Event, Phase, Promotion};
use crate::phase::plan::{ImageId, Plan};
use crate::phase::schedule::{Begin, Occasion, Schedule};
use crate::phase::validate::Cleared;
use crate::run::Run;

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
    failed: usize,
    not_begun: usize,
}

impl Promoted {
    /// The plan that was carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
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
) -> Promoted {
    let mut plan = cleared.plan;
    if !plan.keeps_going() && plan.failures().next().is_some() {
        run.stop();
    }
    let (failed, not_begun) = run
        .phase(Phase::Promote, async {
            let copier = Copier::new(writer.clone(), copying.spool.clone());
            let (failed, not_begun) = Promoting::new(run, &plan, copier.clone(), |_| true).carry_out().await;
            if plan.late() == 0 || run.is_stopping() {
                return (failed, not_begun + plan.late());
            }
            let late = plan.catch_up(run, writer.reader()).await;
            let is_late = |edge: &Edge| late.contains(&edge.destination);
            let (failed_late, not_begun_late) = Promoting::new(run, &plan, copier, is_late).carry_out().await;
            // Nobody has begun what could not be decided before a stop.
            (failed + failed_late + plan.conflicts(), not_begun + not_begun_late + plan.late())
        })
        .await;
    Promoted { not_begun, failed: failed + plan.failures().count(), plan }
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
    /// The first failures of targets that are to be tried again.
    first_failures: BTreeMap<(usize, usize), oci::Error>,
    failed: usize,
}

impl<'a> Promoting<'a> {
    fn new(run: &'a Run, plan: &'a Plan, copier: Copier, which: impl Fn(&Edge) -> bool) -> Self {
        let shipments = shipments(plan, which);
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
        let state = Mutex::new(State { schedule, left, first_failures: BTreeMap::new(), failed: 0 });
        Self { run, plan, copier, shipments, state, changed: Notify::new() }
    }

    /// Sends everything out; gives how many targets have failed and how many images were not begun.
    async fn carry_out(&self) -> (usize, usize) {
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
        let state = self.state();
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
                self.ended(image, target);
            }
            Err(error) if occasion != Occasion::Again && error.is_temporary() && !self.run.is_stopping() => {
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
        Target { repository, tags: self.tags(edges), present: self.plan.present(edges[0], shipment.graph) }
    }

    fn tags(&self, edges: &[&Edge]) -> Vec<Tag> {
        edges.iter().filter_map(|edge| self.plan.edges().tag(edge)).cloned().collect()
    }

    fn promotion(&self, image: usize, target: usize) -> Promotion {
        let shipment = &self.shipments[image];
        #[expect(clippy::expect_used, reason = "targets are numbered by what this gives")]
        let edges = shipment.targets().nth(target).expect("a target of the image");
        Promotion {
            source: shipment.source.at(shipment.graph.root().digest),
            destination: self.plan.edges().destination(edges[0]).clone(),
            tags: self.tags(edges),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Shipment<'a> {
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
