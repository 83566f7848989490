//! The known content of registries, as far as edges depend on it.
//!
//! Kubernetes' production has 29,000 repositories, and a run that adds little finds nothing to do in most of them. A
//! [`ListingBuilder`] therefore reduces each listing while it arrives: it keeps a few bytes for each entry that edges ask for,
//! and almost nothing for a repository that is up to date.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use manifest::{Edge, Edges};
use manifest::{Id, Interner};
use oci::{AttachedTag, AttachmentKind, Digest, Found, Head, Listed, MediaType, Repository, Tag};

/// A lookup that the decision about an edge depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lookup {
    /// The digest that a tag names.
    Tag(Id<Repository>, Id<Tag>),
    /// Whether a repository has a manifest.
    Digest(Id<Repository>, Id<Digest>),
}

impl Lookup {
    /// Returns the repository to look in.
    pub fn repository(self) -> Id<Repository> {
        match self {
            Self::Tag(repository, _) | Self::Digest(repository, _) => repository,
        }
    }
}

/// The known content of all repositories that edges name.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    repositories: HashMap<Id<Repository>, Holdings>,
    media_types: Interner<MediaType>,
    /// Digests that tags name and no edge requests: mostly conflicts.
    foreign: HashMap<(Id<Repository>, Id<Tag>), Digest>,
    /// Repositories for which the inventory also records what is attached to images.
    observed: BTreeSet<Id<Repository>>,
    /// Repositories that are deferred until all others are done.
    late: BTreeSet<Id<Repository>>,
    /// Repositories that could not be listed.
    unlisted: HashMap<Id<Repository>, Arc<oci::Error>>,
    /// Lookups that failed.
    unanswered: HashMap<Lookup, Arc<oci::Error>>,
}

/// The known content of one repository.
#[derive(Clone, Debug, Default)]
struct Holdings {
    /// Whether everything that edges request is there, so that nothing else needs to be known.
    up_to_date: bool,
    /// Whether the registry also lists manifests, so that a manifest that is not listed is absent.
    complete: bool,
    /// Whether the registry denies the repository. It has no tags then, but may hold untagged manifests.
    denied: bool,
    /// The requested tags that the repository has, in order.
    tags: Vec<(Id<Tag>, Named)>,
    /// The requested manifests that were looked up or listed, in order. `None` means that the manifest is absent.
    digests: Vec<(Id<Digest>, Option<Id<MediaType>>)>,
    /// Manifests that no edge names, which are parts of images: their [`fingerprint`]s, in order.
    parts: Vec<u64>,
    /// Whether `parts` has all of these, provided that the repository is complete.
    knows_parts: bool,
    /// The tags of attachments to images: their [`fingerprint_of_tag`]s, in order. `None` means unknown.
    attached: Option<Vec<u64>>,
}

/// What is known about a tag that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// The tag exists; its digest has not been looked up.
    Unknown,
    /// The tag names a digest that edges request.
    Requested(Id<Digest>),
    /// The tag names another digest, which is kept in `Inventory::foreign`.
    Foreign,
}

/// Whether something exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known<T> {
    /// It exists.
    Present(T),
    /// It does not exist.
    Absent,
    /// It has not been looked up.
    Unknown,
}

/// The listing of one repository while it arrives. It can be dropped at any time: it takes effect only with
/// [`Inventory::listed`].
#[derive(Debug)]
pub struct ListingBuilder<'a> {
    edges: &'a Edges,
    /// The edges whose destination is the repository.
    requested: &'a [Edge],
    repository: Id<Repository>,
    lists_manifests: bool,
    /// The requested tags that the repository has. A tag may be listed several times.
    tags: HashMap<Id<Tag>, ListedTag>,
    /// The requested digests that the repository has.
    digests: HashMap<Id<Digest>, MediaType>,
    parts: Vec<u64>,
    /// The tags of attachments to images, or `None` if they are not recorded.
    attached: Option<Vec<u64>>,
}

/// What a listing reports about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListedTag {
    /// The tag exists.
    There,
    /// The tag names this manifest.
    Names(Digest),
    /// The listing reports several manifests for the tag, so that the tag has to be looked up.
    Ambiguous,
}

/// Returns the first bytes of a digest. They are uniformly distributed, which suffices to distinguish the parts of the images in
/// one repository. In case of a collision, the registry would refuse an index because a part is missing, and nothing would be
/// tagged.
fn fingerprint(digest: &Digest) -> u64 {
    let first = digest.hash().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

/// Returns the fingerprint of the tag of an attachment: a tag of cosign's or, if `kind` is `None`, the fallback tag for the
/// referrers of the image. A collision costs one needless request.
fn fingerprint_of_tag(digest: &Digest, kind: Option<AttachmentKind>) -> u64 {
    let salt = match kind {
        None => 0,
        Some(AttachmentKind::Signature) => 1,
        Some(AttachmentKind::Attestation) => 2,
        Some(AttachmentKind::Sbom) => 3,
    };
    fingerprint(digest).rotate_left(8).wrapping_add(salt)
}

/// Returns the fingerprint of a tag if it is the tag of an attachment to an image.
fn attached(tag: &Tag) -> Option<u64> {
    if let Some(tag) = AttachedTag::parse(tag) {
        return Some(fingerprint_of_tag(&tag.digest(), Some(tag.kind())));
    }
    let digest: Digest = tag.as_str().replacen('-', ":", 1).parse().ok()?;
    Some(fingerprint_of_tag(&digest, None))
}

impl<'a> ListingBuilder<'a> {
    /// Also records the tags of attachments to images.
    #[must_use]
    pub fn with_attached(self) -> Self {
        Self { attached: Some(Vec::new()), ..self }
    }

    /// Creates an empty listing.
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

    /// Adds an entry of the listing.
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
            Listed::Child(_) | Listed::Invalid(_) => {}
            Listed::Restarted => {
                let empty = Self::new(self.edges, self.repository);
                *self = if self.attached.is_some() { empty.with_attached() } else { empty };
            }
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

    /// Returns the id of a tag if edges request it in this repository.
    fn request(&self, tag: &Tag) -> Option<Id<Tag>> {
        let tag = self.edges.find_tag(tag)?;
        self.requested.binary_search_by_key(&Some(tag), |edge| edge.tag).ok().map(|_| tag)
    }
}

impl Inventory {
    /// Creates an empty inventory that also records what is attached to images in the `observed` repositories.
    pub(crate) fn observing(observed: BTreeSet<Id<Repository>>) -> Self {
        Self { observed, ..Self::default() }
    }

    /// Returns whether the inventory records what is attached to images in a repository.
    pub(crate) fn observes(&self, repository: Id<Repository>) -> bool {
        self.observed.contains(&repository)
    }

    /// Records the complete listing of a repository, or the proof that it has no tags.
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
            // The dropped entries are not absent: the repository may be the source of other edges.
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

    /// Records that a repository has everything that edges request.
    pub fn settle(&mut self, repository: Id<Repository>) {
        self.repositories.insert(repository, Holdings { up_to_date: true, ..Holdings::default() });
    }

    /// Reverts [`Inventory::settle`]: the repository has to be listed.
    pub fn forget(&mut self, repository: Id<Repository>) {
        self.repositories.remove(&repository);
    }

    /// Defers a repository until all others are done, unless it is already listed.
    pub(crate) fn put_off(&mut self, repository: Id<Repository>) {
        if !self.is_listed(repository) {
            self.late.insert(repository);
        }
    }

    /// Returns whether a repository is deferred.
    pub(crate) fn is_late(&self, repository: Id<Repository>) -> bool {
        self.late.contains(&repository)
    }

    /// Returns the deferred repositories.
    pub(crate) fn late(&self) -> &BTreeSet<Id<Repository>> {
        &self.late
    }

    /// Makes the deferred repositories due for listing.
    pub(crate) fn resume_late(&mut self) {
        self.late.clear();
    }

    /// Returns whether a repository was listed, could not be listed, or is deferred.
    pub(crate) fn is_listed(&self, repository: Id<Repository>) -> bool {
        self.repositories.contains_key(&repository)
            || self.unlisted.contains_key(&repository)
            || self.is_late(repository)
    }

    /// Records that a repository cannot be listed.
    pub fn not_listed(&mut self, repository: Id<Repository>, error: oci::Error) {
        self.unlisted.insert(repository, Arc::new(error));
    }

    /// Records that a lookup failed.
    pub fn not_answered(&mut self, lookup: Lookup, error: oci::Error) {
        self.unanswered.insert(lookup, Arc::new(error));
    }

    /// Returns the error of a failed lookup or, if its repository could not be listed, the error of the listing.
    pub fn failure(&self, lookup: &Lookup) -> Option<&Arc<oci::Error>> {
        self.unanswered.get(lookup).or_else(|| self.unlisted.get(&lookup.repository()))
    }

    /// Drops the parts of images in a repository that is up to date.
    pub fn forget_parts(&mut self, repository: Id<Repository>) {
        if let Some(holdings) = self.repositories.get_mut(&repository) {
            holdings.parts = Vec::new();
            holdings.knows_parts = false;
        }
    }

    /// Records the manifest that a tag names.
    pub fn tag_answered(
        &mut self,
        repository: Id<Repository>,
        tag: Id<Tag>,
        found: Found<Head>,
        edges: &Edges,
    ) {
        let Found::Present(head) = found else {
            // The tag was listed and has been deleted since.
            let holdings = self.repositories.entry(repository).or_default();
            return holdings.tags.retain(|(known, _)| *known != tag);
        };
        let named = self.named(repository, tag, head.digest, edges);
        insert(&mut self.repositories.entry(repository).or_default().tags, tag, named);
        if let Named::Requested(digest) = named {
            self.digest_answered(repository, digest, Found::Present(head));
        }
    }

    /// Records whether a repository has a manifest.
    pub fn digest_answered(&mut self, repository: Id<Repository>, digest: Id<Digest>, found: Found<Head>) {
        let media_type = found.present().map(|head| self.media_types.intern(&head.media_type));
        insert(&mut self.repositories.entry(repository).or_default().digests, digest, media_type);
    }

    /// Returns whether a repository has everything that edges request.
    pub(crate) fn is_settled(&self, repository: Id<Repository>) -> bool {
        self.repositories.get(&repository).is_some_and(|holdings| holdings.up_to_date)
    }

    /// Returns the digest that the tag of an edge names at its destination.
    pub(crate) fn tag<'a>(
        &'a self,
        repository: Id<Repository>,
        tag: Id<Tag>,
        edges: &'a Edges,
    ) -> Known<&'a Digest> {
        let Some(holdings) = self.repositories.get(&repository) else { return Known::Unknown };
        match find(&holdings.tags, tag) {
            Some(Named::Requested(digest)) => Known::Present(edges.digest_name(*digest)),
            Some(Named::Foreign) => {
                self.foreign.get(&(repository, tag)).map_or(Known::Unknown, Known::Present)
            }
            Some(Named::Unknown) => Known::Unknown,
            None => Known::Absent,
        }
    }

    /// Returns whether a repository has a manifest, and its media type.
    pub(crate) fn digest(&self, repository: Id<Repository>, digest: Id<Digest>) -> Known<&MediaType> {
        let Some(holdings) = self.repositories.get(&repository) else { return Known::Unknown };
        match find(&holdings.digests, digest) {
            Some(Some(media_type)) => Known::Present(self.media_types.name(*media_type)),
            Some(None) => Known::Absent,
            None if holdings.complete => Known::Absent,
            None => Known::Unknown,
        }
    }

    /// Returns whether the registry denies a repository. It has no tags then, and its untagged manifests are unknown.
    pub(crate) fn is_denied(&self, repository: Id<Repository>) -> bool {
        self.repositories.get(&repository).is_some_and(|holdings| holdings.denied)
    }

    /// Returns whether a repository was asked for a manifest directly and does not have it. A manifest that is only missing
    /// from a listing does not count as lost.
    pub(crate) fn was_denied(&self, repository: Id<Repository>, digest: Id<Digest>) -> bool {
        let holdings = self.repositories.get(&repository);
        holdings.and_then(|holdings| find(&holdings.digests, digest)).is_some_and(Option::is_none)
    }

    /// Returns whether the destination of an edge is known to have a manifest, whether or not an edge names it.
    pub(crate) fn has(&self, edge: &Edge, digest: &Digest, edges: &Edges) -> bool {
        let Some(holdings) = self.repositories.get(&edge.destination) else { return false };
        let named = edges.find_digest(digest).and_then(|id| find(&holdings.digests, id));
        named.is_some_and(Option::is_some) || holdings.parts.binary_search(&fingerprint(digest)).is_ok()
    }

    /// Returns whether a repository has a tag of an attachment to an image: a tag of cosign's or, if `kind` is `None`, the
    /// fallback tag for the referrers of the image.
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

    /// Returns whether a repository is known not to have a manifest, whether or not an edge names it.
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
            Some(digest) => Named::Requested(digest),
            None => {
                self.foreign.insert((repository, tag), digest);
                Named::Foreign
            }
        }
    }
}

/// Returns whether every edge has a tag and the tag names the digest of the edge. An edge without a tag is never settled here,
/// because its verdict also depends on staging.
fn is_settled(tags: &[(Id<Tag>, Named)], requested: &[Edge]) -> bool {
    let is_done =
        |edge: &Edge| edge.tag.is_some_and(|tag| find(tags, tag) == Some(&Named::Requested(edge.digest)));
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
