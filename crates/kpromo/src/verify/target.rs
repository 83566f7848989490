//! The images that `kpromo verify` examines: those on the command line, those of manifests and those of repositories.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use manifest::Manifests;
use oci::{Digest, Found, Listed, Reader, Repository, Selector, Tag};
use promote::sigcheck::is_attached_tag;
use trust::Problem;
use trust::audit::ImageName;

use crate::render::counted;

/// The number of tags of one repository that are read concurrently. The door limits the requests in flight.
const AT_ONCE: usize = 16;

/// An image to examine.
pub(super) enum Target {
    /// The command line names it.
    Named(ImageName),
    /// A manifest promotes it, with these tags.
    Promoted(ImageName, Vec<Tag>),
    /// A repository has it. The tags have been read.
    Tagged(ImageName, Vec<Tag>),
}

impl Target {
    /// Returns the repository of the image.
    pub(super) fn repository(&self) -> &Repository {
        let (Self::Named(image) | Self::Promoted(image, _) | Self::Tagged(image, _)) = self;
        &image.repository
    }
}

/// Returns the images that manifests promote, once for each destination, in the order of the manifests.
pub(super) fn promoted(manifests: &Manifests) -> Vec<Target> {
    let mut targets = Vec::new();
    for manifest in &manifests.manifests {
        for destination in &manifest.destinations {
            for image in &manifest.images {
                // A name that is too long for a destination is not promoted there, and was reported.
                let Ok(repository) = destination.root.repository(&image.name) else { continue };
                targets.extend(image.digests.iter().map(|listed| {
                    let tags = listed.tags.iter().map(|(tag, _)| tag.clone()).collect();
                    Target::Promoted(repository.at(listed.digest).into(), tags)
                }));
            }
        }
    }
    targets
}

/// The images of a repository.
#[derive(Default)]
pub(super) struct Tagged {
    /// The tagged images.
    pub(super) images: Vec<Target>,
    /// What could not be read, and why: the repository or some of its tags. What they refer to is not known.
    pub(super) unread: Vec<(String, Problem)>,
}

/// Returns the tagged images of a repository, each once with all its tags, ordered by their first tag. Tags of signatures,
/// attestations and SBOMs are not those of images.
///
/// Requests: one for each page of the list, and one for each tag: only the content of a manifest proves its digest.
pub(super) async fn tagged(reader: &Reader, repository: &Repository) -> Tagged {
    let unread = |problem| Tagged { unread: vec![(repository.to_string(), problem)], ..Tagged::default() };
    let Listing { tags, invalid } = match list(reader, repository).await {
        Ok(Found::Present(listing)) => listing,
        Ok(Found::Absent(_)) => return unread(nothing("the registry does not have this repository")),
        Err(error) => return unread(Problem::from(&error)),
    };
    let read = stream::iter(&tags).map(async |tag| (tag, read_tag(reader, repository, tag).await));
    let read: Vec<_> = read.buffered(AT_ONCE).collect().await;
    let (mut images, mut problems) = (BTreeMap::<Digest, Vec<Tag>>::new(), Vec::new());
    for (tag, digest) in read {
        match digest {
            Ok(Some(digest)) => images.entry(digest).or_default().push(tag.clone()),
            Ok(None) => {
                let error = "the registry lists this tag, and then answered that it does not exist";
                let advice = "verify again: the tag may have been deleted meanwhile";
                problems.push((tag, Problem::new(error, Some(advice.to_owned()))));
            }
            Err(error) => problems.push((tag, Problem::from(&error))),
        }
    }
    let name = |tag: &Tag| format!("{repository}:{tag}");
    let mut unread: Vec<_> = problems.into_iter().map(|(tag, problem)| (name(tag), problem)).collect();
    if let Some((number, first)) = invalid {
        let names = counted(number, "name");
        let error =
            format!("the list has {names} that cannot be that of a tag or a digest, such as `{first}`");
        unread.push((repository.to_string(), Problem::without_advice(error)));
    }
    if images.is_empty() && unread.is_empty() {
        unread.push((repository.to_string(), nothing("the repository has no tagged image")));
    }
    let mut images: Vec<(Digest, Vec<Tag>)> = images.into_iter().collect();
    images.sort_by(|(_, one), (_, other)| one.cmp(other));
    let target = |(digest, tags)| Target::Tagged(repository.at(digest).into(), tags);
    Tagged { images: images.into_iter().map(target).collect(), unread }
}

/// The list of a repository.
#[derive(Default)]
struct Listing {
    /// The tags of images.
    tags: BTreeSet<Tag>,
    /// The number of entries that are no valid names, and the first of them.
    invalid: Option<(usize, Box<str>)>,
}

async fn list(reader: &Reader, repository: &Repository) -> Result<Found<Listing>, oci::Error> {
    let mut listing = Listing::default();
    let mut give = |listed| match listed {
        Listed::Restarted => listing = Listing::default(),
        Listed::Tag(tag) => listing.add(tag),
        Listed::Manifest(manifest) => manifest.tags.into_iter().for_each(|tag| listing.add(tag)),
        Listed::Invalid(name) => listing.invalid.get_or_insert((0, name)).0 += 1,
        Listed::Manifests | Listed::Child(_) => {}
    };
    let found = reader.list(repository, &mut give).await?;
    Ok(found.map(|()| listing))
}

impl Listing {
    fn add(&mut self, tag: Tag) {
        if !is_attached_tag(&tag) {
            self.tags.insert(tag);
        }
    }
}

fn nothing(error: &str) -> Problem {
    let advice = "check the name of the repository, and the credentials";
    Problem::new(error, Some(advice.to_owned()))
}

/// Returns the digest that a tag refers to, computed from the content of the manifest. `None` if the tag does not exist.
///
/// # Errors
/// If the tag cannot be read, or if the answer does not prove that it does not exist.
pub(super) async fn read_tag(
    reader: &Reader,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<Digest>, oci::Error> {
    match reader.find_manifest(repository, Selector::Tag(tag)).await? {
        Found::Present(manifest) => Ok(Some(manifest.digest())),
        Found::Absent(_) => Ok(None),
    }
}
