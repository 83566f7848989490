//! The repositories that have an image according to this run, for promotion records.

use std::collections::{BTreeSet, HashMap, HashSet};

use manifest::Id;
use oci::{Digest, Repository};
use trust::Production;

use crate::phase::promote::Promoted;
use crate::subject::Subject;

/// The repositories that have each image: this run has copied it there or found it there.
pub(super) struct Destinations<'a> {
    promoted: &'a Promoted,
    production: &'a Production,
    by_digest: HashMap<Id<Digest>, BTreeSet<Id<Repository>>>,
}

impl<'a> Destinations<'a> {
    /// Finds the repositories of images.
    pub(super) fn new(
        promoted: &'a Promoted,
        production: &'a Production,
        images: impl Iterator<Item = Subject>,
    ) -> Self {
        let wanted: HashSet<Id<Digest>> = images.map(|subject| subject.digest).collect();
        let mut by_digest: HashMap<_, BTreeSet<_>> = HashMap::new();
        for (edge, verdict) in promoted.plan.all_decisions() {
            if wanted.contains(&edge.digest) && promoted.is_there(edge, verdict) {
                by_digest.entry(edge.digest).or_default().insert(edge.destination);
            }
        }
        Self { promoted, production, by_digest }
    }

    /// Returns the repositories that have an image and share its production reference, ordered by name.
    pub(super) fn of(&self, subject: &Subject, reference: &str) -> Vec<String> {
        let edges = self.promoted.plan.edges();
        let repositories = self.by_digest.get(&subject.digest).into_iter().flatten();
        let repositories = repositories.map(|id| edges.repository(*id));
        let shared = repositories.filter(|repository| self.production.reference(repository) == reference);
        let mut names: Vec<String> = shared.map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}
