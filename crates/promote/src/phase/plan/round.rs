//! Planning in rounds: all hosts that answer first, then those that were late, by the same phases.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use oci::{Graph, Reader, Repository};

use super::memory::Memory;
use super::progress::Progress;
use super::reading::{Readers, ask, list, list_all, read_images};
use super::{ImageId, Plan};
use crate::cache::Cache;
use crate::decide::{Verdict, serving};
use crate::edge::Edges;
use crate::error::Error;
use crate::event::Phase;
use crate::intern::Id;
use crate::inventory::Inventory;
use crate::notary::Notary;
use crate::phase::examine::Passed;
use crate::phase::owed::{Looking, Owed};
use crate::phase::setup::{Ready, Round};
use crate::run::Run;
use crate::subject::subjects;

/// The part of a plan that the first round leaves out: edges to hosts that did not answer. It holds what the first round has
/// read, so that nothing is asked twice.
#[derive(Debug)]
pub(crate) struct Late {
    /// The destinations.
    repositories: BTreeSet<Id<Repository>>,
    inventory: Inventory,
    images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    cache: Option<Arc<Cache>>,
    /// What has passed in the first round.
    pub(super) passed: HashMap<ImageId, Passed>,
}

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
    pub(crate) fn into_ready(self, passed: HashMap<ImageId, Passed>) -> Ready {
        let Self { mut ready, .. } = self;
        if let Round::Second(late) = &mut ready.round {
            late.passed = passed;
        }
        ready
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
    passed: HashMap<ImageId, Passed>,
}

/// Reads what has to be known, decides every edge, and finds out what images lack at their homes. What ends on hosts that do
/// not answer is deferred.
///
/// # Errors
/// When an edge contradicts production, when no repository at all can be read, when something is to be signed and cannot be,
/// or when the run is told to stop.
pub async fn plan(
    run: &Run,
    reader: &Reader,
    ready: Ready,
    notary: &Notary,
) -> Result<(Plan, Option<Deferred>), Error> {
    run.phase(Phase::Plan, async {
        let Ready { edges, policies, strict, keep_going, writes, looks, round } = ready;
        let readers = Readers::new(reader, writes, &edges);
        let decided = match round {
            Round::First { late_after, cache } => {
                first_round(run, &readers, edges, notary, late_after, cache).await?
            }
            Round::Second(late) => second_round(run, &readers, edges, *late).await?,
        };
        if run.is_stopping() {
            return Err(Error::Interrupted);
        }
        let Decided { edges, verdicts, inventory, images, cache, round, passed } = decided;
        let owed = Owed::default();
        let plan =
            Plan { edges, verdicts, inventory, images, round, owed, policies, passed, keep_going, cache };
        plan.warn(run);
        let plan = plan.check(strict)?;
        let deferred = plan.defer(strict, writes, looks);
        let plan = plan.with_owed(run, reader, notary, writes || looks).await?;
        if run.is_stopping() { Err(Error::Interrupted) } else { Ok((plan, deferred)) }
    })
    .await
}

/// Reads all registries but those that are late, and decides all edges.
async fn first_round(
    run: &Run,
    readers: &Readers,
    mut edges: Arc<Edges>,
    notary: &Notary,
    late_after: Option<Duration>,
    cache: Option<Cache>,
) -> Result<Decided, Error> {
    let mut memory = Memory::recall(run, cache, &edges);
    let mut inventory = Inventory::observing(observed(&edges, notary));
    let verdicts = loop {
        memory.settled().for_each(|repository| inventory.settle(repository));
        list(run, readers, &edges, &memory, &mut inventory, late_after).await;
        let verdicts = ask(run, readers, &edges, &mut inventory).await?;
        // What is remembered of a host is forgotten as soon as one bit of it is wrong, so this ends.
        let wrong = memory.contradicted(run, &edges, &verdicts);
        if wrong.is_empty() {
            break verdicts;
        }
        wrong.into_iter().for_each(|repository| inventory.forget(repository));
    };
    // No other process can use it as long as this one has it open.
    let cache = memory.keep(run, &edges, &verdicts).filter(|_| notary.signing.is_some());
    serve(&mut edges, &inventory);
    let images = read_images(run, readers.of_staging(), &edges, edges.all().iter().zip(&verdicts)).await;
    let cache = cache.map(Arc::new);
    Ok(Decided { edges, verdicts, inventory, images, cache, round: None, passed: HashMap::new() })
}

/// Reads the registries that the first round did not wait for, and decides their edges.
async fn second_round(
    run: &Run,
    readers: &Readers,
    mut edges: Arc<Edges>,
    late: Late,
) -> Result<Decided, Error> {
    let Late { repositories, mut inventory, mut images, cache, passed } = late;
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
    Ok(Decided { edges, verdicts, inventory, images, cache, round: Some(repositories), passed })
}

/// Has each edge served by a staging repository that has its image.
fn serve(edges: &mut Arc<Edges>, inventory: &Inventory) {
    if edges.are_shared() {
        Arc::make_mut(edges).serve_from(|edges, edge| serving(edges, edge, inventory));
    }
}

/// The repositories in which it matters what is attached to images: staging, and the homes of what is signed.
fn observed(edges: &Edges, notary: &Notary) -> BTreeSet<Id<Repository>> {
    let sources = edges.all().iter().flat_map(|edge| edges.sources(edge));
    let mut observed: BTreeSet<Id<Repository>> = sources.collect();
    if notary.signing.is_some() {
        observed.extend(subjects(edges, &notary.production).iter().map(|subject| subject.home));
    }
    observed
}

impl Plan {
    /// The second round, where some hosts are late.
    fn defer(&self, strict: bool, writes: bool, looks: bool) -> Option<Deferred> {
        let repositories = self.inventory.late().clone();
        if repositories.is_empty() {
            return None;
        }
        let late = self.decisions().filter(|(_, verdict)| **verdict == Verdict::Late);
        let late: HashSet<ImageId> = late.map(|(edge, _)| (edge.source, edge.digest)).collect();
        let (inventory, images, cache) = (self.inventory.clone(), self.images.clone(), self.cache.clone());
        let round = Late { repositories, inventory, images, cache, passed: HashMap::new() };
        let ready = Ready {
            edges: Arc::clone(&self.edges),
            policies: self.policies.clone(),
            strict,
            keep_going: self.keep_going,
            writes,
            looks,
            round: Round::Second(Box::new(round)),
        };
        Some(Deferred { ready, images: late.len() })
    }

    /// The same, with what images lack at their homes: found by looking at what is attached to them, or by listings alone.
    ///
    /// # Errors
    /// When something is to be signed and cannot be: a run that cannot sign should not begin, and a dry run tells that.
    async fn with_owed(
        mut self,
        run: &Run,
        reader: &Reader,
        notary: &Notary,
        looks: bool,
    ) -> Result<Self, Error> {
        let Some(signing) = &notary.signing else { return Ok(self) };
        if self.decisions().next().is_none() {
            return Ok(self);
        }
        if !looks {
            self.owed = Looking { run, reader, plan: &self, notary, signing }.by_listings();
            if self.owed.images.is_empty() && self.owed.not_looked_at == 0 {
                return Ok(self);
            }
        }
        match signing.ready().await {
            Ok(signers) if looks => {
                let looking = Looking { run, reader, plan: &self, notary, signing };
                self.owed = looking.at_images(&signers).await;
                Ok(self)
            }
            Ok(_) => Ok(self),
            Err(error) => Err(Error::NobodySigns(Box::new(error), Box::new(self))),
        }
    }

    /// The plan of both rounds.
    pub(in crate::phase) fn with_second_round(self, second: Self) -> Self {
        let Some(late) = &second.round else { return self };
        let mut verdicts = self.verdicts;
        for ((edge, verdict), new) in second.edges.all().iter().zip(&mut verdicts).zip(second.verdicts) {
            if late.contains(&edge.destination) {
                *verdict = new;
            }
        }
        let mut owed = self.owed;
        owed.images.extend(second.owed.images);
        owed.not_looked_at += second.owed.not_looked_at;
        Self { verdicts, owed, round: None, ..second }
    }
}
