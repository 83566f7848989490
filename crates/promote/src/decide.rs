//! The decision about an edge: a pure function of the edge and the inventory.
//!
//! If the decision depends on something that is not known, it returns a lookup instead. Planning performs the lookups of all
//! edges, adds the answers to the inventory, and decides again. So kpromo looks up only what a decision depends on.

use manifest::Id;
use manifest::{Edge, Edges};
use oci::{Digest, MediaType, Repository};

use crate::inventory::{Inventory, Known, Lookup};

/// The decision about an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do: production has the image under the tag.
    Done,
    /// Nothing to do: production has the image, but it is no longer in staging. The run warns about it.
    DoneWithoutSource,
    /// Copy the image.
    Copy,
    /// Write the tag: the image is already there.
    Tag,
    /// Nothing can be done: neither staging nor production has the image.
    Lost,
    /// The tag names another digest in production. Tags in production never move.
    Moved(Box<Digest>),
    /// The image is of a kind that cannot be copied.
    Unsupported(Box<MediaType>),
    /// Undecided: a registry does not answer the lookup.
    Unreadable(Lookup),
    /// Undecided: the registry does not answer yet. The run continues without it and asks it again after the others.
    Late,
}

/// The reason why an edge is undecided.
enum Open {
    Ask(Lookup),
    Unreadable(Lookup),
}

/// Decides an edge.
///
/// # Errors
/// Returns the lookup that the decision depends on.
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
                // Production has the image, so the verdict does not depend on the answer of staging.
                Ok(Some(_)) | Err(Open::Unreadable(_)) => Ok(Verdict::Done),
                Err(open) => Err(open),
            },
            None => missing(edge, edges, inventory),
        },
    }
}

/// Decides an edge whose tag is not in production, or whose image is not if the edge has no tag. Asks staging first: an image
/// that staging has lost need not be looked up in 22 regions.
fn missing(edge: &Edge, edges: &Edges, inventory: &Inventory) -> Result<Verdict, Open> {
    match source_holds(edge, edges, inventory)? {
        None => Ok(Verdict::Lost),
        Some(media_type) if is_refused(media_type) => Ok(Verdict::Unsupported(Box::new(media_type.clone()))),
        // A repository that the registry denies may hold the image untagged. No lookup is needed, because copying skips content
        // that is already there.
        Some(_) if edge.tag.is_some() && inventory.is_denied(edge.destination) => Ok(Verdict::Copy),
        Some(_) if holds(inventory, edge.destination, edge.digest)?.is_some() => Ok(Verdict::Tag),
        Some(_) => Ok(Verdict::Copy),
    }
}

/// Returns the media type of an edge's image in staging. Returns `None` only if every staging repository of the edge was asked
/// for the image directly and none has it.
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

/// Returns the media type of an image in one staging repository. Returns `None` only if the repository was asked for the image
/// directly and does not have it.
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

/// Returns the first staging repository of an edge that is known to have its image, or the source of the edge if none is.
pub(crate) fn serving(edges: &Edges, edge: &Edge, inventory: &Inventory) -> Id<Repository> {
    let has_it = |source: &Id<Repository>| matches!(staged(*source, edge.digest, inventory), Ok(Some(_)));
    edges.sources(edge).find(has_it).unwrap_or(edge.source)
}

/// Returns whether a media type is known to be unsupported. Whether an unknown media type is supported is determined when the
/// manifest is read.
fn is_refused(media_type: &MediaType) -> bool {
    matches!(media_type, MediaType::DockerSchema1 | MediaType::OciArtifact)
}

/// Returns the media type of a manifest in a repository, or `None` if the repository does not have the manifest.
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

    /// Returns the single edge of a manifest, with or without the tag `v1`.
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

    /// Returns a proof of absence. Only the answer of a registry creates one.
    async fn absent() -> Found<Head> {
        let server = Server::start(Config::default()).await.unwrap();
        let door = Door::open(Settings::default()).unwrap();
        let client = Client::new(door, Arc::new(Anonymous), Default::default());
        let repository = Repository { host: server.host().clone(), path: "app".parse().unwrap() };
        client.reader().head(&repository, Selector::Digest(Digest::of(b"app"))).await.unwrap()
    }

    /// There can be millions of edges.
    #[test]
    fn a_verdict_takes_two_words() {
        assert!(size_of::<Verdict>() <= 16, "{}", size_of::<Verdict>());
    }

    /// Records a complete listing of a repository that holds manifests with these contents, each with or without the tag `v1`.
    fn list(inventory: &mut Inventory, edges: &Edges, repository: Id<Repository>, content: &[(&[u8], bool)]) {
        let mut draft = ListingBuilder::new(edges, repository);
        draft.take(Listed::Manifests);
        for (content, tagged) in content {
            let tags: Vec<Tag> = tagged.then(|| "v1".parse().unwrap()).into_iter().collect();
            tags.iter().cloned().for_each(|tag| draft.take(Listed::Tag(tag)));
            let (digest, media_type) = (Digest::of(content), MediaType::OciIndex);
            draft.take(Listed::Manifest(ListedManifest { digest, media_type, tags, uploaded: None }));
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
            // An image that is missing from a listing is not lost yet: the repository is asked for it directly.
            assert_eq!(lookup, Lookup::Digest(edge.source, edge.digest));
            inventory.digest_answered(edge.source, edge.digest, absent.clone());
            decide(&edge, &edges, &inventory).unwrap()
        })
    }

    /// The decision table of the plan, row by row.
    #[tokio::test]
    async fn the_verdict_follows_the_decision_table() {
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

    /// If listings contain no digests, the order of the lookups saves as many of them as possible.
    #[tokio::test]
    async fn staging_is_looked_up_before_production() {
        let edges = one_edge(true);
        let edge = edges.all()[0];
        let mut inventory = Inventory::default();
        inventory.listed(ListingBuilder::new(&edges, edge.source), &Found::Present(()));
        inventory.listed(ListingBuilder::new(&edges, edge.destination), &Found::Present(()));
        assert_eq!(decide(&edge, &edges, &inventory), Err(Lookup::Digest(edge.source, edge.digest)));
        inventory.digest_answered(edge.source, edge.digest, absent().await);
        assert_eq!(decide(&edge, &edges, &inventory), Ok(Verdict::Lost), "no lookup in production");

        let head = Head { digest: Digest::of(b"app"), media_type: MediaType::OciIndex };
        inventory.digest_answered(edge.source, edge.digest, Found::Present(head.clone()));
        assert_eq!(decide(&edge, &edges, &inventory), Err(Lookup::Digest(edge.destination, edge.digest)));
        inventory.digest_answered(edge.destination, edge.digest, Found::Present(head));
        assert_eq!(decide(&edge, &edges, &inventory), Ok(Verdict::Tag));
    }
}
