//! The decision about an edge: a pure function of the edge and of what is known.
//!
//! Where something that matters is not known, the decision is a question. Planning asks all questions of all edges, takes
//! in the answers, and decides again, so that nothing is asked that does not matter.

use oci::{Digest, MediaType, Repository, Tag};

use crate::edge::{Edge, Edges};
use crate::intern::Id;
use crate::inventory::{Inventory, Known};

/// What is to be done about an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: production has it.
    Done,
    /// Nothing: production has it, though staging has lost it. Worth a warning.
    DoneWithoutSource,
    /// Copy the image.
    Copy,
    /// Write the tag: the image is there.
    Tag,
    /// Nothing can be done: neither production nor staging has it.
    Lost,
    /// The tag names another digest in production, and tags of production never move.
    Moved(Digest),
    /// An image of a kind that cannot be copied.
    Unsupported(MediaType),
    /// Nobody knows: a registry does not answer this.
    Unreadable(Question),
}

/// What has to be known before an edge can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// Which digest does this tag name?
    Tag(Id<Repository>, Id<Tag>),
    /// Does the repository have this manifest?
    Digest(Id<Repository>, Id<Digest>),
}

impl Question {
    /// The repository that is asked.
    pub fn repository(self) -> Id<Repository> {
        match self {
            Self::Tag(repository, _) | Self::Digest(repository, _) => repository,
        }
    }
}

/// Why an edge is not decided.
enum Open {
    Ask(Question),
    Unreadable(Question),
}

/// Decides an edge.
///
/// # Errors
/// The question whose answer is missing.
pub fn decide(edge: &Edge, edges: &Edges, inventory: &Inventory) -> Result<Verdict, Question> {
    match weigh(edge, edges, inventory) {
        Ok(verdict) => Ok(verdict),
        Err(Open::Unreadable(question)) => Ok(Verdict::Unreadable(question)),
        Err(Open::Ask(question)) => Err(question),
    }
}

fn weigh(edge: &Edge, edges: &Edges, inventory: &Inventory) -> Result<Verdict, Open> {
    match edge.tag {
        Some(tag) => match inventory.tag(edge.destination, tag) {
            Known::Present(digest) if digest == *edges.digest(edge) => Ok(Verdict::Done),
            Known::Present(other) => Ok(Verdict::Moved(other)),
            Known::Absent => missing(edge, inventory),
            Known::Unknown => Err(open(inventory, Question::Tag(edge.destination, tag))),
        },
        None => match holds(inventory, edge.destination, edge.digest)? {
            Some(_) if holds(inventory, edge.source, edge.digest)?.is_some() => Ok(Verdict::Done),
            Some(_) => Ok(Verdict::DoneWithoutSource),
            None => missing(edge, inventory),
        },
    }
}

/// Decides an edge whose tag, or whose image where it has no tag, production lacks. Staging is asked first: what it has
/// lost is not looked for in 22 regions.
fn missing(edge: &Edge, inventory: &Inventory) -> Result<Verdict, Open> {
    match holds(inventory, edge.source, edge.digest)? {
        None => Ok(Verdict::Lost),
        Some(media_type) if is_refused(media_type) => Ok(Verdict::Unsupported(media_type.clone())),
        Some(_) if holds(inventory, edge.destination, edge.digest)?.is_some() => Ok(Verdict::Tag),
        Some(_) => Ok(Verdict::Copy),
    }
}

/// Kinds that are known not to be copied. Of kinds that nobody knows, reading the manifest will tell.
fn is_refused(media_type: &MediaType) -> bool {
    matches!(media_type, MediaType::DockerSchema1 | MediaType::OciArtifact)
}

/// The kind of a manifest that a repository has; `None` where it has it not.
fn holds(
    inventory: &Inventory,
    repository: Id<Repository>,
    digest: Id<Digest>,
) -> Result<Option<&MediaType>, Open> {
    match inventory.digest(repository, digest) {
        Known::Present(media_type) => Ok(Some(media_type)),
        Known::Absent => Ok(None),
        Known::Unknown => Err(open(inventory, Question::Digest(repository, digest))),
    }
}

fn open(inventory: &Inventory, question: Question) -> Open {
    match inventory.failure(&question) {
        Some(_) => Open::Unreadable(question),
        None => Open::Ask(question),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use oci::{Head, ListedManifest, Listing};

    use super::*;
    use crate::manifest::{Destination, Image, Manifest, Manifests, Position, Wish};

    const AT: Position = Position { line: 1, column: 1 };

    /// The one edge of a manifest, with or without the tag `v1`.
    fn one_edge(tagged: bool) -> Edges {
        let tags = if tagged { vec![("v1".parse().unwrap(), AT)] } else { Vec::new() };
        let image = Image {
            name: "app".parse().unwrap(),
            digests: vec![Wish { digest: Digest::of(b"app"), position: AT, tags }],
        };
        let manifest = Manifest {
            name: "p".into(),
            images_file: "f".into(),
            source: "s.io".parse().unwrap(),
            destinations: vec![Destination { root: "d.io".parse().unwrap(), service_account: None }],
            images: vec![image],
        };
        Edges::new(&Manifests { manifests: vec![manifest], warnings: Vec::new() }).unwrap()
    }

    /// A repository that holds manifests of these contents, with or without the tag `v1`, listed in full.
    fn holding(content: &[(&[u8], bool)]) -> Listing {
        let manifests: HashMap<Digest, ListedManifest> = content
            .iter()
            .map(|(content, tagged)| {
                let tags = tagged.then(|| "v1".parse().unwrap()).into_iter().collect();
                (Digest::of(content), ListedManifest { media_type: MediaType::OciIndex, tags })
            })
            .collect();
        let tags = manifests.values().flat_map(|manifest| manifest.tags.clone()).collect();
        Listing { tags, manifests: Some(manifests) }
    }

    fn verdict(tagged: bool, destination: &[(&[u8], bool)], source: &[(&[u8], bool)]) -> Verdict {
        let edges = one_edge(tagged);
        let edge = edges.all()[0];
        let mut inventory = Inventory::default();
        inventory.listed(edge.source, Some(&holding(source)), &edges);
        inventory.listed(edge.destination, Some(&holding(destination)), &edges);
        decide(&edge, &edges, &inventory).unwrap()
    }

    /// The table of the plan, row by row.
    #[test]
    fn what_destination_and_source_hold_decides() {
        let (app, other): (&[u8], &[u8]) = (b"app", b"other");
        for (tagged, destination, source, expected) in [
            (true, vec![(app, true)], vec![], Verdict::Done),
            (true, vec![(app, true)], vec![(app, false)], Verdict::Done),
            (false, vec![(app, false)], vec![(app, false)], Verdict::Done),
            (false, vec![(app, false)], vec![], Verdict::DoneWithoutSource),
            (true, vec![(other, true)], vec![(app, false)], Verdict::Moved(Digest::of(other))),
            (true, vec![(other, true), (app, false)], vec![(app, false)], Verdict::Moved(Digest::of(other))),
            (true, vec![], vec![], Verdict::Lost),
            (true, vec![(app, false)], vec![], Verdict::Lost),
            (false, vec![], vec![(other, true)], Verdict::Lost),
            (true, vec![], vec![(app, false)], Verdict::Copy),
            (false, vec![(other, true)], vec![(app, false)], Verdict::Copy),
            (true, vec![(app, false)], vec![(app, false)], Verdict::Tag),
        ] {
            assert_eq!(
                verdict(tagged, &destination, &source),
                expected,
                "{tagged} {destination:?} {source:?}"
            );
        }
    }

    /// Where listings tell no digests, questions are asked in the order that spares most of them.
    #[test]
    fn staging_is_asked_before_production() {
        let edges = one_edge(true);
        let edge = edges.all()[0];
        let mut inventory = Inventory::default();
        let none = Listing::default();
        inventory.listed(edge.source, Some(&none), &edges);
        inventory.listed(edge.destination, Some(&none), &edges);
        assert_eq!(decide(&edge, &edges, &inventory), Err(Question::Digest(edge.source, edge.digest)));
        inventory.digest_answered(edge.source, edge.digest, None);
        assert_eq!(decide(&edge, &edges, &inventory), Ok(Verdict::Lost), "production is not asked");

        let head = Head { digest: Digest::of(b"app"), media_type: MediaType::OciIndex };
        inventory.digest_answered(edge.source, edge.digest, Some(head.clone()));
        assert_eq!(decide(&edge, &edges, &inventory), Err(Question::Digest(edge.destination, edge.digest)));
        inventory.digest_answered(edge.destination, edge.digest, Some(head));
        assert_eq!(decide(&edge, &edges, &inventory), Ok(Verdict::Tag));
    }
}
