//! Finds the images to check: those that the user names, or all that the canonical registry lists.

use std::collections::HashSet;
use std::fmt;

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use oci::{AttachedTag, Digest, Found, Reader, RegistryRoot, Repository, Selector, Tag};
use trust::audit::ImageName;
use trust::{Problem, Production};

use super::image::FoundImage;
use super::listed::{is_attached_tag, subjects};
use super::name::canonical;
use crate::event::{Event, Run};
use crate::snapshot::{SnapshotError, read_manifests};

/// The number of images or repositories that are looked up concurrently. The door limits the requests in flight.
const AT_ONCE: usize = 16;

/// Which images to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These images, by the name that users pull by or by their name in a region.
    Named(Vec<ImageName>),
    /// The images below the production path of the canonical registry.
    Listed {
        /// Only images that were uploaded in this span. `None` for all.
        span: Option<Span>,
        /// The maximum number of images; the latest ones are taken. `None` for all.
        limit: Option<usize>,
    },
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Timestamp,
    /// The last moment. `None` also includes times in the future: the clock of the registry may be ahead.
    pub to: Option<Timestamp>,
}

impl Span {
    fn has(&self, time: Timestamp) -> bool {
        self.from <= time && self.to.is_none_or(|to| time <= to)
    }
}

/// The images to check.
#[derive(Clone, Debug, Default)]
pub struct FoundImages {
    /// The images: the latest first if they were listed, otherwise in the order in which they were named.
    pub images: Vec<FoundImage>,
    /// The images and repositories that could not be read, by name.
    pub unread: Vec<(String, Problem)>,
    /// Whether upload times are unknown. If so, the span was not applied, and `images` has all images.
    pub without_times: bool,
}

/// The reason why no images can be found.
#[derive(Debug)]
pub enum FindError {
    /// The canonical registry cannot be listed.
    Unlisted(SnapshotError),
    /// A name belongs to a signature, an attestation or an SBOM instead of an image.
    Metadata(ImageName),
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted(error) => error.fmt(f),
            Self::Metadata(name) => {
                write!(f, "{name} is not an image: its tag is that of an attachment; name the image instead")
            }
        }
    }
}

impl std::error::Error for FindError {}

/// Finds images. With `named`, the untagged images are those that manifests name, by canonical repository and digest. Otherwise
/// they are the untagged manifests that are neither part of an index nor attached to anything; registries that list only tags do
/// not show them.
///
/// Requests for listed images: those of a walk through the registry and, without `named`, one for each untagged manifest in the
/// span that no index of the same time lists, and one for each index that may list one. Requests for a named image: one and, if
/// it is named by digest, the list of its repository.
///
/// # Errors
/// If the registry cannot be listed, or if a name does not belong to an image. Images and repositories that cannot be read are
/// returned in `unread` and do not affect the others.
pub async fn find(
    run: &Run,
    reader: &Reader,
    production: &Production,
    wanted: &Wanted,
    named: Option<&HashSet<(Repository, Digest)>>,
) -> Result<FoundImages, FindError> {
    match wanted {
        Wanted::Named(names) => by_name(run, reader, production, names).await,
        Wanted::Listed { span, limit } => {
            let root = RegistryRoot {
                host: production.canonical_host.clone(),
                prefix: Some(production.path.clone()),
            };
            let walked = read_manifests(run, reader, &root).await.map_err(FindError::Unlisted)?;
            let mut found = FoundImages::default();
            for (repository, error) in &walked.unread {
                found.unread.push((repository.to_string(), error.into()));
            }
            let mut manifests = walked.manifests.iter().flat_map(|(_, all)| all).peekable();
            let has_times = manifests.peek().is_none() || manifests.any(|one| one.uploaded.is_some());
            found.without_times = !has_times;
            let span = span.filter(|_| has_times);
            let is_in_span = move |time: Option<Timestamp>| {
                // A manifest without a readable time is checked, because it may have been uploaded at any time.
                span.is_none_or(|span| time.is_none_or(|time| span.has(time)))
            };
            let each = walked.manifests.iter().map(async |(repository, manifests)| {
                let is_named =
                    |digest: &Digest| named.map(|all| all.contains(&(repository.clone(), *digest)));
                (repository, subjects(reader, repository, manifests, &is_in_span, &is_named).await)
            });
            let all: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
            for (repository, images) in all {
                match images {
                    Ok(images) => found.images.extend(images),
                    Err(error) => found.unread.push((repository.to_string(), (&error).into())),
                }
            }
            if let Some(named) = named.filter(|_| !has_times) {
                add_untagged(reader, &root, named, &mut found).await;
            }
            // The latest first. Images with unknown or equal times are ordered by name.
            found.images.sort_by(|a, b| {
                (b.uploaded, &a.repository, a.digest).cmp(&(a.uploaded, &b.repository, b.digest))
            });
            found.images.truncate(limit.unwrap_or(usize::MAX));
            Ok(found)
        }
    }
}

/// Adds the untagged images that manifests name, for registries that list only tags.
async fn add_untagged(
    reader: &Reader,
    root: &RegistryRoot,
    named: &HashSet<(Repository, Digest)>,
    found: &mut FoundImages,
) {
    let known: HashSet<_> = found.images.iter().map(|image| (&image.repository, image.digest)).collect();
    let is_below = |repository: &Repository| {
        let below =
            root.prefix.as_ref().and_then(|prefix| repository.path.as_str().strip_prefix(prefix.as_str()));
        repository.host == root.host && below.is_some_and(|rest| rest.starts_with('/'))
    };
    let open = named
        .iter()
        .filter(|(repository, digest)| is_below(repository) && !known.contains(&(repository, *digest)));
    let mut open: Vec<_> = open.cloned().collect();
    open.sort_unstable();
    let each = open.into_iter().map(async |(repository, digest)| {
        let head = reader.head(&repository, Selector::Digest(digest)).await;
        (repository, digest, head)
    });
    let all: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
    for (repository, digest, head) in all {
        match head {
            Ok(Found::Present(_)) => {
                let (tags, uploaded, signs) = (Vec::new(), None, false);
                found.images.push(FoundImage { repository, digest, tags, uploaded, signs });
            }
            // The image is not promoted yet.
            Ok(Found::Absent(_)) => {}
            Err(error) => found.unread.push((repository.at(digest).to_string(), (&error).into())),
        }
    }
}

/// Finds images by their names.
async fn by_name(
    run: &Run,
    reader: &Reader,
    production: &Production,
    names: &[ImageName],
) -> Result<FoundImages, FindError> {
    let is_metadata = |name: &&ImageName| name.tag().is_some_and(is_attached_tag);
    if let Some(name) = names.iter().find(is_metadata) {
        return Err(FindError::Metadata(name.clone()));
    }
    run.emit(&Event::Work { units: "images", more: names.len() });
    let each = names.iter().map(async |name| {
        let repository = canonical(production, &name.repository);
        let image = look_up(reader, repository, name).await;
        run.emit(&Event::Worked);
        (name, image)
    });
    let all: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
    let mut found = FoundImages::default();
    for (name, image) in all {
        match image {
            Ok(Some(image)) => match found.images.iter_mut().find(|other| is_same(other, &image)) {
                Some(other) => {
                    other.signs |= image.signs;
                    other.tags.extend(image.tags);
                    other.tags.sort_unstable();
                    other.tags.dedup();
                }
                None => found.images.push(image),
            },
            Ok(None) => {
                let error = format!(
                    "the image does not exist in {}, its canonical repository",
                    canonical(production, &name.repository)
                );
                let advice = Some("check the name, the tag and the credentials".to_owned());
                found.unread.push((name.to_string(), Problem::new(error, advice)));
            }
            Err(error) => found.unread.push((name.to_string(), (&error).into())),
        }
    }
    Ok(found)
}

fn is_same(one: &FoundImage, other: &FoundImage) -> bool {
    (&one.repository, one.digest) == (&other.repository, other.digest)
}

/// Looks up one image. Returns `None` if it does not exist.
async fn look_up(
    reader: &Reader,
    repository: Repository,
    name: &ImageName,
) -> Result<Option<FoundImage>, oci::Error> {
    let Found::Present(head) = reader.head(&repository, name.selector()).await? else { return Ok(None) };
    let digest = name.digest().unwrap_or(head.digest);
    let tags: Vec<Tag> = name.tag().cloned().into_iter().collect();
    let mut image = FoundImage { repository, digest, tags, uploaded: None, signs: true };
    if name.digest().is_none() {
        return Ok(Some(image));
    }
    // Only registries that list manifests show whether the digest has a tag. On others it counts as tagged.
    if let Found::Present(listing) = reader.listing(&image.repository).await?
        && let Some(manifest) = listing.manifests.and_then(|mut manifests| manifests.remove(&digest))
    {
        image.tags = manifest.tags.into_iter().filter(|tag| AttachedTag::parse(tag).is_none()).collect();
        image.uploaded = manifest.uploaded.and_then(|time| Timestamp::from_millisecond(time).ok());
        image.signs = !image.tags.is_empty();
    }
    Ok(Some(image))
}
