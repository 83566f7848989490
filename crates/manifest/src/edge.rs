//! Edges: what the manifests wish, one by one. (source repository, digest) -> (destination repository, tag or no tag).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use oci_types::{AttachedTag, Digest, Repository, Tag};

use crate::intern::{Id, Interner};
use crate::model::Manifests;
use crate::source::Position;

/// A promotion, by the numbers of its names in [`Edges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The staging repository that serves it. Others may hold it too: see `Edges::sources`.
    pub source: Id<Repository>,
    /// What is promoted.
    pub digest: Id<Digest>,
    /// The repository in production.
    pub destination: Id<Repository>,
    /// The tag that it gets there; without one, the image is promoted by digest alone.
    pub tag: Option<Id<Tag>>,
    /// The manifest line that asks for it.
    origin: u32,
}

/// An image in staging.
pub type ImageId = (Id<Repository>, Id<Digest>);

/// What an edge promises: a tag, or a digest without a tag, of one destination.
type Target = (Id<Repository>, Option<Id<Tag>>, Id<Digest>);

/// Images by the staging repository that serves them, each with all staging repositories that may.
pub type SharedImages = BTreeMap<ImageId, BTreeSet<Id<Repository>>>;

impl Edge {
    fn target(&self) -> Target {
        (self.destination, self.tag, self.digest)
    }
}

/// The place of a wish.
#[derive(Clone, Copy, Debug)]
struct Origin {
    manifest: u32,
    position: Position,
}

/// The name of a manifest and of the file that its images are in.
#[derive(Clone, Debug)]
struct ManifestName {
    project: Arc<str>,
    file: Arc<str>,
}

/// All promotions that manifests ask for, each once, ordered by destination.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    edges: Vec<Edge>,
    repositories: Interner<Repository>,
    digests: Interner<Digest>,
    tags: Interner<Tag>,
    origins: Vec<Origin>,
    manifests: Vec<ManifestName>,
    /// Production repositories of the images to which a run over a diff promotes nothing of them.
    unchanged: HashSet<Id<Repository>>,
    /// The further staging repositories of edges that manifests promote from several.
    others: HashMap<Target, BTreeSet<Id<Repository>>>,
    repeated: usize,
    metadata: usize,
}

/// Two wishes that cannot both come true: one destination reference, two digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The repository and tag that both want.
    pub reference: String,
    /// One digest, and where it is wished.
    pub first: (Digest, String),
    /// The other.
    pub second: (Digest, String),
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reference, first, second } = self;
        write!(f, "{reference} is to be {} ({}) and {} ({})", first.0, first.1, second.0, second.1)
    }
}

impl Edges {
    /// Expands manifests to their edges.
    ///
    /// # Errors
    /// All pairs of wishes that want different digests under one reference.
    pub fn new(manifests: &Manifests) -> Result<Self, Vec<Overlap>> {
        let mut this = Self::default();
        for (index, manifest) in manifests.manifests.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let (project, file) = (Arc::clone(&manifest.name), Arc::clone(&manifest.images_file));
            this.manifests.push(ManifestName { project, file });
            for image in &manifest.images {
                // Names were joined once when the manifests were read, so none is too long here.
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
                            this.metadata += 1;
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

    /// Sorts the edges, takes out what is wished twice and finds what cannot be.
    fn order(&mut self) -> Result<(), Vec<Overlap>> {
        self.edges.sort_unstable_by_key(|e| (e.target(), e.origin));
        let before = self.edges.len();
        for same in self.edges.chunk_by(|a, b| a.target() == b.target()) {
            let others = same.iter().map(|edge| edge.source).filter(|source| *source != same[0].source);
            let others: BTreeSet<Id<Repository>> = others.collect();
            if !others.is_empty() {
                self.others.insert(same[0].target(), others);
            }
        }
        self.edges.dedup_by_key(|e| e.target());
        self.repeated = before - self.edges.len();
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

    /// All edges, those of one destination repository together.
    pub fn all(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges of each destination repository.
    pub fn by_destination(&self) -> impl Iterator<Item = &[Edge]> {
        self.edges.chunk_by(|a, b| a.destination == b.destination)
    }

    /// The edges that end in a repository, ordered by tag, those without one first.
    pub fn to(&self, destination: Id<Repository>) -> &[Edge] {
        self.range_to(destination).1
    }

    /// The same, with the place of the first among all edges.
    pub fn range_to(&self, destination: Id<Repository>) -> (usize, &[Edge]) {
        let first = self.edges.partition_point(|edge| edge.destination < destination);
        let length = self.edges[first..].partition_point(|edge| edge.destination == destination);
        (first, &self.edges[first..first + length])
    }

    /// The staging repositories that may serve an edge, the one that does first.
    pub fn sources(&self, edge: &Edge) -> impl Iterator<Item = Id<Repository>> + use<'_> {
        let others = if self.others.is_empty() { None } else { self.others.get(&edge.target()) };
        std::iter::once(edge.source).chain(others.into_iter().flatten().copied())
    }

    /// Production repositories of the images to which a run over a diff promotes nothing of them: they have them already.
    pub fn unchanged(&self) -> impl Iterator<Item = Id<Repository>> {
        self.unchanged.iter().copied()
    }

    /// Whether several staging repositories may serve some edge.
    pub fn are_shared(&self) -> bool {
        !self.others.is_empty()
    }

    /// Has edges that several staging repositories hold served by the ones that `choose` gives.
    pub fn serve_from(&mut self, choose: impl Fn(&Self, &Edge) -> Id<Repository>) {
        for at in 0..self.edges.len() {
            let edge = self.edges[at];
            let source = choose(self, &edge);
            if source == edge.source {
                continue;
            }
            if let Some(others) = self.others.get_mut(&edge.target()) {
                others.remove(&source);
                others.insert(edge.source);
                self.edges[at].source = source;
            }
        }
    }

    /// The images that some edge may take from several staging repositories, each with all of these: the policies of all of
    /// them hold.
    pub fn shared(&self) -> SharedImages {
        let mut shared = SharedImages::new();
        if self.others.is_empty() {
            return shared;
        }
        for edge in self.edges.iter().filter(|edge| self.others.contains_key(&edge.target())) {
            shared.entry((edge.source, edge.digest)).or_default().extend(self.sources(edge));
        }
        shared
    }

    /// How many wishes were made more than once.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// How many wishes were for signatures, attestations or SBOMs, which are never promoted as images.
    pub fn metadata(&self) -> usize {
        self.metadata
    }

    /// The name of a repository.
    pub fn repository(&self, id: Id<Repository>) -> &Repository {
        self.repositories.name(id)
    }

    /// The source repository of an edge.
    pub fn source(&self, edge: &Edge) -> &Repository {
        self.repositories.name(edge.source)
    }

    /// The destination repository of an edge.
    pub fn destination(&self, edge: &Edge) -> &Repository {
        self.repositories.name(edge.destination)
    }

    /// The digest of an edge.
    pub fn digest(&self, edge: &Edge) -> &Digest {
        self.digests.name(edge.digest)
    }

    /// The tag of an edge.
    pub fn tag(&self, edge: &Edge) -> Option<&Tag> {
        edge.tag.map(|tag| self.tags.name(tag))
    }

    /// A digest by its number.
    pub fn digest_name(&self, id: Id<Digest>) -> &Digest {
        self.digests.name(id)
    }

    /// A tag by its number.
    pub fn tag_name(&self, id: Id<Tag>) -> &Tag {
        self.tags.name(id)
    }

    /// The number of a digest, if any edge names it.
    pub fn find_digest(&self, digest: &Digest) -> Option<Id<Digest>> {
        self.digests.find(digest)
    }

    /// The number of a tag, if any edge names it.
    pub fn find_tag(&self, tag: &Tag) -> Option<Id<Tag>> {
        self.tags.find(tag)
    }

    /// The project whose manifest wishes an edge.
    pub fn project(&self, edge: &Edge) -> &str {
        &self.manifest(edge).project
    }

    /// Where an edge is wished, as `file:line:column`.
    pub fn origin(&self, edge: &Edge) -> String {
        let Position { line, column } = self.origins[edge.origin as usize].position;
        format!("{}:{line}:{column}", self.manifest(edge).file)
    }

    /// The file that wishes an edge.
    pub fn file(&self, edge: &Edge) -> &str {
        &self.manifest(edge).file
    }

    /// The destination of an edge as people write it: by tag, or by digest where it has no tag.
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
