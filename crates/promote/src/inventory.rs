//! What registries are known to hold, as far as edges ask for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use oci::{Digest, Head, Listing, MediaType, Repository, Tag};

use crate::decide::Question;
use crate::edge::{Edge, Edges};
use crate::intern::Id;

/// What is known of all repositories that edges name.
#[derive(Debug, Default)]
pub struct Inventory {
    repositories: HashMap<Id<Repository>, Holdings>,
    /// Repositories that could not be listed.
    unlisted: HashMap<Id<Repository>, Arc<oci::Error>>,
    /// Questions that were not answered.
    unanswered: HashMap<Question, Arc<oci::Error>>,
}

/// What is known of one repository.
#[derive(Debug, Default)]
struct Holdings {
    /// Whether everything it holds is known, so that what is not known is not there.
    complete: bool,
    /// The tags it has; `None` where a tag is there and its digest is still to be asked.
    tags: HashMap<Id<Tag>, Option<Digest>>,
    /// The manifests it has, and those that it was found not to have.
    digests: HashMap<Id<Digest>, Option<MediaType>>,
    /// Manifests it has that no edge names: parts of images.
    others: HashSet<Digest>,
}

/// Whether something is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known<T> {
    /// It is there.
    Present(T),
    /// It is not there.
    Absent,
    /// Nobody has asked.
    Unknown,
}

impl Inventory {
    /// Takes in the listing of a repository, or that there is none. `edges` names what is worth remembering.
    pub fn listed(&mut self, repository: Id<Repository>, listing: Option<&Listing>, edges: &Edges) {
        let mut holdings = Holdings { complete: true, ..Holdings::default() };
        if let Some(listing) = listing {
            holdings.complete = listing.manifests.is_some();
            holdings.tags =
                listing.tags.iter().filter_map(|tag| Some((edges.find_tag(tag)?, None))).collect();
            for (digest, manifest) in listing.manifests.iter().flatten() {
                let tags = manifest.tags.iter().filter_map(|tag| edges.find_tag(tag));
                holdings.tags.extend(tags.map(|tag| (tag, Some(*digest))));
                match edges.find_digest(digest) {
                    Some(known) => drop(holdings.digests.insert(known, Some(manifest.media_type.clone()))),
                    None => drop(holdings.others.insert(*digest)),
                }
            }
        }
        self.repositories.insert(repository, holdings);
    }

    /// Takes in that a repository cannot be listed.
    pub fn not_listed(&mut self, repository: Id<Repository>, error: oci::Error) {
        self.unlisted.insert(repository, Arc::new(error));
    }

    /// Takes in that a question is not answered.
    pub fn not_answered(&mut self, question: Question, error: oci::Error) {
        self.unanswered.insert(question, Arc::new(error));
    }

    /// Why a question has no answer, where it was asked, or where its repository cannot even be listed.
    pub fn failure(&self, question: &Question) -> Option<&Arc<oci::Error>> {
        self.unanswered.get(question).or_else(|| self.unlisted.get(&question.repository()))
    }

    /// Forgets the parts of images of a repository in which nothing is to be done.
    pub fn forget_parts(&mut self, repository: Id<Repository>) {
        if let Some(holdings) = self.repositories.get_mut(&repository) {
            holdings.others = HashSet::new();
        }
    }

    /// Takes in which manifest a tag names.
    pub fn tag_answered(
        &mut self,
        repository: Id<Repository>,
        tag: Id<Tag>,
        head: Option<Head>,
        edges: &Edges,
    ) {
        let holdings = self.repositories.entry(repository).or_default();
        match head {
            Some(head) => {
                holdings.tags.insert(tag, Some(head.digest));
                if let Some(digest) = edges.find_digest(&head.digest) {
                    holdings.digests.insert(digest, Some(head.media_type));
                }
            }
            // It was listed a moment ago; now it is gone.
            None => drop(holdings.tags.remove(&tag)),
        }
    }

    /// Takes in whether a manifest is there.
    pub fn digest_answered(&mut self, repository: Id<Repository>, digest: Id<Digest>, head: Option<Head>) {
        let holdings = self.repositories.entry(repository).or_default();
        holdings.digests.insert(digest, head.map(|head| head.media_type));
    }

    /// The digest that the tag of an edge names at its destination.
    pub(crate) fn tag(&self, repository: Id<Repository>, tag: Id<Tag>) -> Known<Digest> {
        match self.repositories.get(&repository).map(|holdings| holdings.tags.get(&tag)) {
            Some(Some(Some(digest))) => Known::Present(*digest),
            Some(None) => Known::Absent,
            Some(Some(None)) | None => Known::Unknown,
        }
    }

    /// Whether a repository has a manifest, and of which kind.
    pub(crate) fn digest(&self, repository: Id<Repository>, digest: Id<Digest>) -> Known<&MediaType> {
        let Some(holdings) = self.repositories.get(&repository) else { return Known::Unknown };
        match holdings.digests.get(&digest) {
            Some(Some(media_type)) => Known::Present(media_type),
            Some(None) => Known::Absent,
            None if holdings.complete => Known::Absent,
            None => Known::Unknown,
        }
    }

    /// Whether the destination of an edge is known to have a manifest, be it named by an edge or not.
    pub(crate) fn has(&self, edge: &Edge, digest: &Digest, edges: &Edges) -> bool {
        let Some(holdings) = self.repositories.get(&edge.destination) else { return false };
        let named = edges.find_digest(digest).and_then(|id| holdings.digests.get(&id));
        named.is_some_and(Option::is_some) || holdings.others.contains(digest)
    }
}
