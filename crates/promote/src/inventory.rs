//! What registries are known to hold, as far as edges ask for it.
//!
//! Kubernetes' production has 29,000 repositories, and a run that adds little finds nothing to do in most of them. So a
//! listing becomes a [`ListingBuilder`] as it arrives, which keeps what edges ask for in a few bytes each, and next to nothing of a
//! repository in which all is done.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use manifest::{Edge, Edges};
use manifest::{Id, Interner};
use oci::{AttachedTag, AttachmentKind, Digest, Found, Head, Listed, MediaType, Repository, Tag};

/// What has to be known before an edge can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lookup {
    /// Which digest does this tag name?
    Tag(Id<Repository>, Id<Tag>),
    /// Does the repository have this manifest?
    Digest(Id<Repository>, Id<Digest>),
}

impl Lookup {
    /// The repository that is asked.
    pub fn repository(self) -> Id<Repository> {
        match self {
            Self::Tag(repository, _) | Self::Digest(repository, _) => repository,
        }
    }
}

/// What is known of all repositories that edges name.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    repositories: HashMap<Id<Repository>, Holdings>,
    media_types: Interner<MediaType>,
    /// Digests that tags name and no edge wishes: conflicts, mostly.
    foreign: HashMap<(Id<Repository>, Id<Tag>), Digest>,
    /// Repositories of which it matters what is attached to images.
    observed: BTreeSet<Id<Repository>>,
    /// Repositories that are listed when the others are done with.
    late: BTreeSet<Id<Repository>>,
    /// Repositories that could not be listed.
    unlisted: HashMap<Id<Repository>, Arc<oci::Error>>,
    /// Questions that were not answered.
    unanswered: HashMap<Lookup, Arc<oci::Error>>,
}

/// What is known of one repository.
#[derive(Clone, Debug, Default)]
struct Holdings {
    /// Whether everything that edges wish to be there is there, so that nothing else has to be known.
    up_to_date: bool,
    /// Whether its registry lists manifests too, so that what it does not list is not there.
    complete: bool,
    /// Whether its registry denies it. It has no tags then, and may hold untagged manifests all the same.
    denied: bool,
    /// The tags it has that edges wish, in order.
    tags: Vec<(Id<Tag>, Named)>,
    /// The manifests it has, and those that it was found not to have, in order.
    digests: Vec<(Id<Digest>, Option<Id<MediaType>>)>,
    /// Manifests it has that no edge names: parts of images, by [`fingerprint`], in order.
    parts: Vec<u64>,
    /// Whether these are all, where the repository is complete.
    knows_parts: bool,
    /// The tags it has that hold what is attached to images, by [`fingerprint_of_tag`], in order; none: nobody knows.
    attached: Option<Vec<u64>>,
}

/// What a tag names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// It is there; its digest is still to be asked.
    Unknown,
    /// A digest that edges name.
    Wished(Id<Digest>),
    /// Another, which stands apart.
    Foreign,
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

/// The listing of one repository, while it arrives. It can be dropped at any time: nothing of it is believed before
/// [`Inventory::listed`].
#[derive(Debug)]
pub struct ListingBuilder<'a> {
    edges: &'a Edges,
    /// The edges that end in the repository.
    requested: &'a [Edge],
    repository: Id<Repository>,
    lists_manifests: bool,
    /// Each wished tag that it has, however often it is listed.
    tags: HashMap<Id<Tag>, ListedTag>,
    /// Each wished digest that it has.
    digests: HashMap<Id<Digest>, MediaType>,
    parts: Vec<u64>,
    /// Tags that hold what is attached to images, where somebody wants to know them.
    attached: Option<Vec<u64>>,
}

/// What a listing says of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListedTag {
    /// That it is there.
    There,
    /// That it names a manifest.
    Names(Digest),
    /// That it names several, so that it has to be asked for.
    Ambiguous,
}

/// The first bytes of a digest, which is as good as random: enough to tell the parts of one repository's images apart. Where
/// two were alike, a registry would refuse an index for want of a part, and nothing would be tagged.
fn fingerprint(digest: &Digest) -> u64 {
    let first = digest.hash().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

/// The same of a tag that holds what is attached to an image: as cosign has it, or the fallback tag of its referrers. Of two
/// that were alike, one would be asked for in vain.
fn fingerprint_of_tag(digest: &Digest, kind: Option<AttachmentKind>) -> u64 {
    let salt = match kind {
        None => 0,
        Some(AttachmentKind::Signature) => 1,
        Some(AttachmentKind::Attestation) => 2,
        Some(AttachmentKind::Sbom) => 3,
    };
    fingerprint(digest).rotate_left(8).wrapping_add(salt)
}

/// The image to which something is attached by a tag.
fn attached(tag: &Tag) -> Option<u64> {
    if let Some(tag) = AttachedTag::parse(tag) {
        return Some(fingerprint_of_tag(&tag.digest(), Some(tag.kind())));
    }
    let digest: Digest = tag.as_str().replacen('-', ":", 1).parse().ok()?;
    Some(fingerprint_of_tag(&digest, None))
}

impl<'a> ListingBuilder<'a> {
    /// The same, and it takes note of the tags that hold what is attached to images.
    #[must_use]
    pub fn with_attached(self) -> Self {
        Self { attached: Some(Vec::new()), ..self }
    }

    /// A listing of which nothing has come.
    pub fn new(edges: &'a Edges, repository: Id<Repository>) -> Self {
        Self {
            edges,
            requested: edges.to(repository),
            repository,
            lists_manifests: false,
            tags: HashMap::new(),
            digests: HashMap::new(),
            parts: Vec::new(),
            attached: None,
        }
    }

    /// Takes in something that the listing says.
    pub fn take(&mut self, listed: Listed) {
        match listed {
            Listed::Tag(tag) => {
                if let Some(known) = &mut self.attached {
                    known.extend(attached(&tag));
                }
                if let Some(tag) = self.request(&tag) {
                    self.tags.entry(tag).or_insert(ListedTag::There);
                }
            }
            Listed::Manifests => self.lists_manifests = true,
            Listed::Manifest(manifest) => {
                for tag in manifest.tags.iter().filter_map(|tag| self.request(tag)).collect::<Vec<_>>() {
                    self.names(tag, manifest.digest);
                }
                match self.edges.find_digest(&manifest.digest) {
                    Some(digest) => drop(self.digests.insert(digest, manifest.media_type)),
                    None => self.parts.push(fingerprint(&manifest.digest)),
                }
            }
        }
    }

    fn names(&mut self, tag: Id<Tag>, digest: Digest) {
        let listed = self.tags.entry(tag).or_insert(ListedTag::There);
        *listed = match *listed {
            ListedTag::There => ListedTag::Names(digest),
            ListedTag::Names(before) if before == digest => ListedTag::Names(digest),
            ListedTag::Names(_) | ListedTag::Ambiguous => ListedTag::Ambiguous,
        };
    }

    /// The number of a tag that edges wish in this repository.
    fn request(&self, tag: &Tag) -> Option<Id<Tag>> {
        let tag = self.edges.find_tag(tag)?;
        self.requested.binary_search_by_key(&Some(tag), |edge| edge.tag).ok().map(|_| tag)
    }
}

impl Inventory {
    /// An inventory that knows nothing yet, and will know of these repositories also what is attached to images.
    pub(crate) fn observing(observed: BTreeSet<Id<Repository>>) -> Self {
        Self { observed, ..Self::default() }
    }

    /// Whether it matters what is attached to images in a repository.
    pub(crate) fn observes(&self, repository: Id<Repository>) -> bool {
        self.observed.contains(&repository)
    }

    /// Takes in the listing of a repository to its end, or the proof that it has no tags.
    pub fn listed(&mut self, draft: ListingBuilder<'_>, found: &Found<()>) {
        let ListingBuilder {
            edges,
            requested,
            repository,
            lists_manifests,
            tags,
            digests,
            mut parts,
            mut attached,
        } = draft;
        if let Some(attached) = &mut attached {
            attached.sort_unstable();
            attached.dedup();
            attached.shrink_to_fit();
        }
        let mut holdings = Holdings {
            complete: lists_manifests,
            denied: !found.is_present(),
            knows_parts: true,
            attached,
            ..Holdings::default()
        };
        let mut named: Vec<(Id<Tag>, Named)> = tags
            .into_iter()
            .map(|(tag, listed)| match listed {
                ListedTag::Names(digest) => (tag, self.named(repository, tag, digest, edges)),
                ListedTag::There | ListedTag::Ambiguous => (tag, Named::Unknown),
            })
            .collect();
        named.sort_unstable_by_key(|(tag, _)| *tag);
        holdings.tags = named;
        holdings.up_to_date = is_settled(&holdings.tags, requested);
        if holdings.up_to_date {
            // What is thrown away is not absent: the repository may be the source of others.
            holdings.complete = false;
            holdings.tags = Vec::new();
        } else {
            let mut digests: Vec<_> = digests
                .into_iter()
                .map(|(digest, media_type)| (digest, Some(self.media_types.intern(&media_type))))
                .collect();
            digests.sort_unstable();
            parts.sort_unstable();
            digests.shrink_to_fit();
            parts.shrink_to_fit();
            holdings.tags.shrink_to_fit();
            (holdings.digests, holdings.parts) = (digests, parts);
        }
        self.repositories.insert(repository, holdings);
    }

    /// Takes in that all that edges wish to be in a repository is there.
    pub fn settle(&mut self, repository: Id<Repository>) {
        self.repositories.insert(repository, Holdings { up_to_date: true, ..Holdings::default() });
    }

    /// Takes back that a repository is settled: it has to be listed.
    pub fn forget(&mut self, repository: Id<Repository>) {
        self.repositories.remove(&repository);
    }

    /// Puts a repository off until the others are done with, if it is not listed yet.
    pub(crate) fn put_off(&mut self, repository: Id<Repository>) {
        if !self.is_listed(repository) {
            self.late.insert(repository);
        }
    }

    /// Whether a repository was put off.
    pub(crate) fn is_late(&self, repository: Id<Repository>) -> bool {
        self.late.contains(&repository)
    }

    /// The repositories that were put off.
    pub(crate) fn late(&self) -> &BTreeSet<Id<Repository>> {
        &self.late
    }

    /// Has the repositories that were put off listed after all.
    pub(crate) fn resume_late(&mut self) {
        self.late.clear();
    }

    /// Whether a repository was listed, could not be, or was put off.
    pub(crate) fn is_listed(&self, repository: Id<Repository>) -> bool {
        self.repositories.contains_key(&repository)
            || self.unlisted.contains_key(&repository)
            || self.is_late(repository)
    }

    /// Takes in that a repository cannot be listed.
    pub fn not_listed(&mut self, repository: Id<Repository>, error: oci::Error) {
        self.unlisted.insert(repository, Arc::new(error));
    }

    /// Takes in that a question is not answered.
    pub fn not_answered(&mut self, lookup: Lookup, error: oci::Error) {
        self.unanswered.insert(lookup, Arc::new(error));
    }

    /// Why a question has no answer, where it was asked, or where its repository cannot even be listed.
    pub fn failure(&self, lookup: &Lookup) -> Option<&Arc<oci::Error>> {
        self.unanswered.get(lookup).or_else(|| self.unlisted.get(&lookup.repository()))
    }

    /// Forgets the parts of images of a repository in which nothing is to be done.
    pub fn forget_parts(&mut self, repository: Id<Repository>) {
        if let Some(holdings) = self.repositories.get_mut(&repository) {
            holdings.parts = Vec::new();
            holdings.knows_parts = false;
        }
    }

    /// Takes in which manifest a tag names.
    pub fn tag_answered(
        &mut self,
        repository: Id<Repository>,
        tag: Id<Tag>,
        found: Found<Head>,
        edges: &Edges,
    ) {
        let Found::Present(head) = found else {
            // It was listed a moment ago; now it is gone.
            let holdings = self.repositories.entry(repository).or_default();
            return holdings.tags.retain(|(known, _)| *known != tag);
        };
        let named = self.named(repository, tag, head.digest, edges);
        insert(&mut self.repositories.entry(repository).or_default().tags, tag, named);
        if let Named::Wished(digest) = named {
            self.digest_answered(repository, digest, Found::Present(head));
        }
    }

    /// Takes in whether a manifest is there.
    pub fn digest_answered(&mut self, repository: Id<Repository>, digest: Id<Digest>, found: Found<Head>) {
        let media_type = found.present().map(|head| self.media_types.intern(&head.media_type));
        insert(&mut self.repositories.entry(repository).or_default().digests, digest, media_type);
    }

    /// Whether all that edges wish to be in a repository is there.
    pub(crate) fn is_settled(&self, repository: Id<Repository>) -> bool {
        self.repositories.get(&repository).is_some_and(|holdings| holdings.up_to_date)
    }

    /// The digest that the tag of an edge names at its destination.
    pub(crate) fn tag<'a>(
        &'a self,
        repository: Id<Repository>,
        tag: Id<Tag>,
        edges: &'a Edges,
    ) -> Known<&'a Digest> {
        let Some(holdings) = self.repositories.get(&repository) else { return Known::Unknown };
        match find(&holdings.tags, tag) {
            Some(Named::Wished(digest)) => Known::Present(edges.digest_name(*digest)),
            Some(Named::Foreign) => {
                self.foreign.get(&(repository, tag)).map_or(Known::Unknown, Known::Present)
            }
            Some(Named::Unknown) => Known::Unknown,
            None => Known::Absent,
        }
    }

    /// Whether a repository has a manifest, and of which kind.
    pub(crate) fn digest(&self, repository: Id<Repository>, digest: Id<Digest>) -> Known<&MediaType> {
        let Some(holdings) = self.repositories.get(&repository) else { return Known::Unknown };
        match find(&holdings.digests, digest) {
            Some(Some(media_type)) => Known::Present(self.media_types.name(*media_type)),
            Some(None) => Known::Absent,
            None if holdings.complete => Known::Absent,
            None => Known::Unknown,
        }
    }

    /// Whether a registry denies a repository: then its tags are free, and what it holds without tags is not known.
    pub(crate) fn is_denied(&self, repository: Id<Repository>) -> bool {
        self.repositories.get(&repository).is_some_and(|holdings| holdings.denied)
    }

    /// Whether a repository was asked for a manifest by itself and does not have it. That a list does not show it is not enough to
    /// call it lost.
    pub(crate) fn was_denied(&self, repository: Id<Repository>, digest: Id<Digest>) -> bool {
        let holdings = self.repositories.get(&repository);
        holdings.and_then(|holdings| find(&holdings.digests, digest)).is_some_and(Option::is_none)
    }

    /// Whether the destination of an edge is known to have a manifest, be it named by an edge or not.
    pub(crate) fn has(&self, edge: &Edge, digest: &Digest, edges: &Edges) -> bool {
        let Some(holdings) = self.repositories.get(&edge.destination) else { return false };
        let named = edges.find_digest(digest).and_then(|id| find(&holdings.digests, id));
        named.is_some_and(Option::is_some) || holdings.parts.binary_search(&fingerprint(digest)).is_ok()
    }

    /// Whether a repository has a tag of cosign's for what is attached to an image or, without a kind, the fallback tag of its
    /// referrers.
    pub(crate) fn attached(
        &self,
        repository: Id<Repository>,
        digest: &Digest,
        kind: Option<AttachmentKind>,
    ) -> Known<()> {
        match self.repositories.get(&repository).and_then(|holdings| holdings.attached.as_ref()) {
            None => Known::Unknown,
            Some(known) if known.binary_search(&fingerprint_of_tag(digest, kind)).is_ok() => {
                Known::Present(())
            }
            Some(_) => Known::Absent,
        }
    }

    /// Whether a repository is known not to have a manifest, be it named by an edge or not.
    pub(crate) fn lacks(&self, repository: Id<Repository>, digest: &Digest, edges: &Edges) -> bool {
        let Some(holdings) = self.repositories.get(&repository) else { return false };
        match edges.find_digest(digest).and_then(|id| find(&holdings.digests, id)) {
            Some(there) => there.is_none(),
            None => {
                (holdings.complete || holdings.denied)
                    && holdings.knows_parts
                    && holdings.parts.binary_search(&fingerprint(digest)).is_err()
            }
        }
    }

    fn named(&mut self, repository: Id<Repository>, tag: Id<Tag>, digest: Digest, edges: &Edges) -> Named {
        match edges.find_digest(&digest) {
            Some(digest) => Named::Wished(digest),
            None => {
                self.foreign.insert((repository, tag), digest);
                Named::Foreign
            }
        }
    }
}

/// Whether every wished tag names what it should, and nothing is wished without a tag: of that it matters whether staging
/// has it too.
fn is_settled(tags: &[(Id<Tag>, Named)], requested: &[Edge]) -> bool {
    let is_done =
        |edge: &Edge| edge.tag.is_some_and(|tag| find(tags, tag) == Some(&Named::Wished(edge.digest)));
    !requested.is_empty() && requested.iter().all(is_done)
}

fn find<K: Ord + Copy, V>(entries: &[(K, V)], key: K) -> Option<&V> {
    entries.binary_search_by_key(&key, |(key, _)| *key).ok().map(|at| &entries[at].1)
}

fn insert<K: Ord + Copy, V>(entries: &mut Vec<(K, V)>, key: K, value: V) {
    match entries.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(at) => entries[at].1 = value,
        Err(at) => entries.insert(at, (key, value)),
    }
}
