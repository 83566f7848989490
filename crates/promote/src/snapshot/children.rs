//! The manifests that indexes list.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt};
use oci::{Digest, Found, Reader, RegistryRoot, Repository, RepositoryPath, Selector};

use super::SnapshotError;
use crate::event::{Event, Run};

/// The maximum number of indexes that are read concurrently. Each has at most 4 MiB.
const AT_ONCE: usize = 16;

/// The manifests that may list other manifests, each with the repositories that have it.
pub(super) type Indexes = HashMap<Digest, Vec<RepositoryPath>>;

/// Reads indexes, each once, and returns the manifests that they list.
///
/// An index that was deleted in the meantime or cannot be parsed is reported and treated as empty, so the snapshot has more
/// digests, never fewer.
pub(super) async fn children(
    run: &Run,
    reader: &Reader,
    root: &RegistryRoot,
    indexes: Indexes,
) -> Result<HashSet<Digest>, SnapshotError> {
    run.emit(&Event::Work { units: "indexes", more: indexes.len() });
    let mut read = stream::iter(indexes)
        .map(async |(digest, repositories)| {
            let read = listed_by(run, reader, root, digest, repositories).await;
            run.emit(&Event::Worked);
            read
        })
        .buffer_unordered(AT_ONCE);
    let mut children = HashSet::new();
    while let Some(listed) = read.next().await {
        children.extend(listed?);
    }
    Ok(children)
}

/// Returns the manifests that an index lists. If a repository no longer has the index, tries the next one that lists it.
async fn listed_by(
    run: &Run,
    reader: &Reader,
    root: &RegistryRoot,
    digest: Digest,
    repositories: Vec<RepositoryPath>,
) -> Result<Vec<Digest>, oci::Error> {
    for path in repositories {
        let repository = Repository { host: root.host.clone(), path };
        let warn = |problem: &dyn std::fmt::Display| {
            run.emit(&Event::Warned(format!(
                "{repository}@{digest}: {problem}; what it lists is not left out of the snapshot on its account"
            )));
        };
        match reader.find_manifest(&repository, Selector::Digest(digest)).await? {
            Found::Absent(_) => warn(&"deleted while the registry was read"),
            Found::Present(manifest) if manifest.media_type().is_index() => match manifest.parse() {
                Ok(index) => return Ok(index.children.iter().map(|child| child.digest).collect()),
                Err(error) => {
                    warn(&error);
                    return Ok(Vec::new());
                }
            },
            Found::Present(_) => return Ok(Vec::new()),
        }
    }
    Ok(Vec::new())
}
