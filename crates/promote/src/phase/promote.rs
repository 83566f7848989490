//! Promote: images are copied and tagged. Failures are data: the other images go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::stream::{self, StreamExt};
use oci::{Copier, Graph, Repository, Step, Target, Writer};

use crate::decide::Verdict;
use crate::edge::Edge;
use crate::event::{Event, Phase, Promotion};
use crate::phase::plan::{ImageId, Plan};
use crate::phase::validate::Cleared;
use crate::run::Run;

/// How many images are on their way at once. What each host bears is its gate's matter; this bounds memory alone.
const IMAGES_AT_ONCE: usize = 24;

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

/// An image and all the repositories that it goes to.
struct Shipment<'a> {
    graph: &'a Graph,
    source: &'a Repository,
    targets: Vec<Target>,
}

/// Copies and tags what the plan says, the largest images first.
pub async fn promote(run: &Run, writer: &Writer, cleared: Cleared, _: Confirmed) -> Promoted {
    let plan = cleared.plan;
    let failed = AtomicUsize::new(0);
    let begun = AtomicUsize::new(0);
    let shipments = shipments(&plan);
    let all = shipments.len();
    if !plan.keeps_going() && plan.failures().next().is_some() {
        run.stop();
    }
    run.phase(Phase::Promote, async {
        run.tell(&Event::Work { units: "images", more: all });
        let copier = Copier::new(writer.clone());
        let keep_going = plan.keeps_going();
        stream::iter(shipments)
            .take_until(run.stopped())
            .for_each_concurrent(IMAGES_AT_ONCE, |shipment| {
                begun.fetch_add(1, Relaxed);
                let (copier, failed) = (&copier, &failed);
                async move {
                    failed.fetch_add(ship(run, copier, shipment, keep_going).await, Relaxed);
                    run.tell(&Event::Worked);
                }
            })
            .await;
    })
    .await;
    let failed = failed.into_inner() + plan.failures().count();
    Promoted { not_begun: all - begun.into_inner(), failed, plan }
}

/// Brings an image to its targets, a second time to those that failed for a reason that may have passed, and gives the
/// number of those that failed.
async fn ship(run: &Run, copier: &Copier, shipment: Shipment<'_>, keep_going: bool) -> usize {
    let observer = |step: Step<'_>| match step {
        Step::Blob { repository, blob, sent } => {
            run.tell(&Event::Blob { destination: repository.clone(), size: blob.size, sent });
        }
        Step::Tagged { repository, tag } => run.tell(&Event::Tagged(repository.tagged(tag.clone()))),
    };
    let Shipment { graph, source, targets } = shipment;
    let mut failed = 0;
    let mut pending = targets;
    for last in [false, true] {
        let results = copier.copy(graph, source, &pending, &observer).await;
        let mut again = Vec::new();
        for (target, result) in pending.into_iter().zip(results) {
            match result {
                Ok(copied) => run.tell(&Event::Promoted(promotion(graph, source, target), copied)),
                Err(error) if !last && error.is_temporary() && !run.is_stopping() => again.push(target),
                Err(error) => {
                    failed += 1;
                    run.tell(&Event::Failed(promotion(graph, source, target), Arc::new(error)));
                }
            }
        }
        if again.is_empty() {
            break;
        }
        pending = again;
    }
    if failed > 0 && !keep_going {
        run.stop();
    }
    failed
}

fn promotion(graph: &Graph, source: &Repository, target: Target) -> Promotion {
    Promotion { source: source.at(graph.root().digest), destination: target.repository, tags: target.tags }
}

/// What goes where: the edges to carry out, by image and then by repository.
fn shipments(plan: &Plan) -> Vec<Shipment<'_>> {
    let edges = plan.edges();
    let mut images: BTreeMap<ImageId, Vec<&Edge>> = BTreeMap::new();
    for (edge, verdict) in plan.decisions() {
        if matches!(verdict, Verdict::Copy | Verdict::Tag) {
            images.entry((edge.source, edge.digest)).or_default().push(edge);
        }
    }
    let mut shipments: Vec<Shipment<'_>> = images
        .into_values()
        .filter_map(|edges_of_image| {
            let graph = plan.image(edges_of_image[0])?;
            // Edges are ordered by destination.
            let targets =
                edges_of_image.chunk_by(|a, b| a.destination == b.destination).map(|there| Target {
                    repository: edges.destination(there[0]).clone(),
                    tags: there.iter().filter_map(|edge| edges.tag(edge)).cloned().collect(),
                    present: plan.present(there[0], graph),
                });
            Some(Shipment { graph, source: edges.source(edges_of_image[0]), targets: targets.collect() })
        })
        .collect();
    // Long things first: what ends last should not have begun last.
    shipments.sort_by_key(|shipment| std::cmp::Reverse(shipment.graph.size()));
    shipments
}
