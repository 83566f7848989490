//! The tag list in the format of gcr.io and pkg.dev: one page, with all manifests and the repositories below.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, RepositoryPath, Tag};
use serde::Serialize;

use crate::error::{ErrorCode, Refusal};
use crate::store::{Index, RepositoryIndex};

#[derive(Serialize)]
pub(super) struct Listing {
    name: String,
    /// The repositories below this one, by the next component of their names.
    child: BTreeSet<String>,
    manifest: BTreeMap<String, ManifestInfo>,
    tags: Vec<Tag>,
}

/// The numbers are strings, because Google's JSON encodes 64-bit integers as strings.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestInfo {
    image_size_bytes: String,
    layer_id: &'static str,
    media_type: String,
    tag: Vec<Tag>,
    time_created_ms: String,
    time_uploaded_ms: String,
}

pub(super) fn listing(index: &Index, repository: &RepositoryPath) -> Result<Listing, Refusal> {
    let child = children(index, repository);
    let names = index.repository(repository).filter(|names| !names.is_empty());
    if names.is_none() && child.is_empty() {
        let message = format!("there is no repository `{repository}`");
        return Err(Refusal::new(ErrorCode::NameUnknown, message));
    }
    Ok(Listing {
        name: repository.to_string(),
        child,
        manifest: names.map(manifests).unwrap_or_default(),
        tags: names.map(|names| names.tags.keys().cloned().collect()).unwrap_or_default(),
    })
}

fn children(index: &Index, repository: &RepositoryPath) -> BTreeSet<String> {
    let below = format!("{repository}/");
    index
        .names_after(Some(&below))
        .map_while(|path| path.as_str().strip_prefix(&below))
        .filter_map(|rest| rest.split('/').next())
        .map(str::to_owned)
        .collect()
}

fn manifests(names: &RepositoryIndex) -> BTreeMap<String, ManifestInfo> {
    let mut tags: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
    for (tag, digest) in &names.tags {
        tags.entry(*digest).or_default().push(tag.clone());
    }
    let info = |(digest, entry): (&Digest, &crate::store::ManifestEntry)| {
        let uploaded = entry.uploaded.to_string();
        let info = ManifestInfo {
            image_size_bytes: entry.blobs_size.to_string(),
            layer_id: "",
            media_type: entry.media_type.as_str().to_owned(),
            tag: tags.remove(digest).unwrap_or_default(),
            time_created_ms: uploaded.clone(),
            time_uploaded_ms: uploaded,
        };
        (digest.to_string(), info)
    };
    names.manifests.iter().map(info).collect()
}
