//! The inventory cache during planning: which lookups it saves, and what is added to it.

use std::collections::{BTreeMap, BTreeSet};

use manifest::Id;
use manifest::{Edge, Edges};
use oci::{Host, Repository};

use crate::cache::{Cache, CacheError, Facts, Recheck};
use crate::decide::Verdict;
use crate::event::{Event, Run};

/// The part of the inventory cache that a plan uses. Without a cache, it is empty and stores nothing.
#[derive(Default)]
pub(super) struct CachedInventory {
    cache: Option<Cache>,
    /// Repositories that were seen to hold everything that edges request, and are not listed.
    up_to_date: BTreeSet<Id<Repository>>,
    /// Repositories that were seen to hold everything that edges request, and are listed again as a check.
    rechecked: BTreeSet<Id<Repository>>,
    /// Hosts whose cached facts are wrong.
    forgotten: Vec<Host>,
}

impl CachedInventory {
    /// Looks up which repositories need not be listed. If the cache cannot be read, warns and continues without it.
    pub(super) fn recall(run: &Run, cache: Option<Cache>, edges: &Edges) -> Self {
        let Some(cache) = cache else { return Self::default() };
        let mut this = Self::default();
        match this.look_up(&cache, edges) {
            Ok(()) => {
                tracing::info!(
                    up_to_date = this.up_to_date.len(),
                    rechecked = this.rechecked.len(),
                    "repositories of production that the inventory cache knows"
                );
                Self { cache: Some(cache), ..this }
            }
            Err(error) => {
                run.emit(&Event::Warned(error.to_string()));
                Self::default()
            }
        }
    }

    fn look_up(&mut self, cache: &Cache, edges: &Edges) -> Result<(), CacheError> {
        let remembered = cache.remembered()?;
        for requested in edges.by_destination() {
            let destination = requested[0].destination;
            let facts = remembered.of(edges.repository(destination))?;
            if requested.iter().all(|edge| facts.show(edges.tag(edge), edges.digest(edge))) {
                let again = match cache.recheck() {
                    Recheck::All => true,
                    Recheck::Sample(part) => rand::random::<f64>() < part,
                };
                let known = if again { &mut self.rechecked } else { &mut self.up_to_date };
                known.insert(destination);
            }
        }
        Ok(())
    }

    /// Returns the repositories that need not be listed.
    pub(super) fn up_to_date(&self) -> impl Iterator<Item = Id<Repository>> {
        self.up_to_date.iter().copied()
    }

    /// Returns whether a repository is listed only to check the cached facts about it.
    pub(super) fn rechecks(&self, repository: Id<Repository>) -> bool {
        self.rechecked.contains(&repository)
    }

    /// Compares the rechecked repositories with the cached facts. If they differ, drops everything cached about the host.
    /// Returns the repositories that now have to be listed.
    pub(super) fn contradicted(
        &mut self,
        run: &Run,
        edges: &Edges,
        verdicts: &[Verdict],
    ) -> Vec<Id<Repository>> {
        let host = |repository: Id<Repository>| &edges.repository(repository).host;
        let mut wrong: BTreeMap<&Host, &Edge> = BTreeMap::new();
        for (edge, verdict) in edges.all().iter().zip(verdicts) {
            // A registry that does not answer does not contradict the cache.
            let agrees = matches!(
                verdict,
                Verdict::Done | Verdict::DoneWithoutSource | Verdict::Unreadable(_) | Verdict::Late
            );
            if !agrees && self.rechecked.contains(&edge.destination) {
                wrong.entry(host(edge.destination)).or_insert(edge);
            }
        }
        for (host, edge) in &wrong {
            run.emit(&Event::Warned(format!(
                "the inventory cache lists {} as {}, but the registry no longer has it: the entries \
                 about {host} are discarded, and the host is read",
                edges.reference(edge),
                edges.digest(edge),
            )));
            self.forgotten.push(Host::clone(host));
        }
        self.rechecked.retain(|repository| !wrong.contains_key(host(*repository)));
        let (ask, up_to_date): (BTreeSet<_>, BTreeSet<_>) =
            self.up_to_date.iter().partition(|repository| wrong.contains_key(host(**repository)));
        self.up_to_date = up_to_date;
        ask.into_iter().collect()
    }

    /// Stores what this run has seen in production, and returns the cache.
    pub(super) fn keep(self, run: &Run, edges: &Edges, verdicts: &[Verdict]) -> Option<Cache> {
        let Self { cache: Some(cache), up_to_date, forgotten, .. } = self else { return None };
        let kept = cache.remembered().and_then(|remembered| {
            let mut rest = verdicts;
            let learnt = edges.by_destination().filter_map(|requested| {
                let (these, others) = rest.split_at(requested.len());
                rest = others;
                let repository = edges.repository(requested[0].destination);
                if up_to_date.contains(&requested[0].destination) {
                    return None;
                }
                let before = match forgotten.contains(&repository.host) {
                    true => Ok(Facts::default()),
                    false => remembered.of(repository),
                };
                before.map(|before| Some((repository, news(&before, edges, requested, these)?))).transpose()
            });
            cache.learn(&forgotten, learnt)
        });
        if let Err(error) = kept {
            run.emit(&Event::Warned(error.to_string()));
        }
        Some(cache)
    }
}

/// Returns the current facts about a repository, or `None` if they have not changed.
fn news(before: &Facts, edges: &Edges, requested: &[Edge], verdicts: &[Verdict]) -> Option<Facts> {
    let mut facts = before.clone();
    for (edge, verdict) in requested.iter().zip(verdicts) {
        match verdict {
            Verdict::Done | Verdict::DoneWithoutSource => facts.learn(edges.tag(edge), *edges.digest(edge)),
            // The repository was not read, so its cached facts stay.
            Verdict::Unreadable(_) | Verdict::Late => {}
            // The manifest is absent, whatever the cache says.
            _ => facts.forget(edges.tag(edge), edges.digest(edge)),
        }
    }
    (facts != *before).then_some(facts)
}
