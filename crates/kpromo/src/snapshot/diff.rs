//! `kpromo snapshot diff`: compares two snapshots.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::MultiProgress;
use oci::{Digest, Reader, visible};
use promote::snapshot::{ImageDiff, Snapshot, diff as compare, read_file};
use schemars::JsonSchema;
use serde::Serialize;

use super::{bounded, connected, of_registry, write};
use crate::args::{DiffArgs, DiffFormat, Side};
use crate::environment::Environment;
use crate::exit::Exit;
use crate::render::Progress;
use crate::terminal::print_error;

/// Compares two snapshots and prints the differences.
pub(crate) async fn diff(args: DiffArgs, environment: &Environment, screen: &MultiProgress) -> Exit {
    let connection = match connected(args.config.as_deref(), environment) {
        Ok(connection) => connection,
        Err(exit) => return exit,
    };
    let reader = connection.client.reader();
    let progress = Progress::new(screen);
    let work = Box::pin(read_and_compare(&args, &reader, &progress));
    bounded(&connection.door, &progress, args.timeout, work).await
}

async fn read_and_compare(args: &DiffArgs, reader: &Reader, progress: &Arc<Progress>) -> Exit {
    // Files come first: if one of them is invalid, no registry is asked.
    let files = [file(&args.first).await, file(&args.second).await];
    let [Ok(first), Ok(second)] = files else { return Exit::Invalid };
    let first = Box::pin(side(first, &args.first, args, reader, progress));
    let second = Box::pin(side(second, &args.second, args, reader, progress));
    let (first, second) = match tokio::try_join!(first, second) {
        Ok(sides) => sides,
        Err(exit) => return exit,
    };
    let tag = args.tag.clone();
    let differs = args.exit_code && compare(&first, &second, tag.as_ref()).next().is_some();
    let written = match args.format {
        DiffFormat::Text => write(move |to| write_text(compare(&first, &second, tag.as_ref()), to)).await,
        DiffFormat::Json => write(move |to| write_json(compare(&first, &second, tag.as_ref()), to)).await,
    };
    if differs { Exit::Failure } else { written }
}

/// Reads a side that is a file.
async fn file(side: &Side) -> Result<Option<Snapshot>, Exit> {
    let Side::File(shown) = side else { return Ok(None) };
    let path: PathBuf = shown.clone();
    // A pipe may keep its reader waiting.
    let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
    let problem = match read {
        Ok(Ok(read)) => {
            if !read.has_end {
                tracing::warn!(
                    "{} does not end with an empty line, as snapshots do: it may be incomplete",
                    visible(&shown.display().to_string())
                );
            }
            return Ok(Some(read.snapshot));
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    print_error(&problem);
    Err(Exit::Invalid)
}

/// Reads a side that is a registry.
async fn side(
    file: Option<Snapshot>,
    side: &Side,
    args: &DiffArgs,
    reader: &Reader,
    progress: &Arc<Progress>,
) -> Result<Snapshot, Exit> {
    match (file, side) {
        (Some(snapshot), _) => Ok(snapshot),
        (None, Side::Registry(registry)) => {
            // Both sides must be complete for the comparison. A digest that has the tag on the other side may have none here,
            // so it is not left out as a part of an index.
            of_registry(reader, registry, None, args.minimal && args.tag.is_none(), progress).await
        }
        (None, Side::File(_)) => Err(Exit::Invalid),
    }
}

/// A difference of one line.
enum Line<'a> {
    Digest(char, &'a Digest, &'a [String]),
    Tag(char, &'a str, &'a Digest),
    Moved(&'a str, &'a Digest, &'a Digest),
}

fn lines(difference: &ImageDiff) -> impl Iterator<Item = Line<'_>> {
    let ImageDiff { name: _, removed, added, untagged, tagged, moved } = difference;
    let moved = moved.iter().map(|(tag, from, to)| Line::Moved(tag, from, to));
    let removed = removed.iter().map(|(digest, tags)| Line::Digest('-', digest, tags));
    let untagged = untagged.iter().map(|(tag, digest)| Line::Tag('-', tag, digest));
    let added = added.iter().map(|(digest, tags)| Line::Digest('+', digest, tags));
    let tagged = tagged.iter().map(|(tag, digest)| Line::Tag('+', tag, digest));
    moved.chain(removed).chain(untagged).chain(added).chain(tagged)
}

fn write_text(differences: impl Iterator<Item = ImageDiff>, to: &mut dyn Write) -> io::Result<()> {
    for difference in differences {
        let name = &difference.name;
        for line in lines(&difference) {
            match line {
                Line::Digest(sign, digest, []) => writeln!(to, "{sign} {name}@{digest}")?,
                Line::Digest(sign, digest, tags) => {
                    writeln!(to, "{sign} {name}@{digest} {}", tags.join(" "))?;
                }
                Line::Tag(sign, tag, digest) => writeln!(to, "{sign} {name}:{tag} {digest}")?,
                Line::Moved(tag, from, into) => writeln!(to, "~ {name}:{tag} {from} -> {into}")?,
            }
        }
    }
    Ok(())
}

/// The version of the JSON schema.
const SCHEMA: u32 = 1;

/// The differences between two snapshots (`kpromo snapshot diff A B --output json`).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "`write_json` writes the fields one by one; this describes them")]
pub(crate) struct DiffJson<'a> {
    /// The version of this schema.
    #[schemars(extend("const" = SCHEMA))]
    schema: u32,
    /// The images that differ, by name.
    images: Vec<ImageJson<'a>>,
}

/// The differences of one image.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Image")]
struct ImageJson<'a> {
    /// The name of the image.
    name: &'a str,
    /// Tags that both snapshots have, with different digests.
    moved: Vec<MovedJson<'a>>,
    /// Digests that only `A` has. `B` has none of their tags.
    removed: Vec<DigestJson<'a>>,
    /// Tags that only `A` has, of digests that both snapshots have.
    removed_tags: Vec<TagJson<'a>>,
    /// Digests that only `B` has. `A` has none of their tags.
    added: Vec<DigestJson<'a>>,
    /// Tags that only `B` has, of digests that both snapshots have.
    added_tags: Vec<TagJson<'a>>,
}

/// A digest that only one snapshot has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Digest")]
struct DigestJson<'a> {
    /// The digest.
    #[schemars(with = "String", regex(pattern = Digest::PATTERN))]
    digest: Digest,
    /// Its tags that the other snapshot does not have.
    tags: &'a [String],
}

/// A tag that only one snapshot has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tag")]
struct TagJson<'a> {
    /// The tag.
    tag: &'a str,
    /// Its digest.
    #[schemars(with = "String", regex(pattern = Digest::PATTERN))]
    digest: Digest,
}

/// A tag that has another digest in each snapshot.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MovedTag")]
struct MovedJson<'a> {
    /// The tag.
    tag: &'a str,
    /// Its digest in `A`.
    #[schemars(with = "String", regex(pattern = Digest::PATTERN))]
    from: Digest,
    /// Its digest in `B`.
    #[schemars(with = "String", regex(pattern = Digest::PATTERN))]
    to: Digest,
}

fn write_json(differences: impl Iterator<Item = ImageDiff>, to: &mut dyn Write) -> io::Result<()> {
    write!(to, "{{\"schema\":{SCHEMA},\"images\":[")?;
    let mut is_first = true;
    for difference in differences {
        write!(to, "{}\n  ", if is_first { "" } else { "," })?;
        is_first = false;
        serde_json::to_writer(&mut *to, &image_json(&difference))?;
    }
    writeln!(to, "{}]}}", if is_first { "" } else { "\n" })
}

fn image_json(difference: &ImageDiff) -> ImageJson<'_> {
    fn digests(list: &[(Digest, Vec<String>)]) -> Vec<DigestJson<'_>> {
        list.iter().map(|(digest, tags)| DigestJson { digest: *digest, tags }).collect()
    }
    fn tags(list: &[(String, Digest)]) -> Vec<TagJson<'_>> {
        list.iter().map(|(tag, digest)| TagJson { tag, digest: *digest }).collect()
    }
    let moved = difference.moved.iter().map(|(tag, from, to)| MovedJson { tag, from: *from, to: *to });
    ImageJson {
        name: &difference.name,
        moved: moved.collect(),
        removed: digests(&difference.removed),
        removed_tags: tags(&difference.untagged),
        added: digests(&difference.added),
        added_tags: tags(&difference.tagged),
    }
}
