//! Images that are signed and recorded, remembered from run to run: that they are costs several requests each to find out,
//! and production has tens of thousands of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use manifest::Edges;
use manifest::Id;
use oci::{Digest, Host, Repository};

use crate::cache::{Cache, CacheError, Recheck};
use crate::event::Event;
use crate::run::Run;
use crate::subject::Subject;

/// What is remembered of images that are finished. Without a cache it remembers nothing.
#[derive(Clone, Debug)]
pub(super) struct CompletedCache {
    /// Who signs, in which form, and what else is attested: where that changes, nothing is finished any more.
    cache_key: String,
    known: BTreeMap<Id<Repository>, BTreeSet<Digest>>,
    /// Images that are looked at again, though they are known.
    rechecked: HashSet<Subject>,
}

impl CompletedCache {
    /// Looks up which of some images are finished. A cache that cannot be read is done without.
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
            run.tell(&Event::Warned(error.to_string()));
            this.known.clear();
        }
        this
    }

    fn look_up(&mut self, cache: &Cache, edges: &Edges, subjects: &[Subject]) -> Result<(), CacheError> {
        for subject in subjects {
            if !self.known.contains_key(&subject.home) {
                let finished = cache.finished(edges.repository(subject.home), &self.cache_key)?;
                self.known.insert(subject.home, finished);
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
        let finished = self.known.get(&subject.home);
        finished.is_some_and(|digests| digests.contains(edges.digest_name(subject.digest)))
    }

    /// Whether an image need not be looked at.
    pub(super) fn spares(&self, edges: &Edges, subject: &Subject) -> bool {
        self.knows(edges, subject) && !self.rechecked.contains(subject)
    }

    /// Remembers the images that this run has seen to be finished. Where one was not that was remembered to be, nothing is
    /// remembered of its host any more but what was seen now.
    pub(super) fn keep(mut self, run: &Run, cache: &Cache, edges: &Edges, seen: &[(Subject, Status)]) {
        let host = |subject: &Subject| &edges.repository(subject.home).host;
        let is_wrong = |(subject, completion): &&(Subject, Status)| {
            *completion == Status::Completed && self.rechecked.contains(subject)
        };
        let wrong: BTreeSet<&Host> = seen.iter().filter(is_wrong).map(|(subject, _)| host(subject)).collect();
        for host in &wrong {
            run.tell(&Event::Warned(format!(
                "the inventory cache remembers an image on {host} as signed and recorded, and it was not: all that is \
                 remembered of signatures there is thrown away"
            )));
        }
        self.known.retain(|home, _| !wrong.contains(&edges.repository(*home).host));
        let mut changed = BTreeSet::new();
        for (subject, completion) in seen {
            let digest = *edges.digest_name(subject.digest);
            if *completion != Status::Incomplete && self.known.entry(subject.home).or_default().insert(digest)
            {
                changed.insert(subject.home);
            }
        }
        let learnt =
            changed.iter().filter_map(|home| Some((edges.repository(*home), self.known.get(home)?.clone())));
        let forgotten: Vec<Host> = wrong.into_iter().cloned().collect();
        if let Err(error) = cache.learn_finished(&forgotten, &self.cache_key, learnt) {
            run.tell(&Event::Warned(error.to_string()));
        }
    }
}

/// What a run has made of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// It had everything.
    WasComplete,
    /// It has everything now.
    Completed,
    /// It lacks something still.
    Incomplete,
}
