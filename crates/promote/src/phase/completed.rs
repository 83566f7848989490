//! Images that are signed and recorded, remembered between runs. Checking this costs several requests per image, and production
//! has tens of thousands of images.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use manifest::Edges;
use manifest::Id;
use oci::{Digest, Host, Repository};

use crate::cache::{Cache, CacheError, Recheck};
use crate::event::{Event, Run};
use crate::subject::Subject;

/// The images that are known to be complete. Without a cache, none are.
#[derive(Clone, Debug)]
pub(super) struct CompletedCache {
    /// Identifies the signers, the signature format and the other attestations. If one of them changes, no image counts as
    /// complete.
    cache_key: String,
    known: BTreeMap<Id<Repository>, BTreeSet<Digest>>,
    /// Known images that are checked again.
    rechecked: HashSet<Subject>,
}

impl CompletedCache {
    /// Looks up which of the images are complete. If the cache cannot be read, warns and continues without it.
    pub(super) fn recall(
        run: &Run,
        cache: Option<&Cache>,
        cache_key: String,
        edges: &Edges,
        subjects: &[Subject],
    ) -> Self {
        let mut this = Self { cache_key, known: BTreeMap::new(), rechecked: HashSet::new() };
        if let Some(cache) = cache
            && let Err(error) = this.look_up(cache, edges, subjects)
        {
            run.emit(&Event::Warned(error.to_string()));
            this.known.clear();
        }
        this
    }

    fn look_up(&mut self, cache: &Cache, edges: &Edges, subjects: &[Subject]) -> Result<(), CacheError> {
        for subject in subjects {
            if !self.known.contains_key(&subject.canonical) {
                let finished = cache.finished(edges.repository(subject.canonical), &self.cache_key)?;
                self.known.insert(subject.canonical, finished);
            }
            let again = match cache.recheck() {
                Recheck::All => true,
                Recheck::Sample(part) => rand::random::<f64>() < part,
            };
            if again && self.knows(edges, subject) {
                self.rechecked.insert(*subject);
            }
        }
        Ok(())
    }

    fn knows(&self, edges: &Edges, subject: &Subject) -> bool {
        let finished = self.known.get(&subject.canonical);
        finished.is_some_and(|digests| digests.contains(edges.digest_name(subject.digest)))
    }

    /// Returns whether an image need not be checked.
    pub(super) fn spares(&self, edges: &Edges, subject: &Subject) -> bool {
        self.knows(edges, subject) && !self.rechecked.contains(subject)
    }

    /// Stores the images that this run has seen to be complete. If a remembered image turned out to be incomplete, drops
    /// everything remembered for its host except what this run has seen.
    pub(super) fn keep(mut self, run: &Run, cache: &Cache, edges: &Edges, seen: &[(Subject, Status)]) {
        let host = |subject: &Subject| &edges.repository(subject.canonical).host;
        let is_wrong = |(subject, completion): &&(Subject, Status)| {
            *completion == Status::Completed && self.rechecked.contains(subject)
        };
        let wrong: BTreeSet<&Host> = seen.iter().filter(is_wrong).map(|(subject, _)| host(subject)).collect();
        for host in &wrong {
            run.emit(&Event::Warned(format!(
                "the inventory cache lists an image on {host} as signed and recorded, but it is not: \
                 the entries about signatures on this host are discarded"
            )));
        }
        self.known.retain(|canonical, _| !wrong.contains(&edges.repository(*canonical).host));
        let mut changed = BTreeSet::new();
        for (subject, completion) in seen {
            let digest = *edges.digest_name(subject.digest);
            if *completion != Status::Incomplete
                && self.known.entry(subject.canonical).or_default().insert(digest)
            {
                changed.insert(subject.canonical);
            }
        }
        let learnt = changed
            .iter()
            .filter_map(|canonical| Some((edges.repository(*canonical), self.known.get(canonical)?.clone())));
        let forgotten: Vec<Host> = wrong.into_iter().cloned().collect();
        if let Err(error) = cache.learn_finished(&forgotten, &self.cache_key, learnt) {
            run.emit(&Event::Warned(error.to_string()));
        }
    }
}

/// The status of an image in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// The image lacked nothing.
    WasComplete,
    /// The image lacked something and is complete now.
    Completed,
    /// The image still lacks something.
    Incomplete,
}
