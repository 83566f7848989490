//! Reads what a plan depends on: listings, lookups, and the images to copy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use manifest::Id;
use manifest::{Edge, Edges, ImageId};
use oci::{Graph, Listed, Reader, Repository, Selector};

use super::cached::CachedInventory;
use super::progress::Progress;
use crate::decide::{Verdict, decide};
use crate::error::Error;
use crate::event::{Event, Run};
use crate::inventory::{Inventory, ListingBuilder, Lookup};
use crate::phase::hosts::by_host;

/// The maximum number of rounds of lookups. Edges need three.
const ROUNDS: usize = 8;

/// Read access to staging and to production.
pub(super) struct Readers {
    sources: BTreeSet<Id<Repository>>,
    source: Reader,
    destination: Reader,
}

impl Readers {
    /// Creates the readers of a run. With `writes`, destinations are read with tokens that also allow pushing.
    pub(super) fn new(reader: &Reader, writes: bool, edges: &Edges) -> Self {
        let sources = edges.all().iter().flat_map(|edge| edges.sources(edge)).collect();
        let destination = if writes { reader.clone().pushing() } else { reader.clone() };
        Self { sources, source: reader.clone(), destination }
    }

    /// Returns the reader for staging.
    pub(super) fn of_staging(&self) -> &Reader {
        &self.source
    }

    fn of(&self, repository: Id<Repository>) -> &Reader {
        if self.sources.contains(&repository) { &self.source } else { &self.destination }
    }
}

/// Lists every repository that is not settled, and every staging repository that it copies from. Skips repositories that are
/// already listed. A repository that is only rechecked needs nothing from staging.
///
/// With `late_after`, a host that has served nothing for that long is deferred once all others are listed.
pub(super) async fn list(
    run: &Run,
    readers: &Readers,
    edges: &Edges,
    cached: &CachedInventory,
    inventory: &mut Inventory,
    late_after: Option<Duration>,
) {
    let mut repositories: BTreeSet<Id<Repository>> = BTreeSet::new();
    for edge in edges.all().iter().filter(|edge| !inventory.is_settled(edge.destination)) {
        repositories.insert(edge.destination);
        if !cached.rechecks(edge.destination) {
            repositories.extend(edges.sources(edge));
        }
    }
    repositories.retain(|repository| !inventory.is_listed(*repository));
    let host = |id: Id<Repository>| &edges.repository(id).host;
    let progress = Progress::new(repositories.iter().map(|id| (host(*id), !readers.sources.contains(id))));
    let listing = list_all(run, readers, edges, &repositories, inventory, &progress);
    let late = tokio::select! {
        () = listing => Vec::new(),
        late = progress.late_hosts(late_after.unwrap_or(Duration::MAX), |host| readers.destination.last_served(host)), if late_after.is_some() => late,
    };
    for late in &late {
        run.emit(&Event::Warned(format!(
            "{late} has served no request for {} s: kpromo promotes to the other hosts first and then tries \
             it again",
            late_after.unwrap_or_default().as_secs_f64()
        )));
        let there = repositories.iter().filter(|id| host(**id) == late);
        there.for_each(|id| inventory.put_off(*id));
    }
    for edges_there in edges.by_destination() {
        let is_done = |edge: &Edge| decide(edge, edges, inventory) == Ok(Verdict::Done);
        if !inventory.is_settled(edges_there[0].destination) && edges_there.iter().all(is_done) {
            inventory.forget_parts(edges_there[0].destination);
        }
    }
}

/// Lists repositories, on all hosts concurrently.
pub(super) async fn list_all(
    run: &Run,
    readers: &Readers,
    edges: &Edges,
    repositories: &BTreeSet<Id<Repository>>,
    inventory: &mut Inventory,
    progress: &Progress<'_>,
) {
    run.emit(&Event::Work { units: "repositories", more: repositories.len() });
    let shared = Mutex::new(inventory);
    by_host(
        run,
        edges,
        repositories.iter().copied(),
        |id| id,
        async |id| {
            let draft = ListingBuilder::new(edges, id);
            let observes = shared.lock().unwrap_or_else(PoisonError::into_inner).observes(id);
            let mut draft = if observes { draft.with_attached() } else { draft };
            let repository = edges.repository(id);
            let heard = progress.listener(&repository.host);
            let mut take = |listed: Listed| {
                heard();
                draft.take(listed);
            };
            let listed = readers.of(id).list(repository, &mut take).await;
            // An error with a status is also an answer.
            if listed.as_ref().map_or_else(|error| error.status().is_some(), |_| true) {
                heard();
            }
            let mut inventory = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match listed {
                Ok(found) => inventory.listed(draft, &found),
                Err(error) => inventory.not_listed(id, error),
            }
            progress.ended(&repository.host);
            run.emit(&Event::Worked);
        },
    )
    .await;
}

/// Decides all edges. Performs the lookups that they depend on until none is left.
pub(super) async fn ask(
    run: &Run,
    readers: &Readers,
    edges: &Edges,
    inventory: &mut Inventory,
) -> Result<Vec<Verdict>, Error> {
    for _ in 0..ROUNDS {
        let mut verdicts = Vec::with_capacity(edges.all().len());
        let mut questions = BTreeSet::new();
        for edge in edges.all() {
            match decide(edge, edges, inventory) {
                Ok(verdict) => verdicts.push(verdict),
                Err(lookup) => drop(questions.insert(lookup)),
            }
        }
        if questions.is_empty() {
            return Ok(verdicts);
        }
        if run.is_stopping() {
            return Err(Error::Interrupted);
        }
        run.emit(&Event::Work { units: "manifests", more: questions.len() });
        let answers = by_host(run, edges, questions, Lookup::repository, async |lookup| {
            let repository = edges.repository(lookup.repository());
            let selector = match lookup {
                Lookup::Tag(_, tag) => Selector::Tag(edges.tag_name(tag)),
                Lookup::Digest(_, digest) => Selector::Digest(*edges.digest_name(digest)),
            };
            let answer = readers.of(lookup.repository()).head(repository, selector).await;
            run.emit(&Event::Worked);
            (lookup, answer)
        })
        .await;
        for (lookup, answer) in answers {
            match (lookup, answer) {
                (Lookup::Tag(repository, tag), Ok(found)) => {
                    inventory.tag_answered(repository, tag, found, edges);
                }
                (Lookup::Digest(repository, digest), Ok(found)) => {
                    inventory.digest_answered(repository, digest, found);
                }
                (lookup, Err(error)) => inventory.not_answered(lookup, error),
            }
        }
    }
    // Every answer resolves its lookup, so the loop ends early unless the run was stopped.
    Err(Error::Interrupted)
}

/// Reads all manifests of the images to copy, and the top manifest of the images that are only tagged. Errors in staging are
/// found this way before anything is written.
pub(super) async fn read_images<'a>(
    run: &Run,
    reader: &Reader,
    edges: &Edges,
    decisions: impl Iterator<Item = (&'a Edge, &'a Verdict)>,
) -> HashMap<ImageId, Result<Graph, Arc<oci::Error>>> {
    // The value is whether any edge needs the whole image.
    let mut wanted: BTreeMap<ImageId, bool> = BTreeMap::new();
    for (edge, verdict) in decisions {
        if matches!(verdict, Verdict::Copy | Verdict::Tag) {
            *wanted.entry((edge.source, edge.digest)).or_default() |= *verdict == Verdict::Copy;
        }
    }
    if wanted.is_empty() {
        return HashMap::new();
    }
    run.emit(&Event::Work { units: "images", more: wanted.len() });
    by_host(
        run,
        edges,
        wanted,
        |((repository, _), _)| repository,
        async |((repository, digest), whole)| {
            let image = edges.repository(repository).at(*edges.digest_name(digest));
            let graph = if whole {
                Graph::read(reader, &image).await
            } else {
                Graph::read_root(reader, &image).await
            };
            run.emit(&Event::Worked);
            ((repository, digest), graph.map_err(Arc::new))
        },
    )
    .await
    .into_iter()
    .collect()
}
