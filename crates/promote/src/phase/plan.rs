//! Plan: registries are read, edges decided, the images to copy read from staging. Nothing is written.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use manifest::Id;
use manifest::policy::Policies;
use manifest::{Edge, Edges, ImageId};
use oci::{
    AttachmentKind, Descriptor, Digest, Graph, InvalidManifest, Known, MediaType, Outline, Reader,
    Repository, Selector, Tag,
};
use trust::NewAdvice;
use trust::evidence::{ListedTags, is_about_content};
use trust::policy::{claims_exemption, exempt_parts};

use crate::cache::Cache;
use crate::decide::Verdict;
use crate::event::{Event, Promotion};
use crate::inventory::{Inventory, Known as Presence};
use crate::phase::owed::{Missing, Owed};
use crate::run::Run;
use crate::subject::{Subject, edges_of};

/// What is to be done, edge by edge, with the images to copy already read, and what images lack at their homes.
#[derive(Debug)]
pub struct Plan {
    pub(super) edges: Arc<Edges>,
    /// The verdict of each edge.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) inventory: Inventory,
    pub(super) images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    /// The destinations that this plan is about; without them, it is about all.
    pub(super) round: Option<BTreeSet<Id<Repository>>>,
    pub(super) owed: Owed,
    /// Whether it is looked up what images lack at their homes, rather than taken from listings alone.
    pub(super) looks: bool,
    pub(super) policies: Policies,
    pub(super) keep_going: bool,
    pub(super) cache: Option<Arc<Cache>>,
}

/// An edge that cannot be decided or carried out, and why.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The edge.
    pub edge: &'a Edge,
    /// What came back.
    pub error: &'a Arc<oci::Error>,
}

impl Plan {
    /// The edges.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Every edge with what is to be done about it.
    pub fn decisions(&self) -> impl Iterator<Item = (&Edge, &Verdict)> {
        let all = self.edges.all().iter().zip(&self.verdicts);
        all.filter(|(edge, _)| self.is_about(edge.destination))
    }

    /// The edges that end in a repository, each with what is to be done about it.
    pub(super) fn decisions_at(
        &self,
        destination: Id<Repository>,
    ) -> impl Iterator<Item = (&Edge, &Verdict)> {
        let (first, edges) = self.edges.range_to(destination);
        let edges = if self.is_about(destination) { edges } else { &[] };
        edges.iter().zip(&self.verdicts[first..])
    }

    /// Whether the plan is about a destination.
    fn is_about(&self, destination: Id<Repository>) -> bool {
        self.round.as_ref().is_none_or(|round| round.contains(&destination))
    }

    /// Whether the run copies an image to a repository, or gives it a tag there.
    pub(super) fn changes(&self, destination: Id<Repository>, digest: Id<Digest>) -> bool {
        let mut edges = self.decisions_at(destination).filter(|(edge, _)| edge.digest == digest);
        edges.any(|(edge, verdict)| {
            matches!(verdict, Verdict::Copy | Verdict::Tag) && self.image(edge).is_some()
        })
    }

    /// Whether it was looked up what images lack at their homes: then it is known who signs.
    pub(crate) fn has_looked(&self) -> bool {
        self.owed.finished.is_some()
    }

    /// What is remembered from run to run, where anything is.
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    /// The images that lack something of what is attached to promoted images, as far as is known: see
    /// [`Summary::not_looked_at`]. In the order of repositories and digests.
    pub fn missing(&self) -> Vec<Missing<'_>> {
        let missing = self.owed.images.iter().map(|image| Missing {
            repository: self.edges.repository(image.subject.home),
            digest: self.edges.digest_name(image.subject.digest),
            lacks: image.lacks(),
            refused: image.refused.as_deref(),
        });
        let mut missing: Vec<_> = missing.filter(|image| !image.lacks.is_empty()).collect();
        missing.sort_by_key(|image| (image.repository, image.digest));
        missing
    }

    /// Whether an image that fails leaves the others alone.
    pub(super) fn keeps_going(&self) -> bool {
        self.keep_going
    }

    /// Whether the run has nothing to write, as far as is known: see [`Summary::not_looked_at`].
    pub fn is_empty(&self) -> bool {
        let is_due = |verdict: &Verdict| matches!(verdict, Verdict::Copy | Verdict::Tag | Verdict::Late);
        self.owed.images.is_empty()
            && self.owed.unread.is_empty()
            && !self.decisions().any(|(_, verdict)| is_due(verdict))
    }

    /// Why an edge cannot be decided or carried out: a registry does not answer, or the image cannot be read.
    pub fn failure(&self, edge: &Edge, verdict: &Verdict) -> Option<&Arc<oci::Error>> {
        match verdict {
            Verdict::Unreadable(lookup) => self.inventory.failure(lookup),
            Verdict::Copy | Verdict::Tag => self.images.get(&(edge.source, edge.digest))?.as_ref().err(),
            _ => None,
        }
    }

    /// The edges that cannot be decided or carried out, and why.
    pub fn failures(&self) -> impl Iterator<Item = Failure<'_>> {
        self.decisions()
            .filter_map(|(edge, verdict)| Some(Failure { edge, error: self.failure(edge, verdict)? }))
    }

    /// How many images cannot be brought to a repository, or cannot be decided there.
    pub(super) fn failed_targets(&self) -> usize {
        let failed = self.failures().map(|failure| (failure.edge.destination, failure.edge.digest));
        failed.collect::<HashSet<_>>().len()
    }

    /// The edges whose image is nowhere.
    pub fn lost(&self) -> impl Iterator<Item = &Edge> {
        self.decisions().filter(|(_, verdict)| **verdict == Verdict::Lost).map(|(edge, _)| edge)
    }

    /// The plan of both rounds.
    pub(super) fn with_second_round(self, second: Self) -> Self {
        let Some(late) = &second.round else { return self };
        let mut verdicts = self.verdicts;
        for ((edge, verdict), new) in second.edges.all().iter().zip(&mut verdicts).zip(second.verdicts) {
            if late.contains(&edge.destination) {
                *verdict = new;
            }
        }
        let mut owed = self.owed;
        owed.images.extend(second.owed.images);
        owed.not_looked_at += second.owed.not_looked_at;
        Self { verdicts, owed, round: None, ..second }
    }

    /// The edges that are not carried out where this plan is given up, but for those that cannot be decided.
    pub(super) fn due(&self) -> impl Iterator<Item = &Edge> {
        let is_due = |verdict: &Verdict| {
            matches!(
                verdict,
                Verdict::Copy | Verdict::Tag | Verdict::Moved(_) | Verdict::Unsupported(_) | Verdict::Late
            )
        };
        let due = self.decisions().filter(move |(_, verdict)| is_due(verdict));
        due.filter(|(edge, verdict)| self.failure(edge, verdict).is_none()).map(|(edge, _)| edge)
    }

    /// Why an edge must not be promoted, where it contradicts production.
    pub(super) fn refusal(&self, edge: &Edge) -> Option<String> {
        let mut decisions = self.decisions_at(edge.destination);
        let (edge, verdict) = decisions.find(|(other, _)| *other == edge)?;
        let reason = self.conflict(edge, verdict, false)?;
        Some(format!("{reason} ({})", self.edges.origin(edge)))
    }

    /// The images that are to be copied or tagged.
    pub(super) fn to_promote(&self) -> BTreeSet<ImageId> {
        let decided = self.decisions().filter(|(edge, verdict)| {
            matches!(verdict, Verdict::Copy | Verdict::Tag) && self.image(edge).is_some()
        });
        decided.map(|(edge, _)| (edge.source, edge.digest)).collect()
    }

    /// The images to which anything is owed: what is to be copied, tagged, signed, recorded or summarised.
    pub(super) fn to_examine(&self) -> BTreeSet<ImageId> {
        let mut images = self.to_promote();
        images.extend(self.owed.images.iter().flat_map(|image| &image.sources));
        images
    }

    /// The manifests of an image at home to which something can be attached, its own first, as that names them.
    ///
    /// No request where the image is to be copied; otherwise one, and one for each index below it.
    pub(super) async fn outline(
        &self,
        run: &Run,
        reader: &Reader,
        subject: &Subject,
    ) -> Result<Vec<Descriptor>, oci::Error> {
        let image = self.edges.repository(subject.home).at(*self.edges.digest_name(subject.digest));
        let read = edges_of(&self.edges, subject).find_map(|edge| self.image(edge));
        let outline = match read.filter(|graph| graph.is_whole()) {
            Some(graph) => graph.outline(),
            None => reader.outline(&image).await?,
        };
        let exempt = self.exempt(reader, subject, read, &outline).await?;
        let mut outline = outline.manifests;
        outline.retain(|part| !exempt.contains(&part.digest));
        let all = outline.len();
        outline.retain(|part| matches!(part.digest, Digest::Sha256(_)));
        if outline.len() < all {
            run.tell(&Event::Warned(format!(
                "parts of {image} are neither signed nor attested: they have no digest of the algorithm SHA-256, by which \
                 alone signatures name images"
            )));
        }
        Ok(outline)
    }

    /// The manifests of an image at home that are BuildKit's attestation manifests: they are neither signed nor summarised.
    ///
    /// One request for each that claims to be one, where the image has not been read from staging.
    async fn exempt(
        &self,
        reader: &Reader,
        subject: &Subject,
        read: Option<&Graph>,
        outline: &Outline,
    ) -> Result<HashSet<Digest>, oci::Error> {
        let home = self.edges.repository(subject.home);
        let indexes = || outline.indexes.iter().map(Vec::as_slice);
        let claims = indexes().flat_map(|siblings| {
            siblings.iter().filter(move |child| claims_exemption(siblings, child)).map(|child| child.digest)
        });
        let mut manifests = HashMap::new();
        for digest in claims.collect::<BTreeSet<Digest>>() {
            let node = read.and_then(|graph| graph.nodes().iter().find(|node| node.digest == digest));
            let manifest = match node {
                Some(node) => Ok(node.manifest.clone()),
                None => reader.manifest(home, Selector::Digest(digest)).await,
            };
            match manifest {
                Ok(manifest) => drop(manifests.insert(digest, manifest)),
                // What cannot be read is not exempt.
                Err(error) if is_about_content(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(exempt_parts(indexes(), |digest| manifests.get(digest)))
    }

    /// Takes in that it cannot be read what is attached to images: they are not promoted.
    pub(super) fn cannot_read(&mut self, run: &Run, unread: Vec<(ImageId, Arc<oci::Error>)>) {
        let mut new_advice = NewAdvice::default();
        for (image, error) in unread {
            let reference = self.edges.repository(image.0).at(*self.edges.digest_name(image.1));
            let problem = new_advice.of(&error);
            run.tell(&Event::Warned(format!("{reference} cannot be promoted: {problem}")));
            self.images.insert(image, Err(error));
        }
    }

    /// What a listing has shown of an image's evidence.
    pub(super) fn listed_tags(&self, repository: Id<Repository>, digest: &Digest) -> ListedTags {
        ListedTags {
            signatures: self.attached(repository, digest, AttachmentKind::Signature),
            attestations: self.attached(repository, digest, AttachmentKind::Attestation),
            referrers: self.fallback(repository, digest),
        }
    }

    /// The manifests of an image, as far as they have been read.
    pub(super) fn graph(&self, image: ImageId) -> Option<&Graph> {
        self.images.get(&image)?.as_ref().ok()
    }

    /// The image of an edge, where it has been read.
    pub(super) fn image(&self, edge: &Edge) -> Option<&Graph> {
        self.graph((edge.source, edge.digest))
    }

    /// What is to come of edges that bring one image to one repository.
    pub(super) fn promotion(&self, edges: &[&Edge]) -> Promotion {
        let Self { edges: names, .. } = self;
        Promotion {
            source: names.source(edges[0]).at(*names.digest(edges[0])),
            destination: names.destination(edges[0]).clone(),
            tags: self.tags(edges),
        }
    }

    /// The tags of edges.
    pub(super) fn tags(&self, edges: &[&Edge]) -> Vec<Tag> {
        edges.iter().filter_map(|edge| self.edges.tag(edge)).cloned().collect()
    }

    /// The manifests of an image that the destination of an edge is known to have.
    pub(super) fn present(&self, edge: &Edge, image: &Graph) -> HashSet<Digest> {
        let digests = image.nodes().iter().map(|node| node.digest);
        digests.filter(|digest| self.inventory.has(edge, digest, &self.edges)).collect()
    }

    /// What is known of the tag of what is attached to a manifest in a repository.
    pub(super) fn attached(&self, home: Id<Repository>, digest: &Digest, kind: AttachmentKind) -> Known {
        known(&self.inventory.attached(home, digest, Some(kind)))
    }

    /// What is known of the fallback tag of a manifest's referrers in a repository.
    pub(super) fn fallback(&self, home: Id<Repository>, digest: &Digest) -> Known {
        known(&self.inventory.attached(home, digest, None))
    }

    /// Whether something may refer to a manifest in a repository. To what this run has brought there, nothing does that it
    /// has not written itself.
    pub(super) fn may_have_referrers(&self, home: Id<Repository>, digest: &Digest) -> bool {
        !self.inventory.lacks(home, digest, &self.edges)
    }

    /// Why an edge must not be promoted; with `strict`, also because staging has lost its image.
    pub(super) fn conflict(&self, edge: &Edge, verdict: &Verdict, strict: bool) -> Option<String> {
        let refused = |media_type| InvalidManifest::Unsupported(media_type).to_string();
        match verdict {
            Verdict::Moved(held) => {
                let wanted = self.edges.digest(edge);
                Some(format!(
                    "the tag is {held} in production, is to be {wanted}, and tags of production never move"
                ))
            }
            Verdict::Unsupported(media_type) => Some(refused(MediaType::clone(media_type))),
            Verdict::Lost if strict => {
                Some(format!("{} has lost {}", self.edges.source(edge), self.edges.digest(edge)))
            }
            Verdict::Copy | Verdict::Tag => {
                match self.images.get(&(edge.source, edge.digest))?.as_ref().err()?.kind() {
                    oci::ErrorKind::Manifest(InvalidManifest::Unsupported(media_type)) => {
                        Some(refused(media_type.clone()))
                    }
                    _ => None,
                }
            }
            Verdict::Done
            | Verdict::DoneWithoutSource
            | Verdict::Lost
            | Verdict::Unreadable(_)
            | Verdict::Late => None,
        }
    }

    /// Says what a person should know although it stops nothing.
    pub(super) fn warn(&self, run: &Run) {
        for (edge, verdict) in self.decisions() {
            let (source, digest) = (self.edges.source(edge), self.edges.digest(edge));
            let reference = self.edges.reference(edge);
            match verdict {
                Verdict::Lost => {
                    let origin = self.edges.origin(edge);
                    let text = format!(
                        "lost: {source}@{digest} is gone, and {reference} does not have it ({origin})"
                    );
                    run.tell(&Event::Lost(text));
                }
                Verdict::DoneWithoutSource => {
                    run.tell(&Event::Warned(format!("{reference} is promoted, but {source} has lost it")));
                }
                _ => {}
            }
        }
        let (mut told, mut new_advice) = (HashSet::new(), NewAdvice::default());
        for failure in self.failures().filter(|failure| told.insert(Arc::as_ptr(failure.error))) {
            let reference = self.edges.reference(failure.edge);
            let problem = new_advice.of(failure.error);
            run.tell(&Event::Warned(format!("{reference} and others cannot be promoted: {problem}")));
        }
    }
}

/// Converts to what `oci` takes before it asks for a tag.
fn known(presence: &Presence<()>) -> Known {
    match presence {
        Presence::Absent => Known::Absent,
        Presence::Present(()) => Known::Present,
        Presence::Unknown => Known::Unknown,
    }
}
