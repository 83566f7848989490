//! Damages attachments of images: deletes, truncates and replaces them.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci::{AttachedTag, AttachmentKind, Digest, MediaType, RawManifest, RepositoryPath, Tag};
use rand::RngExt;
use rand::rngs::StdRng;
use registry::Store;
use serde_json::Value;

/// Damages attachments of a repository at random, each with this probability. Returns descriptions of the damage.
pub(crate) async fn damage(
    store: &Store,
    path: &RepositoryPath,
    share: f64,
    random: &mut StdRng,
) -> Vec<String> {
    let mut done = Vec::new();
    let tags: BTreeMap<Tag, Digest> = store.tags(path);
    for (tag, digest) in &tags {
        let is_signature = AttachedTag::parse(tag).is_some_and(|tag| tag.kind() == AttachmentKind::Signature);
        let is_list = tag.as_str().replacen('-', ":", 1).parse::<Digest>().is_ok();
        if (!is_signature && !is_list) || !random.random_bool(share) {
            continue;
        }
        let manifest = store.manifest(path, digest).await.unwrap().unwrap();
        let how = match (random.random_range(0..5), is_signature) {
            (0, _) => {
                store.delete_tag(path, tag).await.unwrap();
                "deleted"
            }
            (1, _) => {
                let cut = manifest.bytes().slice(..manifest.bytes().len() / 2);
                let cut = RawManifest::new(manifest.media_type().clone(), cut);
                store.put_manifest(path, Some(tag), &cut).await.unwrap();
                "cut"
            }
            (2, true) => {
                let other = another(&tags, tag);
                let other = store.manifest(path, &other).await.unwrap().unwrap();
                store.put_manifest(path, Some(tag), &other).await.unwrap();
                "replaced by the signatures of another image"
            }
            (3, true) => {
                cut_layers(store, path, tag, &manifest).await;
                "the payloads are cut"
            }
            (4, true) => {
                for layer in blobs(&manifest, "layers") {
                    store.delete_blob(path, layer).await.unwrap();
                }
                "the payloads are deleted"
            }
            _ => {
                let empty = format!(
                    r#"{{"schemaVersion":2,"mediaType":"{0}","manifests":[]}}"#,
                    MediaType::OciIndex.as_str()
                );
                let empty = RawManifest::new(MediaType::OciIndex, empty.into());
                store.put_manifest(path, Some(tag), &empty).await.unwrap();
                "replaced by an empty list"
            }
        };
        done.push(format!("{path}:{tag}: {how}"));
    }
    done.extend(damage_referrers(store, path, share, random).await);
    done
}

/// Returns the manifest that another signature tag names, or the manifest of the tag itself if no other names it.
fn another(tags: &BTreeMap<Tag, Digest>, tag: &Tag) -> Digest {
    let others = tags.iter().filter(|(other, _)| *other != tag && AttachedTag::parse(other).is_some());
    others.map(|(_, digest)| *digest).next().unwrap_or(tags[tag])
}

async fn cut_layers(store: &Store, path: &RepositoryPath, tag: &Tag, manifest: &RawManifest) {
    let mut json: Value = serde_json::from_slice(manifest.bytes()).unwrap();
    for layer in json["layers"].as_array_mut().unwrap() {
        let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
        let Some(payload) = store.blob(path, &digest).await.unwrap() else { continue };
        let cut = payload.slice(..payload.len() / 2);
        layer["size"] = cut.len().into();
        layer["digest"] = store.put_blob(path, cut).await.unwrap().to_string().into();
    }
    let cut = RawManifest::new(manifest.media_type().clone(), Bytes::from(json.to_string()));
    store.put_manifest(path, Some(tag), &cut).await.unwrap();
}

async fn damage_referrers(
    store: &Store,
    path: &RepositoryPath,
    share: f64,
    random: &mut StdRng,
) -> Vec<String> {
    let mut done = Vec::new();
    for digest in store.manifests(path) {
        let manifest = store.manifest(path, &digest).await.unwrap().unwrap();
        let is_referrer = manifest.parse().is_ok_and(|parsed| parsed.subject.is_some());
        if !is_referrer || !random.random_bool(share) {
            continue;
        }
        if random.random_bool(0.5) {
            store.delete_manifest(path, digest).await.unwrap();
            done.push(format!("{path}@{digest}: deleted"));
        } else {
            for layer in blobs(&manifest, "layers") {
                store.delete_blob(path, layer).await.unwrap();
            }
            done.push(format!("{path}@{digest}: the bundle is deleted"));
        }
    }
    done
}

fn blobs(manifest: &RawManifest, member: &str) -> Vec<Digest> {
    let json: Value = serde_json::from_slice(manifest.bytes()).unwrap();
    let listed = json[member].as_array().unwrap().iter();
    listed.map(|blob| blob["digest"].as_str().unwrap().parse().unwrap()).collect()
}
