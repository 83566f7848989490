//! Edges: the single promotions that manifests list, from a digest in a source repository to a destination repository, with or
//! without a tag.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use oci_types::{AttachedTag, Digest, Host, Repository, Tag};

use crate::intern::{Id, Interner};
use crate::model::{Manifest, Manifests};
use crate::source::Position;

/// A promotion. Its names are stored as numbers of [`Edges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The staging repository that serves the edge. Others may have the image too: see `Edges::sources`.
    pub source: Id<Repository>,
    /// The digest to promote.
    pub digest: Id<Digest>,
    /// The production repository.
    pub destination: Id<Repository>,
    /// The tag in production. If `None`, the image is promoted by digest alone.
    pub tag: Option<Id<Tag>>,
    /// The index of the manifest entry that lists the edge.
    origin: u32,
}

/// An image in staging.
pub type ImageId = (Id<Repository>, Id<Digest>);

/// The target of an edge: a tag, or a digest without a tag, in one destination repository.
type Target = (Id<Repository>, Option<Id<Tag>>, Id<Digest>);

/// The images that several staging repositories may serve: each by the repository that serves it, with all repositories that
/// may.
pub type SharedImages = BTreeMap<ImageId, BTreeSet<Id<Repository>>>;

impl Edge {
    fn target(&self) -> Target {
        (self.destination, self.tag, self.digest)
    }
}

/// The position of a listed edge.
#[derive(Clone, Copy, Debug)]
struct Origin {
    manifest: u32,
    position: Position,
}

/// The project name of a manifest, and the name of its images file.
#[derive(Clone, Debug)]
struct ManifestName {
    project: Arc<str>,
    file: Arc<str>,
    /// Whether the images of the manifest are only repaired, and not promoted.
    repaired: bool,
}

/// All edges that manifests list, each once, ordered by destination.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    edges: Vec<Edge>,
    repositories: Interner<Repository>,
    digests: Interner<Digest>,
    tags: Interner<Tag>,
    origins: Vec<Origin>,
    manifests: Vec<ManifestName>,
    /// The production repositories to which a run over a diff promotes nothing from an image's manifest.
    unchanged: HashSet<Id<Repository>>,
    /// The additional staging repositories of edges that manifests list with more than one source.
    others: HashMap<Target, BTreeSet<Id<Repository>>>,
    /// The images at the destinations that other shards promote to, in order.
    elsewhere: Vec<(Id<Repository>, Id<Digest>)>,
    /// The edges of other shards that several staging repositories may serve.
    shared_elsewhere: Vec<Edge>,
    repeated: usize,
    metadata: usize,
}

/// Two listed edges that conflict: one destination reference, two digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The repository and tag that both list.
    pub reference: String,
    /// One digest, and where it is listed.
    pub first: (Digest, String),
    /// The other digest, and where it is listed.
    pub second: (Digest, String),
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reference, self.reason())
    }
}

impl Overlap {
    /// Returns what is wrong with the reference, as the rest of a sentence.
    pub fn reason(&self) -> String {
        let Self { first, second, .. } = self;
        format!("would be both {} ({}) and {} ({})", first.0, first.1, second.0, second.1)
    }
}

impl Edges {
    /// Expands manifests to their edges.
    ///
    /// # Errors
    /// If edges list different digests under one reference: returns all conflicting pairs.
    pub fn new(manifests: &Manifests) -> Result<Self, Vec<Overlap>> {
        Self::with_repaired(manifests, &[])
    }

    /// Expands manifests to their edges, and those of `repaired` to edges that are not promoted: a run only completes the
    /// signatures and attestations of their images in production. An edge that both list is promoted. Of edges that conflict,
    /// those that are only repaired are left out.
    ///
    /// # Errors
    /// If edges to promote list different digests under one reference: returns all conflicting pairs.
    pub fn with_repaired(manifests: &Manifests, repaired: &[Manifest]) -> Result<Self, Vec<Overlap>> {
        let mut this = Self::default();
        for (index, manifest) in manifests.manifests.iter().chain(repaired).enumerate() {
            let repaired = index >= manifests.manifests.len();
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let (project, file) = (Arc::clone(&manifest.name), Arc::clone(&manifest.images_file));
            this.manifests.push(ManifestName { project, file, repaired });
            for image in &manifest.images {
                // The reader checked that each name fits below each registry, so no name is too long here.
                let Ok(source) = manifest.source.repository(&image.name) else { continue };
                let source = this.repositories.intern(&source);
                let destinations: Vec<Id<Repository>> = manifest
                    .destinations
                    .iter()
                    .filter_map(|destination| destination.root.repository(&image.name).ok())
                    .map(|destination| this.repositories.intern(&destination))
                    .collect();
                for other in &manifest.unchanged {
                    if let Ok(repository) = other.root.repository(&image.name) {
                        let repository = this.repositories.intern(&repository);
                        this.unchanged.insert(repository);
                    }
                }
                for listed in &image.digests {
                    let digest = this.digests.intern(&listed.digest);
                    let mut add = |tag: Option<&Tag>, position: Position| {
                        let origin = u32::try_from(this.origins.len()).unwrap_or(u32::MAX);
                        this.origins.push(Origin { manifest: index, position });
                        let tag = tag.map(|tag| this.tags.intern(tag));
                        this.edges.extend(destinations.iter().map(|destination| Edge {
                            source,
                            digest,
                            destination: *destination,
                            tag,
                            origin,
                        }));
                    };
                    if listed.tags.is_empty() {
                        add(None, listed.position);
                    }
                    for (tag, position) in &listed.tags {
                        if AttachedTag::parse(tag).is_some() {
                            this.metadata += usize::from(!repaired);
                        } else {
                            add(Some(tag), *position);
                        }
                    }
                }
            }
        }
        this.order()?;
        Ok(this)
    }

    /// Sorts the edges, removes duplicates and finds conflicts.
    fn order(&mut self) -> Result<(), Vec<Overlap>> {
        self.edges.sort_unstable_by_key(|e| (e.target(), e.origin));
        let promoted = |this: &Self| this.edges.iter().filter(|edge| this.promotes(edge)).count();
        let before = promoted(self);
        for same in self.edges.chunk_by(|a, b| a.target() == b.target()) {
            let others = same.iter().map(|edge| edge.source).filter(|source| *source != same[0].source);
            let others: BTreeSet<Id<Repository>> = others.collect();
            if !others.is_empty() {
                self.others.insert(same[0].target(), others);
            }
        }
        self.edges.dedup_by_key(|e| e.target());
        self.repeated = before - promoted(self);
        if self.manifests.iter().any(|manifest| manifest.repaired) {
            self.leave_out_conflicts();
        }
        self.edges.shrink_to_fit();
        let overlaps: Vec<Overlap> = self
            .edges
            .windows(2)
            .filter(|pair| pair[0].tag.is_some())
            .filter(|pair| (pair[0].destination, pair[0].tag) == (pair[1].destination, pair[1].tag))
            .map(|pair| Overlap {
                reference: self.reference(&pair[0]),
                first: (*self.digest(&pair[0]), self.origin(&pair[0])),
                second: (*self.digest(&pair[1]), self.origin(&pair[1])),
            })
            .collect();
        if overlaps.is_empty() { Ok(()) } else { Err(overlaps) }
    }

    /// Leaves out edges that are only repaired and that conflict with others. Production has at most one of the digests under
    /// the tag, and it is not known which one is meant.
    fn leave_out_conflicts(&mut self) {
        let reference = |edge: &Edge| (edge.destination, edge.tag);
        let edges = std::mem::take(&mut self.edges);
        let mut kept = Vec::with_capacity(edges.len());
        for same in edges.chunk_by(|a, b| reference(a) == reference(b)) {
            let conflicts = same.len() > 1 && same[0].tag.is_some();
            kept.extend(same.iter().filter(|edge| !conflicts || self.promotes(edge)));
        }
        self.edges = kept;
    }

    /// Keeps the edges for which `keep` is true. It is called for each edge in the order of [`Self::all`].
    pub fn retain(&mut self, keep: impl FnMut(&Edge) -> bool) {
        self.edges.retain(keep);
    }

    /// Keeps the edges to the hosts for which `is_kept` is true; other shards promote the others. Information about the dropped
    /// edges is kept where it concerns images of the remaining edges: see [`Self::elsewhere`] and [`Self::shared`].
    pub fn keep_hosts(&mut self, is_kept: impl Fn(&Host) -> bool) {
        let Self { edges, repositories, others, elsewhere, shared_elsewhere, .. } = self;
        // Edges of one destination are adjacent, so each destination is looked up once.
        let mut last: Option<(Id<Repository>, bool)> = None;
        edges.retain(|edge| {
            let same = last.filter(|(destination, _)| *destination == edge.destination);
            let is_here =
                same.map_or_else(|| is_kept(&repositories.name(edge.destination).host), |(_, is)| is);
            last = Some((edge.destination, is_here));
            if !is_here {
                elsewhere.push((edge.destination, edge.digest));
                if others.contains_key(&edge.target()) {
                    shared_elsewhere.push(*edge);
                }
            }
            is_here
        });
        edges.shrink_to_fit();
        elsewhere.sort_unstable();
        elsewhere.dedup();
        elsewhere.shrink_to_fit();
    }

    /// Returns the images at the destinations that other shards promote to, by destination. Empty unless [`Self::keep_hosts`] has
    /// dropped edges.
    pub fn elsewhere(&self) -> &[(Id<Repository>, Id<Digest>)] {
        &self.elsewhere
    }

    /// Returns whether an edge is promoted. If not, only its image in production is repaired.
    pub fn promotes(&self, edge: &Edge) -> bool {
        !self.manifest(edge).repaired
    }

    /// Returns all edges. Edges of one destination repository are adjacent.
    pub fn all(&self) -> &[Edge] {
        &self.edges
    }

    /// Returns the edges grouped by destination repository.
    pub fn by_destination(&self) -> impl Iterator<Item = &[Edge]> {
        self.edges.chunk_by(|a, b| a.destination == b.destination)
    }

    /// Returns the edges to a repository, ordered by tag. Edges without a tag come first.
    pub fn to(&self, destination: Id<Repository>) -> &[Edge] {
        self.range_to(destination).1
    }

    /// Returns the same edges as [`Self::to`], with the index of the first one in [`Self::all`].
    pub fn range_to(&self, destination: Id<Repository>) -> (usize, &[Edge]) {
        let first = self.edges.partition_point(|edge| edge.destination < destination);
        let length = self.edges[first..].partition_point(|edge| edge.destination == destination);
        (first, &self.edges[first..first + length])
    }

    /// Returns the staging repositories that may serve an edge, starting with the one that serves it.
    pub fn sources(&self, edge: &Edge) -> impl Iterator<Item = Id<Repository>> + use<'_> {
        let others = if self.others.is_empty() { None } else { self.others.get(&edge.target()) };
        std::iter::once(edge.source).chain(others.into_iter().flatten().copied())
    }

    /// Returns the production repositories to which a run over a diff promotes nothing from an image's manifest. They already
    /// have the listed images.
    pub fn unchanged(&self) -> impl Iterator<Item = Id<Repository>> {
        self.unchanged.iter().copied()
    }

    /// Whether several staging repositories may serve the same edge.
    pub fn are_shared(&self) -> bool {
        !self.others.is_empty()
    }

    /// Serves each edge that several staging repositories hold from the repository that `choose` returns.
    pub fn serve_from(&mut self, choose: impl Fn(&Self, &Edge) -> Id<Repository>) {
        for at in 0..self.edges.len() {
            self.edges[at].source = self.served(self.edges[at], &choose);
        }
        for at in 0..self.shared_elsewhere.len() {
            self.shared_elsewhere[at].source = self.served(self.shared_elsewhere[at], &choose);
        }
    }

    /// Returns the staging repository that serves an edge, and keeps the others.
    fn served(&mut self, edge: Edge, choose: impl Fn(&Self, &Edge) -> Id<Repository>) -> Id<Repository> {
        let source = choose(self, &edge);
        match self.others.get_mut(&edge.target()) {
            Some(others) if source != edge.source => {
                others.remove(&source);
                others.insert(edge.source);
                source
            }
            _ => edge.source,
        }
    }

    /// Returns the images that several staging repositories may serve, each with all of these repositories. The policies of all
    /// of them apply to the image. The edges of other shards count too.
    pub fn shared(&self) -> SharedImages {
        let mut shared = SharedImages::new();
        if self.others.is_empty() {
            return shared;
        }
        let here = self.edges.iter().filter(|edge| self.others.contains_key(&edge.target()));
        for edge in here.chain(&self.shared_elsewhere) {
            shared.entry((edge.source, edge.digest)).or_default().extend(self.sources(edge));
        }
        shared
    }

    /// Returns the number of duplicate edges in the manifests.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Returns the number of listed signatures, attestations and SBOMs. These are never promoted as images.
    pub fn metadata(&self) -> usize {
        self.metadata
    }

    /// Returns the name of a repository.
    pub fn repository(&self, id: Id<Repository>) -> &Repository {
        self.repositories.name(id)
    }

    /// Returns the source repository of an edge.
    pub fn source(&self, edge: &Edge) -> &Repository {
        self.repositories.name(edge.source)
    }

    /// Returns the destination repository of an edge.
    pub fn destination(&self, edge: &Edge) -> &Repository {
        self.repositories.name(edge.destination)
    }

    /// Returns the digest of an edge.
    pub fn digest(&self, edge: &Edge) -> &Digest {
        self.digests.name(edge.digest)
    }

    /// Returns the tag of an edge.
    pub fn tag(&self, edge: &Edge) -> Option<&Tag> {
        edge.tag.map(|tag| self.tags.name(tag))
    }

    /// Returns a digest by its number.
    pub fn digest_name(&self, id: Id<Digest>) -> &Digest {
        self.digests.name(id)
    }

    /// Returns a tag by its number.
    pub fn tag_name(&self, id: Id<Tag>) -> &Tag {
        self.tags.name(id)
    }

    /// Returns the number of a digest, or `None` if no edge names it.
    pub fn find_digest(&self, digest: &Digest) -> Option<Id<Digest>> {
        self.digests.find(digest)
    }

    /// Returns the number of a tag, or `None` if no edge names it.
    pub fn find_tag(&self, tag: &Tag) -> Option<Id<Tag>> {
        self.tags.find(tag)
    }

    /// Returns the project whose manifest lists an edge.
    pub fn project(&self, edge: &Edge) -> &str {
        &self.manifest(edge).project
    }

    /// Returns where an edge is listed, as `file:line:column`.
    pub fn origin(&self, edge: &Edge) -> String {
        let Position { line, column } = self.origins[edge.origin as usize].position;
        format!("{}:{line}:{column}", self.manifest(edge).file)
    }

    /// Returns the file that lists an edge.
    pub fn file(&self, edge: &Edge) -> &str {
        &self.manifest(edge).file
    }

    /// Returns the destination of an edge as a reference: by tag, or by digest if the edge has no tag.
    pub fn reference(&self, edge: &Edge) -> String {
        match self.tag(edge) {
            Some(tag) => format!("{}:{tag}", self.destination(edge)),
            None => format!("{}@{}", self.destination(edge), self.digest(edge)),
        }
    }

    fn manifest(&self, edge: &Edge) -> &ManifestName {
        &self.manifests[self.origins[edge.origin as usize].manifest as usize]
    }
}
