//! Plan: reads registries, decides edges, and reads the images to copy from staging. Writes nothing. Planning has up to two
//! rounds, which run the same phases: the first for the hosts that answer, the second for those that were late.

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
use crate::event::Run;
use crate::inventory::Inventory;
use crate::phase::owed::Owed;
use crate::phase::plan::Plan;
use crate::phase::setup::{Late, Ready, Round};
use crate::subject::subjects;

/// A second round of the same phases, for the hosts that the first round did not wait for.
#[derive(Debug)]
#[must_use]
pub struct Deferred {
    ready: Ready,
    /// The number of deferred images.
    images: usize,
}

impl Deferred {
    /// Returns the edges of the second round. That round waits for all hosts, so there is no third one.
    pub(crate) fn into_ready(self) -> Ready {
        self.ready
    }

    /// Returns the number of deferred images.
    pub(crate) fn images(&self) -> usize {
        self.images
    }
}

/// What a round has read from registries, and the resulting verdicts.
struct Decided {
    edges: Arc<Edges>,
    verdicts: Vec<Verdict>,
    inventory: Inventory,
    images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    cache: Option<Arc<Cache>>,
    round: Option<BTreeSet<Id<Repository>>>,
}

/// Reads the registries and decides every edge. Defers edges to destination hosts that do not answer.
///
/// # Errors
/// If an edge contradicts production, if no repository at all can be read, or if the run is stopped.
pub async fn plan(
    run: &Run,
    reader: &Reader,
    ready: Ready,
    trust_config: &TrustConfig,
) -> Result<(Plan, Option<Deferred>), Error> {
    let Ready { edges, policies, strict, keep_going, writes, checks_attached, scope, round } = ready;
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
    let (owed, checks_attached) = (Owed::default(), writes || checks_attached);
    let plan = Plan {
        edges,
        verdicts,
        inventory,
        images,
        round,
        owed,
        checks_attached,
        scope,
        policies,
        keep_going,
        cache,
    };
    plan.warn(run);
    let plan = plan.check(strict)?;
    let deferred = plan.defer(strict, writes);
    Ok((plan, deferred))
}

/// Reads all registries except late ones, and decides all edges.
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
        // This loop ends because a contradiction drops everything cached about the host.
        let wrong = cached.contradicted(run, &edges, &verdicts);
        if wrong.is_empty() {
            break verdicts;
        }
        wrong.into_iter().for_each(|repository| inventory.forget(repository));
    };
    // Other processes cannot use the cache while it is open, so keep it open only if Sign and Attest need it.
    let cache = cached.keep(run, &edges, &verdicts).filter(|_| trust_config.signing.is_some());
    serve(&mut edges, &inventory);
    let promoted = edges.all().iter().zip(&verdicts).filter(|(edge, _)| edges.promotes(edge));
    let images = read_images(run, readers.of_staging(), &edges, promoted).await;
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
    let decided = edges.all().iter().zip(&verdicts).filter(|(edge, _)| edges.promotes(edge));
    let lacking = decided.filter(|(edge, verdict)| {
        // An image that was only tagged in the first round has been read in part.
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

/// Makes each edge copy from a staging repository that has its image.
fn serve(edges: &mut Arc<Edges>, inventory: &Inventory) {
    if edges.are_shared() {
        Arc::make_mut(edges).serve_from(|edges, edge| serving(edges, edge, inventory));
    }
}

/// Returns the repositories in which attachments matter: staging, and the canonical repositories of the images to sign.
fn observed(edges: &Edges, trust_config: &TrustConfig) -> BTreeSet<Id<Repository>> {
    let sources = edges.all().iter().flat_map(|edge| edges.sources(edge));
    let mut observed: BTreeSet<Id<Repository>> = sources.collect();
    if trust_config.signing.is_some() {
        observed.extend(subjects(edges, &trust_config.production).iter().map(|subject| subject.canonical));
    }
    observed
}

impl Plan {
    /// Returns the second round, if any host is late.
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
            checks_attached: self.checks_attached,
            scope: self.scope.clone(),
            round: Round::Second(Box::new(round)),
        };
        Some(Deferred { ready, images: late.len() })
    }

    /// Rejects a plan that cannot or must not be carried out.
    fn check(self, strict: bool) -> Result<Self, Error> {
        let conflicts: Vec<Conflict> = self
            .decisions()
            .filter_map(|(edge, verdict)| {
                let reason = self.conflict(edge, verdict, strict)?;
                Some(Conflict {
                    reference: self.edges.reference(edge),
                    origin: self.edges.origin(edge),
                    reason,
                    is_lost: *verdict == Verdict::Lost,
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
