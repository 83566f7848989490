//! The plan: the verdict of each edge, the images to copy, and what images lack.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use manifest::Id;
use manifest::policy::Policies;
use manifest::{Edge, Edges, ImageId};
use oci::{
    AttachmentKind, Descriptor, Digest, Graph, InvalidManifest, Known, MediaType, Reader, Repository, Tag,
};
use trust::evidence::ListedTags;
use trust::{ImageManifests, NewAdvice, Problem};

use crate::cache::Cache;
use crate::decide::Verdict;
use crate::event::{Event, Promotion, Run};
use crate::inventory::{Inventory, Known as Presence};
use crate::phase::completion::Scope;
use crate::phase::owed::{Missing, Owed};
use crate::subject::{Subject, edges_of};

/// The verdicts of all edges, the images to copy as read from staging, and what images lack in their canonical repositories.
#[derive(Debug)]
pub struct Plan {
    pub(super) edges: Arc<Edges>,
    /// The verdict of each edge.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) inventory: Inventory,
    pub(super) images: HashMap<ImageId, Result<Graph, Arc<oci::Error>>>,
    /// The destinations of this round. `None` means all destinations.
    pub(super) round: Option<BTreeSet<Id<Repository>>>,
    pub(super) owed: Owed,
    /// Whether the run reads what is attached to images in their canonical repositories, rather than relying on listings alone.
    pub(super) checks_attached: bool,
    pub(super) scope: Scope,
    pub(super) policies: Policies,
    pub(super) keep_going: bool,
    pub(super) cache: Option<Arc<Cache>>,
}

/// An edge that cannot be decided or carried out.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The edge.
    pub edge: &'a Edge,
    /// The error that prevents it.
    pub error: &'a Arc<oci::Error>,
}

impl Plan {
    /// Returns all edges, including those of other rounds.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// Returns the edges that this plan promotes, with their verdicts.
    pub fn decisions(&self) -> impl Iterator<Item = (&Edge, &Verdict)> {
        self.all_decisions().filter(|(edge, _)| self.edges.promotes(edge))
    }

    /// Returns the edges of this plan with their verdicts, including those that are only repaired.
    pub(super) fn all_decisions(&self) -> impl Iterator<Item = (&Edge, &Verdict)> {
        let all = self.edges.all().iter().zip(&self.verdicts);
        all.filter(|(edge, _)| self.is_about(edge.destination))
    }

    /// Returns the edges whose destination is this repository, with their verdicts.
    pub(super) fn decisions_at(
        &self,
        destination: Id<Repository>,
    ) -> impl Iterator<Item = (&Edge, &Verdict)> {
        let (first, edges) = self.edges.range_to(destination);
        let edges = if self.is_about(destination) { edges } else { &[] };
        edges.iter().zip(&self.verdicts[first..])
    }

    /// Returns whether a destination belongs to the round of this plan.
    fn is_about(&self, destination: Id<Repository>) -> bool {
        self.round.as_ref().is_none_or(|round| round.contains(&destination))
    }

    /// Returns whether the run copies an image to a repository or tags it there.
    pub(super) fn changes(&self, destination: Id<Repository>, digest: Id<Digest>) -> bool {
        let mut edges = self.decisions_at(destination).filter(|(edge, _)| edge.digest == digest);
        edges.any(|(edge, verdict)| self.is_brought(edge, verdict))
    }

    /// Returns whether the run copies the image of an edge or tags it.
    pub(super) fn is_brought(&self, edge: &Edge, verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Copy | Verdict::Tag)
            && self.edges.promotes(edge)
            && self.image(edge).is_some()
    }

    /// Returns the edges of an image at its canonical repository that production has or may get. This excludes tags that can no
    /// longer be written because staging has lost the image, and missing tags of an image that is only repaired.
    pub(super) fn possible(&self, subject: &Subject) -> impl Iterator<Item = (&Edge, &Verdict)> {
        let digest = subject.digest;
        self.decisions_at(subject.canonical).filter(move |(edge, verdict)| {
            let is_there = matches!(verdict, Verdict::Done | Verdict::DoneWithoutSource);
            edge.digest == digest && **verdict != Verdict::Lost && (is_there || self.edges.promotes(edge))
        })
    }

    /// Returns whether the run has read what is attached to images in their canonical repositories. If so, signers are available.
    pub(crate) fn has_looked(&self) -> bool {
        self.owed.finished.is_some()
    }

    /// Returns the cache, if there is one.
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    /// Returns the images that are known to lack attachments, ordered by repository and digest. For the others see
    /// [`Summary::not_looked_at`](crate::phase::Summary::not_looked_at).
    pub fn missing(&self) -> Vec<Missing<'_>> {
        let missing = self.owed.images.iter().map(|image| Missing {
            repository: self.edges.repository(image.subject.canonical),
            digest: self.edges.digest_name(image.subject.digest),
            lacks: image.lacks(),
            refused: image.refused.as_deref(),
        });
        let mut missing: Vec<_> = missing.filter(|image| !image.lacks.is_empty()).collect();
        missing.sort_by_key(|image| (image.repository, image.digest));
        missing
    }

    /// Returns whether the run continues after an image has failed.
    pub(super) fn keeps_going(&self) -> bool {
        self.keep_going
    }

    /// Returns whether the run has nothing to write, as far as is known. See
    /// [`Summary::not_looked_at`](crate::phase::Summary::not_looked_at).
    pub fn is_empty(&self) -> bool {
        let is_due = |verdict: &Verdict| matches!(verdict, Verdict::Copy | Verdict::Tag | Verdict::Late);
        self.owed.images.is_empty()
            && self.owed.unread.is_empty()
            && !self.decisions().any(|(_, verdict)| is_due(verdict))
    }

    /// Returns the error that prevents an edge from being decided or carried out: a registry does not answer, or the image
    /// cannot be read.
    pub fn failure(&self, edge: &Edge, verdict: &Verdict) -> Option<&Arc<oci::Error>> {
        match verdict {
            Verdict::Unreadable(lookup) => self.inventory.failure(lookup),
            Verdict::Copy | Verdict::Tag => self.images.get(&(edge.source, edge.digest))?.as_ref().err(),
            _ => None,
        }
    }

    /// Returns the edges that cannot be decided or carried out.
    pub fn failures(&self) -> impl Iterator<Item = Failure<'_>> {
        self.decisions()
            .filter_map(|(edge, verdict)| Some(Failure { edge, error: self.failure(edge, verdict)? }))
    }

    /// Returns the number of images, counted once per destination, that cannot be decided or promoted.
    pub(super) fn failed_targets(&self) -> usize {
        let failed = self.failures().map(|failure| (failure.edge.destination, failure.edge.digest));
        failed.collect::<HashSet<_>>().len()
    }

    /// Returns the edges whose image is in neither staging nor production.
    pub fn lost(&self) -> impl Iterator<Item = &Edge> {
        self.decisions().filter(|(_, verdict)| **verdict == Verdict::Lost).map(|(edge, _)| edge)
    }

    /// Merges the plans of both rounds.
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

    /// Returns the edges that are not carried out if this plan is given up, except those that cannot be decided.
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

    /// Returns the reason why an edge must not be promoted, if it conflicts with production or its image is unsupported.
    pub(super) fn refusal(&self, edge: &Edge) -> Option<String> {
        let mut decisions = self.decisions_at(edge.destination);
        let (edge, verdict) = decisions.find(|(other, _)| *other == edge)?;
        let reason = self.conflict(edge, verdict, false)?;
        Some(format!("{reason} ({})", self.edges.origin(edge)))
    }

    /// Returns the images to copy or tag.
    pub(super) fn to_promote(&self) -> BTreeSet<ImageId> {
        let decided = self.decisions().filter(|(edge, verdict)| {
            matches!(verdict, Verdict::Copy | Verdict::Tag) && self.image(edge).is_some()
        });
        decided.map(|(edge, _)| (edge.source, edge.digest)).collect()
    }

    /// Returns the images that lack anything: those to copy, tag, sign, record or summarise.
    pub(super) fn to_examine(&self) -> BTreeSet<ImageId> {
        let mut images = self.to_promote();
        let repaired = self.owed.images.iter().filter(|image| image.barred.is_none());
        images.extend(repaired.flat_map(|image| &image.sources));
        images
    }

    /// Returns the manifests of an image to which something can be attached in the canonical repository. The manifest of the
    /// image itself comes first.
    ///
    /// No requests if the image is to be copied. Otherwise one request for the image, one for each index in it, and one for each
    /// entry that claims to be BuildKit's attestation manifest.
    pub(super) async fn outline(
        &self,
        run: &Run,
        reader: &Reader,
        subject: &Subject,
    ) -> Result<Vec<Descriptor>, oci::Error> {
        let image = self.edges.repository(subject.canonical).at(*self.edges.digest_name(subject.digest));
        let read = edges_of(&self.edges, subject).find_map(|edge| self.image(edge));
        let outline = match read.filter(|graph| graph.is_whole()) {
            Some(graph) => graph.outline(),
            None => reader.outline(&image).await?,
        };
        let repository = self.edges.repository(subject.canonical);
        // BuildKit's attestation manifests are neither signed nor summarised.
        let exempt = ImageManifests { reader, repository, graph: read }.exempt(&outline).await?;
        let mut outline = outline.manifests;
        outline.retain(|part| !exempt.contains(&part.digest));
        let all = outline.len();
        outline.retain(|part| matches!(part.digest, Digest::Sha256(_)));
        if outline.len() < all {
            run.emit(&Event::Warned(format!(
                "parts of {image} are neither signed nor attested: signatures need SHA-256 digests, and \
                 these parts have others"
            )));
        }
        Ok(outline)
    }

    /// Records that the attachments of images cannot be read. These images are not promoted.
    pub(super) fn cannot_read(&mut self, run: &Run, unread: Vec<(ImageId, Arc<oci::Error>)>) {
        let mut new_advice = NewAdvice::default();
        for (image, error) in unread {
            let reference = self.edges.repository(image.0).at(*self.edges.digest_name(image.1));
            let problem = new_advice.of(&error);
            run.emit(&Event::Warned(format!("{reference} cannot be promoted: {problem}")));
            self.images.insert(image, Err(error));
        }
    }

    /// Returns what listings have shown of the tags that hold an image's evidence.
    pub(super) fn listed_tags(&self, repository: Id<Repository>, digest: &Digest) -> ListedTags {
        ListedTags {
            signatures: self.attached(repository, digest, AttachmentKind::Signature),
            attestations: self.attached(repository, digest, AttachmentKind::Attestation),
            referrers: self.fallback(repository, digest),
        }
    }

    /// Returns the manifests of an image, as far as they have been read.
    pub(super) fn graph(&self, image: ImageId) -> Option<&Graph> {
        self.images.get(&image)?.as_ref().ok()
    }

    /// Returns the image of an edge, if it has been read.
    pub(super) fn image(&self, edge: &Edge) -> Option<&Graph> {
        self.graph((edge.source, edge.digest))
    }

    /// Returns the promotion that these edges describe. They all bring the same image to the same repository.
    pub(super) fn promotion(&self, edges: &[&Edge]) -> Promotion {
        let Self { edges: names, .. } = self;
        Promotion {
            source: names.source(edges[0]).at(*names.digest(edges[0])),
            destination: names.destination(edges[0]).clone(),
            tags: self.tags(edges),
        }
    }

    /// Returns the tags of the edges.
    pub(super) fn tags(&self, edges: &[&Edge]) -> Vec<Tag> {
        edges.iter().filter_map(|edge| self.edges.tag(edge)).cloned().collect()
    }

    /// Returns the manifests of an image that the destination of an edge is known to have.
    pub(super) fn present(&self, edge: &Edge, image: &Graph) -> HashSet<Digest> {
        let digests = image.nodes().iter().map(|node| node.digest);
        digests.filter(|digest| self.inventory.has(edge, digest, &self.edges)).collect()
    }

    /// Returns what is known about the tag of an attachment to a manifest.
    pub(super) fn attached(&self, canonical: Id<Repository>, digest: &Digest, kind: AttachmentKind) -> Known {
        known(&self.inventory.attached(canonical, digest, Some(kind)))
    }

    /// Returns what is known about the fallback tag for the referrers of a manifest.
    pub(super) fn fallback(&self, canonical: Id<Repository>, digest: &Digest) -> Known {
        known(&self.inventory.attached(canonical, digest, None))
    }

    /// Returns whether a manifest in a repository may have referrers. A manifest that is new in this run has only those that
    /// the run attaches itself.
    pub(super) fn may_have_referrers(&self, canonical: Id<Repository>, digest: &Digest) -> bool {
        !self.inventory.lacks(canonical, digest, &self.edges)
    }

    /// Returns the reason why an edge must not be promoted. With `strict`, an image that staging has lost is also a conflict.
    pub(super) fn conflict(&self, edge: &Edge, verdict: &Verdict, strict: bool) -> Option<String> {
        let refused = |media_type| InvalidManifest::Unsupported(media_type).to_string();
        match verdict {
            Verdict::Moved(held) => {
                let wanted = self.edges.digest(edge);
                Some(format!(
                    "the tag is {held} in production and would move to {wanted}; production tags never move"
                ))
            }
            Verdict::Unsupported(media_type) => Some(refused(MediaType::clone(media_type))),
            Verdict::Lost if strict => {
                Some(format!("{} no longer has {}", self.edges.source(edge), self.edges.digest(edge)))
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

    /// Warns about lost images and about failures that do not stop the run.
    pub(super) fn warn(&self, run: &Run) {
        for (edge, verdict) in self.decisions() {
            let (source, digest) = (self.edges.source(edge), self.edges.digest(edge));
            let reference = self.edges.reference(edge);
            match verdict {
                Verdict::Lost => {
                    let origin = self.edges.origin(edge);
                    let text = format!(
                        "lost: {source}@{digest} no longer exists, and {reference} does not have it \
                         ({origin})"
                    );
                    run.emit(&Event::Lost(text));
                }
                Verdict::DoneWithoutSource => {
                    run.emit(&Event::Warned(format!(
                        "{reference} is promoted, but {source} no longer has it"
                    )));
                }
                _ => {}
            }
        }
        for GroupedFailure { reference, edges, problem } in self.grouped_failures() {
            let others = match edges - 1 {
                0 => String::new(),
                1 => " and one other".to_owned(),
                others => format!(" and {others} others"),
            };
            run.emit(&Event::Warned(format!("{reference}{others} cannot be promoted: {problem}")));
        }
    }

    /// Groups the failures by cause: a problem of a registry concerns all its repositories.
    fn grouped_failures(&self) -> Vec<GroupedFailure> {
        let mut groups: Vec<GroupedFailure> = Vec::new();
        let (mut of_error, mut of_cause) = (HashMap::new(), HashMap::new());
        let mut new_advice = NewAdvice::default();
        for failure in self.failures() {
            let group = *of_error.entry(Arc::as_ptr(failure.error)).or_insert_with(|| {
                let problem = new_advice.of(failure.error);
                *of_cause.entry(problem.group().to_owned()).or_insert_with(|| {
                    let reference = self.edges.reference(failure.edge).to_string();
                    groups.push(GroupedFailure { reference, edges: 0, problem });
                    groups.len() - 1
                })
            });
            groups[group].edges += 1;
        }
        groups
    }
}

/// The edges that fail for the same reason.
struct GroupedFailure {
    /// The first of them.
    reference: String,
    /// Their number.
    edges: usize,
    problem: Problem,
}

/// Converts to the type that `oci` expects.
fn known(presence: &Presence<()>) -> Known {
    match presence {
        Presence::Absent => Known::Absent,
        Presence::Present(()) => Known::Present,
        Presence::Unknown => Known::Unknown,
    }
}
