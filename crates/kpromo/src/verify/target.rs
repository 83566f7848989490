//! The images that `kpromo verify` examines: those on the command line, those of manifests and those of repositories.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use manifest::Manifests;
use oci::{Digest, Found, Reader, Repository, Selector, Tag};
use promote::sigcheck::is_attached_tag;
use trust::Problem;
use trust::audit::ImageName;

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

/// Returns the tagged images of a repository, each once with all its tags, ordered by their first tag. Tags of signatures,
/// attestations and SBOMs are not those of images.
///
/// Requests: one for each page of the list, and one for each tag: only the content of a manifest proves its digest.
///
/// # Errors
/// If the list or a tag cannot be read, or if the repository does not exist or has no tagged image.
pub(super) async fn tagged(reader: &Reader, repository: &Repository) -> Result<Vec<Target>, Problem> {
    let listing = match reader.listing(repository).await.map_err(|error| Problem::from(&error))? {
        Found::Present(listing) => listing,
        Found::Absent(_) => return Err(nothing("the registry does not have this repository")),
    };
    let mut tags: Vec<Tag> = listing.tags.into_iter().filter(|tag| !is_attached_tag(tag)).collect();
    tags.sort_unstable();
    let digests = stream::iter(&tags).map(async |tag| read_tag(reader, repository, tag).await);
    let digests: Vec<Option<Digest>> =
        digests.buffered(AT_ONCE).try_collect().await.map_err(|error: oci::Error| Problem::from(&error))?;
    let mut images: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
    for (tag, digest) in tags.into_iter().zip(digests) {
        // A tag that was deleted after it was listed is not one of the repository.
        digest.into_iter().for_each(|digest| images.entry(digest).or_default().push(tag.clone()));
    }
    if images.is_empty() {
        return Err(nothing("the repository has no tagged image"));
    }
    let mut images: Vec<(Digest, Vec<Tag>)> = images.into_iter().collect();
    images.sort_by(|(_, one), (_, other)| one.cmp(other));
    let target = |(digest, tags)| Target::Tagged(repository.at(digest).into(), tags);
    Ok(images.into_iter().map(target).collect())
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
