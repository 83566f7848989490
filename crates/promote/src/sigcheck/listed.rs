//! Finds the images among the manifests of a repository. Registries also list attachments: signatures, attestations, records,
//! and lists of referrers.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use oci::{AttachedTag, Digest, Found, RawManifest, Reader, Repository, Selector, Tag};

use super::image::FoundImage;
use crate::snapshot::FoundManifest;

/// The number of manifests of a repository that are read concurrently.
const AT_ONCE: usize = 8;
/// How much earlier than its parts an index may have been uploaded to count as uploaded at the same time, in milliseconds.
const SLACK: i64 = 3_600_000;
/// The prefixes of the media types of layers that are attached to images.
const ATTACHED: [&str; 7] = [
    "application/vnd.dev.cosign.",
    "application/vnd.dev.sigstore.",
    "application/vnd.dsse.envelope",
    "application/vnd.in-toto",
    "application/vnd.cyclonedx",
    "application/spdx",
    "text/spdx",
];

/// Returns whether a tag belongs to an attachment: a tag of cosign, or the fallback tag of a list of referrers.
pub fn is_attached_tag(tag: &Tag) -> bool {
    AttachedTag::parse(tag).is_some() || tag.as_str().replacen('-', ":", 1).parse::<Digest>().is_ok()
}

/// Returns the images of a repository that were uploaded in the span, tagged and untagged. `is_named` returns whether manifests
/// name an untagged digest, or `None` if there are no manifests. Without manifests, the digest is examined.
///
/// # Errors
/// If a manifest that has to be examined cannot be read.
pub(super) async fn subjects(
    reader: &Reader,
    repository: &Repository,
    manifests: &[FoundManifest],
    is_in_span: &(impl Fn(Option<Timestamp>) -> bool + Sync),
    is_named: &(impl Fn(&Digest) -> Option<bool> + Sync),
) -> Result<Vec<FoundImage>, oci::Error> {
    let mut images = Vec::new();
    let mut untagged = BTreeSet::new();
    for manifest in manifests {
        let uploaded = manifest.uploaded.and_then(|time| Timestamp::from_millisecond(time).ok());
        if !is_in_span(uploaded) {
            continue;
        }
        let tags: Vec<Tag> = manifest.tags.iter().filter(|tag| !is_attached_tag(tag)).cloned().collect();
        let is_untagged = manifest.tags.is_empty();
        if tags.is_empty() && !is_untagged {
            continue;
        }
        match is_named(&manifest.digest) {
            None if is_untagged => drop(untagged.insert(manifest.digest)),
            Some(false) if is_untagged => continue,
            _ => {}
        }
        let (digest, signs) = (manifest.digest, !is_untagged);
        images.push(FoundImage { repository: repository.clone(), digest, tags, uploaded, signs });
    }
    if !untagged.is_empty() {
        let untagged = Untagged { reader, repository, manifests }.images(untagged).await?;
        images.retain(|image| image.signs || untagged.contains(&image.digest));
    }
    Ok(images)
}

/// Examines the untagged manifests of a repository.
struct Untagged<'a> {
    reader: &'a Reader,
    repository: &'a Repository,
    manifests: &'a [FoundManifest],
}

impl Untagged<'_> {
    /// Returns the manifests that are images of their own, rather than parts or attachments.
    async fn images(&self, mut untagged: BTreeSet<Digest>) -> Result<BTreeSet<Digest>, oci::Error> {
        let uploaded = |digest: &Digest| {
            self.manifests.iter().find(|manifest| manifest.digest == *digest).and_then(|one| one.uploaded)
        };
        // An index is uploaded after its parts, usually by the same promotion.
        let first = untagged.iter().filter_map(uploaded).min().unwrap_or(i64::MIN).saturating_sub(SLACK);
        let indexes = self.manifests.iter().filter(|manifest| manifest.may_be_index);
        let (recent, older): (Vec<_>, Vec<_>) =
            indexes.partition(|index| index.uploaded.is_none_or(|time| time >= first));
        self.leave_out_parts(&mut untagged, &recent).await?;
        let read: Vec<(Digest, Option<RawManifest>)> = self.read(untagged.iter().copied()).await?;
        let is_image = |manifest: &Option<RawManifest>| manifest.as_ref().is_some_and(is_image);
        untagged = read.into_iter().filter(|(_, read)| is_image(read)).map(|(digest, _)| digest).collect();
        if !untagged.is_empty() {
            self.leave_out_parts(&mut untagged, &older).await?;
        }
        Ok(untagged)
    }

    async fn leave_out_parts(
        &self,
        untagged: &mut BTreeSet<Digest>,
        indexes: &[&FoundManifest],
    ) -> Result<(), oci::Error> {
        for (_, index) in self.read(indexes.iter().map(|index| index.digest)).await? {
            let parsed = index.and_then(|index| index.parse().ok());
            for child in parsed.into_iter().flat_map(|index| index.children) {
                untagged.remove(&child.digest);
            }
        }
        Ok(())
    }

    /// Reads manifests. `None` stands for a manifest that was deleted in the meantime.
    async fn read(
        &self,
        digests: impl Iterator<Item = Digest>,
    ) -> Result<Vec<(Digest, Option<RawManifest>)>, oci::Error> {
        let digests: Vec<Digest> = digests.collect();
        stream::iter(digests)
            .map(async |digest| {
                let found = self.reader.find_manifest(self.repository, Selector::Digest(digest)).await?;
                Ok(match found {
                    Found::Present(manifest) => (digest, Some(manifest)),
                    Found::Absent(_) => (digest, None),
                })
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }
}

/// Returns whether a manifest is an image and not an attachment. A manifest that cannot be parsed is not an image.
fn is_image(manifest: &RawManifest) -> bool {
    let Ok(wire) = manifest.wire() else { return false };
    if wire.subject.is_some() {
        return false;
    }
    if manifest.media_type().is_index() {
        // Entries of a list of referrers have an artifact type.
        let mut entries = wire.manifests.iter().flatten();
        return entries.any(|entry| entry.artifact_type.as_deref().is_none_or(str::is_empty));
    }
    let layers: Vec<&str> =
        wire.layers.iter().flatten().map(|layer| layer.media_type.as_deref().unwrap_or_default()).collect();
    let is_attached = |kind: &&str| ATTACHED.iter().any(|prefix| kind.starts_with(prefix));
    layers.is_empty() || !layers.iter().all(is_attached)
}

#[cfg(test)]
mod tests {
    use oci::MediaType;
    use serde_json::{Value, json};

    use super::*;

    fn is_image_of(media_type: MediaType, manifest: &Value) -> bool {
        is_image(&RawManifest::new(media_type, manifest.to_string().into()))
    }

    #[test]
    fn attachments_are_not_images() {
        let digest = Digest::of(b"x").to_string();
        let blob = |kind: &str| json!({ "mediaType": kind, "digest": digest, "size": 1 });
        let manifest = |layers: &[&str]| {
            let layers: Vec<Value> = layers.iter().map(|kind| blob(kind)).collect();
            json!({ "schemaVersion": 2, "config": blob("application/vnd.oci.image.config.v1+json"), "layers": layers })
        };
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let signature = "application/vnd.dev.cosign.simplesigning.v1+json";
        for (layers, expected) in [
            (&[layer][..], true),
            (&[], true),
            (&["application/vnd.cncf.helm.chart.content.v1.tar+gzip"], true),
            (&[signature], false),
            (&["application/vnd.dsse.envelope.v1+json", "application/vnd.in-toto+json"], false),
            (&[signature, layer], true),
        ] {
            assert_eq!(is_image_of(MediaType::OciManifest, &manifest(layers)), expected, "{layers:?}");
        }
        let mut referrer = manifest(&[layer]);
        referrer["subject"] = blob("application/vnd.oci.image.manifest.v1+json");
        assert!(!is_image_of(MediaType::OciManifest, &referrer));

        let entry = |kind: Option<&str>| {
            let mut entry = blob("application/vnd.oci.image.manifest.v1+json");
            kind.into_iter().for_each(|kind| entry["artifactType"] = kind.into());
            entry
        };
        let index = |entries: Vec<Value>| json!({ "schemaVersion": 2, "manifests": entries });
        for (entries, expected) in [
            (vec![entry(None), entry(None)], true),
            (vec![entry(Some("application/x"))], false),
            (vec![], false),
        ] {
            assert_eq!(is_image_of(MediaType::OciIndex, &index(entries)), expected);
        }
        assert!(!is_image_of(MediaType::OciManifest, &json!([])));
    }

    #[test]
    fn tags_of_attachments_are_distinguished_from_other_tags() {
        let hex = Digest::of(b"x").hex();
        for (tag, expected) in [
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}.att"), true),
            (format!("sha256-{hex}.sbom"), true),
            (format!("sha256-{hex}"), true),
            ("v1".to_owned(), false),
            ("sha256-abc".to_owned(), false),
            ("v1.sig".to_owned(), false),
        ] {
            assert_eq!(is_attached_tag(&tag.parse().unwrap()), expected, "{tag}");
        }
    }
}
