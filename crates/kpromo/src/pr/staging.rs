//! Finds the images in staging that have the requested tags.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use manifest::edit::Addition;
use oci::{Digest, Found, Reader, RepositoryPath, Selector, Tag};
use promote::snapshot::{SnapshotError, read_registry};
use promote::{Event, Observer, Run};
use tokio_util::sync::CancellationToken;

use super::text::Row;
use crate::args::PrArgs;
use crate::exit::Exit;
use crate::failure::Failure;

/// The number of images that are looked up concurrently. The door determines how many requests a registry sustains.
const AT_ONCE: usize = 16;
/// The path of images that are never proposed unless they are named, as in the Go tool.
const MOCK: &str = "mock/";

/// Logs the warnings of a walk.
struct Log;

impl Observer<Event> for Log {
    fn observe(&self, event: &Event) {
        if let Event::Warned(text) = event {
            tracing::warn!("{text}");
        }
    }
}

/// Returns the additions: the images in staging that have the tags. With `--image`, only these images are looked up; otherwise
/// all repositories of staging are read.
///
/// # Errors
/// If staging does not answer, or has none of the requested images.
pub(super) async fn find(reader: &Reader, args: &PrArgs) -> Result<Vec<Addition>, Failure> {
    let mut found =
        if args.images.is_empty() { walked(reader, args).await? } else { named(reader, args).await? };
    if !args.digests.is_empty() {
        found.retain(|addition| args.digests.contains(&addition.digest));
    }
    found.retain(|Addition { image, digest, tag }| match digest {
        Digest::Sha256(_) => true,
        Digest::Sha512(_) => {
            tracing::warn!(
                "{}/{image}:{tag} is {digest}; images are promoted by SHA-256 digests, it is left out",
                args.staging
            );
            false
        }
    });
    if found.is_empty() {
        let tags: Vec<&str> = args.tags.iter().map(Tag::as_str).collect();
        let text =
            format!("{} has no image with the tag {} that was asked for", args.staging, tags.join(" or "));
        let help = "check --tag, --image and --digests, and that the images are pushed to staging";
        return Err(Failure::new(Exit::Invalid, text).help(help));
    }
    Ok(found)
}

async fn named(reader: &Reader, args: &PrArgs) -> Result<Vec<Addition>, Failure> {
    let pairs = args.images.iter().flat_map(|image| args.tags.iter().map(move |tag| (image, tag)));
    let heads = stream::iter(pairs).map(async |(image, tag)| head(reader, args, image, tag).await);
    let found: Vec<Option<Addition>> = heads.buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn head(
    reader: &Reader,
    args: &PrArgs,
    image: &RepositoryPath,
    tag: &Tag,
) -> Result<Option<Addition>, Failure> {
    let repository =
        args.staging.repository(image).map_err(|error| Failure::new(Exit::Invalid, error.to_string()))?;
    match reader.head(&repository, Selector::Tag(tag)).await.map_err(|error| unavailable(&error))? {
        Found::Present(head) => {
            Ok(Some(Addition { image: image.clone(), digest: head.digest, tag: tag.clone() }))
        }
        Found::Absent(_) => {
            tracing::warn!("{repository} has no tag {tag}; it is left out");
            Ok(None)
        }
    }
}

async fn walked(reader: &Reader, args: &PrArgs) -> Result<Vec<Addition>, Failure> {
    tracing::info!("searching {} for images with the tags; --image asks for single images", args.staging);
    let run = Run::new(vec![Arc::new(Log)], CancellationToken::new());
    let mut found = Vec::new();
    for tag in &args.tags {
        let snapshot = read_registry(&run, reader, &args.staging, Some(tag), false).await;
        let snapshot = snapshot.map_err(|error| match error {
            SnapshotError::Registry(error) => unavailable(&error),
            error => Failure::new(Exit::Unavailable, error.to_string()).help("name the images with --image"),
        })?;
        for (name, contents) in snapshot.images() {
            let Ok(image) = name.parse::<RepositoryPath>() else { continue };
            if name.contains(MOCK) {
                tracing::info!(
                    "{}/{name} is left out, as images below {MOCK} are; --image names it",
                    args.staging
                );
                continue;
            }
            found.extend(contents.entries().iter().map(|entry| Addition {
                image: image.clone(),
                digest: entry.digest(),
                tag: tag.clone(),
            }));
        }
    }
    Ok(found)
}

/// Reads images by digest. Checks that staging has them and that they can be promoted, and returns their platforms for the
/// reviewers.
///
/// # Errors
/// If staging does not answer, or has an image that cannot be promoted.
pub(super) async fn platforms(
    reader: &Reader,
    args: &PrArgs,
    added: &[Addition],
) -> Result<Vec<Row>, Failure> {
    let rows = stream::iter(added).map(async |addition| {
        let repository = args.staging.repository(&addition.image);
        let repository = repository.map_err(|error| Failure::new(Exit::Invalid, error.to_string()))?;
        let manifest = reader.manifest(&repository, Selector::Digest(addition.digest)).await;
        let manifest = manifest.map_err(|error| unavailable(&error))?;
        let content = manifest.parse().map_err(|error| {
            let text = format!("{repository}@{} cannot be promoted: {error}", addition.digest);
            if is_page(manifest.bytes()) {
                let text = format!("{text}; the registry answers with a web page");
                return Failure::new(Exit::Unavailable, text)
                    .help("check --staging-repo, and the credentials");
            }
            Failure::new(Exit::Conflict, text).help("name other images or tags with --image and --tag")
        })?;
        let children = content.children.into_iter().filter(|child| child.attests.is_none());
        let mut platforms: Vec<String> = children.filter_map(|child| child.platform).collect();
        platforms.sort();
        platforms.dedup();
        let platforms = match (platforms.is_empty(), manifest.media_type().is_index()) {
            (false, _) => platforms.join(", "),
            (true, true) => "not named".to_owned(),
            (true, false) => "a single one".to_owned(),
        };
        Ok(Row { addition: addition.clone(), platforms })
    });
    rows.buffered(AT_ONCE).try_collect().await
}

/// Returns whether an answer is a web page, such as a login page.
fn is_page(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"<")
}

fn unavailable(error: &oci::Error) -> Failure {
    let failure = Failure::new(Exit::Unavailable, error.to_string());
    match error.advice() {
        Some(advice) => failure.help(advice),
        None => failure,
    }
}
