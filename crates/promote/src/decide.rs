//! The decision about an edge: a pure function of the edge and of what is known.
//!
//! Where something that matters is not known, the decision is a question. Planning asks all questions of all edges, takes
//! in the answers, and decides again, so that nothing is asked that does not matter.

use manifest::Id;
use manifest::{Edge, Edges};
use oci::{Digest, MediaType, Repository};

use crate::inventory::{Inventory, Known, Lookup};

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
    Moved(Box<Digest>),
    /// An image of a kind that cannot be copied.
    Unsupported(Box<MediaType>),
    /// Nobody knows: a registry does not answer this.
    Unreadable(Lookup),
    /// Nobody knows yet: the others do not wait for the registry, which is asked again when they are done.
    Late,
}

/// Why an edge is not decided.
enum Open {
    Ask(Lookup),
    Unreadable(Lookup),
}

/// Decides an edge.
///
/// # Errors
/// The question whose answer is missing.
pub fn decide(edge: &Edge, edges: &Edges, inventory: &Inventory) -> Result<Verdict, Lookup> {
    match verdict_of(edge, edges, inventory) {
        Ok(verdict) => Ok(verdict),
        Err(Open::Unreadable(lookup)) => Ok(Verdict::Unreadable(lookup)),
        Err(Open::Ask(lookup)) => Err(lookup),
    }
}

fn verdict_of(edge: &Edge, edges: &Edges, inventory: &Inventory) -> Result<Verdict, Open> {
    if inventory.is_settled(edge.destination) {
        return Ok(Verdict::Done);
    }
    if inventory.is_late(edge.destination) {
        return Ok(Verdict::Late);
    }
    match edge.tag {
        Some(tag) => match inventory.tag(edge.destination, tag, edges) {
            Known::Present(digest) if digest == edges.digest(edge) => Ok(Verdict::Done),
            Known::Present(other) => Ok(Verdict::Moved(Box::new(*other))),
            Known::Absent => missing(edge, edges, inventory),
            Known::Unknown => Err(open(inventory, Lookup::Tag(edge.destination, tag))),
        },
        None => match holds(inventory, edge.destination, edge.digest)? {
            Some(_) => match source_holds(edge, edges, inventory) {
                Ok(None) => Ok(Verdict::DoneWithoutSource),
                // Production has it: that staging does not say whether it has it, too, changes nothing.
                Ok(Some(_)) | Err(Open::Unreadable(_)) => Ok(Verdict::Done),
                Err(open) => Err(open),
            },
            None => missing(edge, edges, inventory),
        },
    }
}

/// Decides an edge whose tag, or whose image where it has no tag, production lacks. Staging is asked first: what it has
/// lost is not looked for in 22 regions.
fn missing(edge: &Edge, edges: &Edges, inventory: &Inventory) -> Result<Verdict, Open> {
    match source_holds(edge, edges, inventory)? {
        None => Ok(Verdict::Lost),
        Some(media_type) if is_refused(media_type) => Ok(Verdict::Unsupported(Box::new(media_type.clone()))),
        // Whether a repository that is denied holds the image without tags does not matter: what is there is found while copying.
        Some(_) if edge.tag.is_some() && inventory.is_denied(edge.destination) => Ok(Verdict::Copy),
        Some(_) if holds(inventory, edge.destination, edge.digest)?.is_some() => Ok(Verdict::Tag),
        Some(_) => Ok(Verdict::Copy),
    }
}

/// The kind of an edge's image in staging; `None` only where every staging repository of the edge was asked for it by itself
/// and does not have it.
fn source_holds<'a>(
    edge: &Edge,
    edges: &Edges,
    inventory: &'a Inventory,
) -> Result<Option<&'a MediaType>, Open> {
    let mut undecided = None;
    for source in edges.sources(edge) {
        match staged(source, edge.digest, inventory) {
            Ok(Some(media_type)) => return Ok(Some(media_type)),
            Ok(None) => {}
            Err(ask @ Open::Ask(_)) => return Err(ask),
            Err(unreadable) => undecided = Some(unreadable),
        }
    }
    undecided.map_or(Ok(None), Err)
}

/// The kind of an image in one staging repository; `None` only where it was asked for by itself.
fn staged(
    source: Id<Repository>,
    digest: Id<Digest>,
    inventory: &Inventory,
) -> Result<Option<&MediaType>, Open> {
    match holds(inventory, source, digest)? {
        None if !inventory.was_denied(source, digest) => Err(open(inventory, Lookup::Digest(source, digest))),
        found => Ok(found),
    }
}

/// The first staging repository of an edge that is known to have its image; the one that serves it now where none is.
pub(crate) fn serving(edges: &Edges, edge: &Edge, inventory: &Inventory) -> Id<Repository> {
    let has_it = |source: &Id<Repository>| matches!(staged(*source, edge.digest, inventory), Ok(Some(_)));
    edges.sources(edge).find(has_it).unwrap_or(edge.source)
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
        Known::Unknown => Err(open(inventory, Lookup::Digest(repository, digest))),
    }
}

fn open(inventory: &Inventory, lookup: Lookup) -> Open {
    match inventory.failure(&lookup) {
        Some(_) => Open::Unreadable(lookup),
        None => Open::Ask(lookup),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use manifest::{Destination, DigestTags, Image, Manifest, Manifests, Position};
    use oci::Tag;
    use oci::{Anonymous, Client, Found, Head, Listed, ListedManifest, Selector};
    use registry::{Config, Server};
    use transport::{Door, Settings};

    use super::*;
    use crate::inventory::ListingBuilder;

    const AT: Position = Position { line: 1, column: 1 };

    /// The one edge of a manifest, with or without the tag `v1`.
    fn one_edge(tagged: bool) -> Edges {
        let tags = if tagged { vec![("v1".parse().unwrap(), AT)] } else { Vec::new() };
        let image = Image {
            name: "app".parse().unwrap(),
            digests: vec![DigestTags { digest: Digest::of(b"app"), position: AT, tags }],
        };
        let manifest = Manifest {
            name: "p".into(),
            images_file: "f".into(),
            source: "s.io".parse().unwrap(),
            destinations: vec![Destination { root: "d.io".parse().unwrap(), service_account: None }],
            unchanged: Vec::new(),
            images: vec![image],
        };
        Edges::new(&Manifests { manifests: vec![manifest], ..Manifests::default() }).unwrap()
    }

    /// The proof that a registry does not have something, which only an answer of a registry makes.
    async fn absent() -> Found<Head> {
        let server = Server::start(Config::default()).await.unwrap();
        let door = Door::open(Settings::default()).unwrap();
        let client = Client::new(door, Arc::new(Anonymous), Default::default());
        let repository = Repository { host: server.host().clone(), path: "app".parse().unwrap() };
        client.reader().head(&repository, Selector::Digest(Digest::of(b"app"))).await.unwrap()
    }

    /// What is wished a million times is small.
    #[test]
    fn a_verdict_takes_two_words() {
        assert!(size_of::<Verdict>() <= 16, "{}", size_of::<Verdict>());
    }

    /// Takes in that a repository holds manifests of these contents, with or without the tag `v1`, listed in full.
    fn list(inventory: &mut Inventory, edges: &Edges, repository: Id<Repository>, content: &[(&[u8], bool)]) {
        let mut draft = ListingBuilder::new(edges, repository);
        draft.take(Listed::Manifests);
        for (content, tagged) in content {
            let tags: Vec<Tag> = tagged.then(|| "v1".parse().unwrap()).into_iter().collect();
            tags.iter().cloned().for_each(|tag| draft.take(Listed::Tag(tag)));
            let (digest, media_type) = (Digest::of(content), MediaType::OciIndex);
            draft.take(Listed::Manifest(ListedManifest { digest, media_type, tags }));
        }
        inventory.listed(draft, &Found::Present(()));
    }

    fn verdict(
        tagged: bool,
        destination: &[(&[u8], bool)],
        source: &[(&[u8], bool)],
        absent: &Found<Head>,
    ) -> Verdict {
        let edges = one_edge(tagged);
        let edge = edges.all()[0];
        let mut inventory = Inventory::default();
        list(&mut inventory, &edges, edge.source, source);
        list(&mut inventory, &edges, edge.destination, destination);
        decide(&edge, &edges, &inventory).unwrap_or_else(|lookup| {
            // That a list does not show an image does not make it lost: it is asked for by itself.
            assert_eq!(lookup, Lookup::Digest(edge.source, edge.digest));
            inventory.digest_answered(edge.source, edge.digest, absent.clone());
            decide(&edge, &edges, &inventory).unwrap()
        })
    }

    /// The table of the plan, row by row.
    #[tokio::test]
    async fn what_destination_and_source_hold_decides() {
        let absent = absent().await;
        let (app, other): (&[u8], &[u8]) = (b"app", b"other");
        for (tagged, destination, source, expected) in [
            (true, vec![(app, true)], vec![], Verdict::Done),
            (true, vec![(app, true)], vec![(app, false)], Verdict::Done),
            (false, vec![(app, false)], vec![(app, false)], Verdict::Done),
            (false, vec![(app, false)], vec![], Verdict::DoneWithoutSource),
            (true, vec![(other, true)], vec![(app, false)], Verdict::Moved(Box::new(Digest::of(other)))),
            (
                true,
                vec![(other, true), (app, false)],
                vec![(app, false)],
                Verdict::Moved(Box::new(Digest::of(other))),
            ),
            (true, vec![], vec![], Verdict::Lost),
            (true, vec![(app, false)], vec![], Verdict::Lost),
            (false, vec![], vec![(other, true)], Verdict::Lost),
            (true, vec![], vec![(app, false)], Verdict::Copy),
            (false, vec![(other, true)], vec![(app, false)], Verdict::Copy),
            (true, vec![(app, false)], vec![(app, false)], Verdict::Tag),
        ] {
            assert_eq!(
                verdict(tagged, &destination, &source, &absent),
                expected,
                "{tagged} {destination:?} {source:?}"
            );
        }
    }

    /// Where listings tell no digests, questions are asked in the order that spares most of them.
    #[tokio::test]
    async fn staging_is_asked_before_production() {
        let edges = one_edge(true);
        let edge = edges.all()[0];
        let mut inventory = Inventory::default();
        inventory.listed(ListingBuilder::new(&edges, edge.source), &Found::Present(()));
        inventory.listed(ListingBuilder::new(&edges, edge.destination), &Found::Present(()));
        assert_eq!(decide(&edge, &edges, &inventory), Err(Lookup::Digest(edge.source, edge.digest)));
        inventory.digest_answered(edge.source, edge.digest, absent().await);
        assert_eq!(decide(&edge, &edges, &inventory), Ok(Verdict::Lost), "production is not asked");

        let head = Head { digest: Digest::of(b"app"), media_type: MediaType::OciIndex };
        inventory.digest_answered(edge.source, edge.digest, Found::Present(head.clone()));
        assert_eq!(decide(&edge, &edges, &inventory), Err(Lookup::Digest(edge.destination, edge.digest)));
        inventory.digest_answered(edge.destination, edge.digest, Found::Present(head));
        assert_eq!(decide(&edge, &edges, &inventory), Ok(Verdict::Tag));
    }
}
