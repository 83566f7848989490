//! Plan: registries are read, edges decided, the images to copy read from staging. Nothing is written. It is done in rounds: all hosts that answer first, then those that were late, by the same phases.

mod cached;
mod progress;
mod reading;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cached::CachedInventory;
use manifest::Id;
use manifest::{Edges, ImageId};
use oci::{Graph, Reader, Repository};
use progress::Progress;
use reading::{Readers, ask, list, list_all, read_images};
use trust::TrustConfig;

use crate::cache::Cache;
use crate::decide::{Verdict, serving};
use crate::error::{Conflict, Error};
use crate::inventory::Inventory;
use crate::phase::owed::Owed;
use crate::phase::plan::Plan;
use crate::phase::setup::{Late, Ready, Round};
use crate::run::Run;
use crate::subject::subjects;

/// A second round of the same phases, for the hosts that the first round did not wait for.
#[derive(Debug)]
#[must_use]
pub struct Deferred {
    ready: Ready,
    /// How many images are put off.
    images: usize,
}

impl Deferred {
    /// The edges of the second round, which waits for all hosts, so that there is no third.
    pub(crate) fn into_ready(self) -> Ready {
        self.ready
    }

    /// How many images are put off.
    pub(crate) fn images(&self) -> usize {
        self.images
    }
}

/// What a round has read of registries, and what it has decided by that.
struct Decided {
    edges: Arc<Edges>,
    verdicts: Vec<Verdict>,
    inventory: Inventory,
    images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    cache: Option<Arc<Cache>>,
    round: Option<BTreeSet<Id<Repository>>>,
}

/// Reads what has to be known and decides every edge. What ends on hosts that do not answer is deferred.
///
/// # Errors
/// When an edge contradicts production, when no repository at all can be read, or when the run is told to stop.
pub async fn plan(
    run: &Run,
    reader: &Reader,
    ready: Ready,
    trust_config: &TrustConfig,
) -> Result<(Plan, Option<Deferred>), Error> {
    let Ready { edges, policies, strict, keep_going, writes, looks, round } = ready;
    let readers = Readers::new(reader, writes, &edges);
    let decided = match round {
        Round::First { late_after, cache } => {
            first_round(run, &readers, edges, trust_config, late_after, cache).await?
        }
        Round::Second(late) => second_round(run, &readers, edges, *late).await?,
    };
    if run.is_stopping() {
        return Err(Error::Interrupted);
    }
    let Decided { edges, verdicts, inventory, images, cache, round } = decided;
    let (owed, looks) = (Owed::default(), writes || looks);
    let plan = Plan { edges, verdicts, inventory, images, round, owed, looks, policies, keep_going, cache };
    plan.warn(run);
    let plan = plan.check(strict)?;
    let deferred = plan.defer(strict, writes);
    Ok((plan, deferred))
}

/// Reads all registries but those that are late, and decides all edges.
async fn first_round(
    run: &Run,
    readers: &Readers,
    mut edges: Arc<Edges>,
    trust_config: &TrustConfig,
    late_after: Option<Duration>,
    cache: Option<Cache>,
) -> Result<Decided, Error> {
    let mut cached = CachedInventory::recall(run, cache, &edges);
    let mut inventory = Inventory::observing(observed(&edges, trust_config));
    let verdicts = loop {
        cached.up_to_date().for_each(|repository| inventory.settle(repository));
        list(run, readers, &edges, &cached, &mut inventory, late_after).await;
        let verdicts = ask(run, readers, &edges, &mut inventory).await?;
        // What is remembered of a host is forgotten as soon as one bit of it is wrong, so this ends.
        let wrong = cached.contradicted(run, &edges, &verdicts);
        if wrong.is_empty() {
            break verdicts;
        }
        wrong.into_iter().for_each(|repository| inventory.forget(repository));
    };
    // No other process can use it as long as this one has it open.
    let cache = cached.keep(run, &edges, &verdicts).filter(|_| trust_config.signing.is_some());
    serve(&mut edges, &inventory);
    let images = read_images(run, readers.of_staging(), &edges, edges.all().iter().zip(&verdicts)).await;
    let cache = cache.map(Arc::new);
    Ok(Decided { edges, verdicts, inventory, images, cache, round: None })
}

/// Reads the registries that the first round did not wait for, and decides their edges.
async fn second_round(
    run: &Run,
    readers: &Readers,
    mut edges: Arc<Edges>,
    late: Late,
) -> Result<Decided, Error> {
    let Late { repositories, mut inventory, mut images, cache } = late;
    inventory.resume_late();
    let hosts = repositories.iter().map(|repository| (&edges.repository(*repository).host, true));
    let progress = Progress::new(hosts);
    list_all(run, readers, &edges, &repositories, &mut inventory, &progress).await;
    let verdicts = ask(run, readers, &edges, &mut inventory).await?;
    serve(&mut edges, &inventory);
    let decided = edges.all().iter().zip(&verdicts);
    let lacking = decided.filter(|(edge, verdict)| {
        // An image that only got tags elsewhere has been read in part.
        let is_lacking = match images.get(&(edge.source, edge.digest)) {
            Some(Ok(graph)) => **verdict == Verdict::Copy && !graph.is_whole(),
            Some(Err(_)) => false,
            None => true,
        };
        is_lacking && repositories.contains(&edge.destination)
    });
    let read = read_images(run, readers.of_staging(), &edges, lacking).await;
    images.extend(read);
    Ok(Decided { edges, verdicts, inventory, images, cache, round: Some(repositories) })
}

/// Has each edge served by a staging repository that has its image.
fn serve(edges: &mut Arc<Edges>, inventory: &Inventory) {
    if edges.are_shared() {
        Arc::make_mut(edges).serve_from(|edges, edge| serving(edges, edge, inventory));
    }
}

/// The repositories in which it matters what is attached to images: staging, and the homes of what is signed.
fn observed(edges: &Edges, trust_config: &TrustConfig) -> BTreeSet<Id<Repository>> {
    let sources = edges.all().iter().flat_map(|edge| edges.sources(edge));
    let mut observed: BTreeSet<Id<Repository>> = sources.collect();
    if trust_config.signing.is_some() {
        observed.extend(subjects(edges, &trust_config.production).iter().map(|subject| subject.home));
    }
    observed
}

impl Plan {
    /// The second round, where some hosts are late.
    fn defer(&self, strict: bool, writes: bool) -> Option<Deferred> {
        let repositories = self.inventory.late().clone();
        if repositories.is_empty() {
            return None;
        }
        let late = self.decisions().filter(|(_, verdict)| **verdict == Verdict::Late);
        let late: HashSet<ImageId> = late.map(|(edge, _)| (edge.source, edge.digest)).collect();
        let (inventory, images, cache) = (self.inventory.clone(), self.images.clone(), self.cache.clone());
        let round = Late { repositories, inventory, images, cache };
        let ready = Ready {
            edges: Arc::clone(&self.edges),
            policies: self.policies.clone(),
            strict,
            keep_going: self.keep_going,
            writes,
            looks: self.looks,
            round: Round::Second(Box::new(round)),
        };
        Some(Deferred { ready, images: late.len() })
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
            Some(error) if self.decisions().all(|(_, verdict)| unreadable(verdict)) => {
                Err(Error::Unavailable(error, Box::new(self)))
            }
            _ => Ok(self),
        }
    }
}
