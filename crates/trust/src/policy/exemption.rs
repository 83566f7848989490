//! The entries of an index that policies do not cover: BuildKit's attestation manifests, and nothing else (specification 02,
//! *Phases / Provenance*).
//!
//! Policies, signing, verification summaries and audits all use [`is_exempt`]. Exempt entries are neither signed nor
//! summarised.

use std::collections::{HashMap, HashSet};

use oci::{Descriptor, Digest, MediaType, RawManifest};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The media type of in-toto statements. BuildKit's attestation manifests have only such layers.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// The platform that BuildKit sets on attestation manifests.
const NO_PLATFORM: &str = "unknown/unknown";

/// Whether an index claims that an entry is BuildKit's attestation manifest of another entry. Such an entry has the type
/// `attestation-manifest`, the digest of a sibling that is not an attestation manifest itself, and either no platform or
/// `unknown/unknown`.
///
/// The pusher of the index makes this claim, so it proves nothing. If it is made, the manifest must be read and checked with
/// [`is_exempt`]. All other entries are not exempt, regardless of their platform.
pub fn claims_exemption(siblings: &[Descriptor], child: &Descriptor) -> bool {
    let is_image = |digest: &Digest| {
        let mut entries = siblings.iter().filter(|other| other.digest == *digest).peekable();
        *digest != child.digest && entries.peek().is_some() && entries.all(|other| other.attests.is_none())
    };
    // BuildKit gives them no platform, so that no client selects one to run.
    let is_for_no_platform = child.platform.as_deref().is_none_or(|platform| platform == NO_PLATFORM);
    !child.media_type.is_index() && is_for_no_platform && child.attests.as_ref().is_some_and(is_image)
}

/// Whether an entry of an index is BuildKit's attestation manifest, which policies do not cover and which is never signed.
///
/// `siblings` are all entries of the index, `child` is one of them, and `manifest` is the manifest of its digest. The index
/// must claim the exemption ([`claims_exemption`]). The manifest must be an image manifest with at least one layer, and all
/// layers must be in-toto statements. A manifest is not exempt if it cannot be parsed, does not match its digest, or has
/// members that the image specification does not define, because no client may find anything in it to run.
pub fn is_exempt(siblings: &[Descriptor], child: &Descriptor, manifest: &RawManifest) -> bool {
    claims_exemption(siblings, child) && child.digest.names(manifest.bytes()) && has_only_statements(manifest)
}

/// Returns the manifests of an image that are exempt in every index of the image that lists them.
///
/// `indexes` are the entries of each index of the image. `manifest` returns the manifest of an entry that claims to be
/// exempt, or `None` if it could not be read.
pub fn exempt_parts<'a, 'm>(
    indexes: impl IntoIterator<Item = &'a [Descriptor]>,
    mut manifest: impl FnMut(&Digest) -> Option<&'m RawManifest>,
) -> HashSet<Digest> {
    let mut listed: HashMap<Digest, bool> = HashMap::new();
    for siblings in indexes {
        for child in siblings {
            let is_exempt = claims_exemption(siblings, child)
                && manifest(&child.digest).is_some_and(|manifest| is_exempt(siblings, child, manifest));
            let everywhere = listed.entry(child.digest).or_insert(true);
            *everywhere &= is_exempt;
        }
    }
    listed.into_iter().filter_map(|(digest, is_exempt)| is_exempt.then_some(digest)).collect()
}

/// Whether a manifest is an image manifest whose layers are all in-toto statements.
fn has_only_statements(manifest: &RawManifest) -> bool {
    if !matches!(manifest.media_type(), MediaType::OciManifest | MediaType::DockerManifest) {
        return false;
    }
    // Different clients may interpret a contradictory manifest differently.
    if manifest.parse().is_err() {
        return false;
    }
    let Ok(Image { layers, .. }) = serde_json::from_slice(manifest.bytes()) else { return false };
    !layers.is_empty() && layers.iter().all(|layer| layer.media_type == STATEMENT)
}

/// An image manifest with only the members of the specification. Clients that ignore the case of names would find other
/// layers under `LAYERS`, so unknown members are refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the unread members are declared so that `deny_unknown_fields` accepts them")]
struct Image {
    schema_version: Option<IgnoredAny>,
    media_type: Option<IgnoredAny>,
    artifact_type: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Vec<Layer>,
    subject: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
}

/// A descriptor with only these members. BuildKit does not write content with external locations (`urls`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the unread members are declared so that `deny_unknown_fields` accepts them")]
struct Layer {
    media_type: String,
    digest: IgnoredAny,
    size: IgnoredAny,
    annotations: Option<IgnoredAny>,
    data: Option<IgnoredAny>,
    artifact_type: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn blob(media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": Digest::of(media_type.as_bytes()).to_string(), "size": 3 })
    }

    /// Creates an image manifest with layers of these types, as BuildKit writes it.
    fn image(layers: &[&str]) -> Value {
        let layers: Vec<Value> = layers.iter().map(|kind| blob(kind)).collect();
        let config = blob("application/vnd.oci.image.config.v1+json");
        json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers })
    }

    fn raw(manifest: &Value) -> RawManifest {
        let media_type = manifest["mediaType"].as_str().unwrap();
        RawManifest::new(MediaType::parse(media_type), serde_json::to_vec(manifest).unwrap().into())
    }

    /// Creates an entry for a manifest. `attests` makes the entry claim to be the attestation manifest of another.
    fn entry(manifest: &RawManifest, attests: Option<Digest>) -> Descriptor {
        Descriptor {
            media_type: manifest.media_type().clone(),
            digest: manifest.digest(),
            size: manifest.bytes().len() as u64,
            foreign: false,
            platform: Some("unknown/unknown".to_owned()),
            attests,
        }
    }

    /// Whether a manifest is exempt if it is listed beside an image and annotated as the image's attestation manifest.
    fn exempt(manifest: &Value) -> bool {
        let (subject, manifest) = (raw(&image(&[LAYER])), raw(manifest));
        let siblings = [entry(&subject, None), entry(&manifest, Some(subject.digest()))];
        is_exempt(&siblings, &siblings[1], &manifest)
    }

    #[test]
    fn buildkits_attestation_manifests_are_exempt() {
        assert!(exempt(&image(&[STATEMENT])));
        let mut with_more = image(&[STATEMENT, STATEMENT]);
        with_more["artifactType"] = "application/vnd.docker.attestation.manifest.v1+json".into();
        with_more["subject"] = blob(IMAGE);
        with_more["annotations"] = json!({ "a": "b" });
        for layer in with_more["layers"].as_array_mut().unwrap() {
            layer["annotations"] = json!({ "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1" });
        }
        assert!(exempt(&with_more));
    }

    #[test]
    fn entries_for_platforms_and_about_attestation_manifests_are_not_exempt() {
        let (subject, manifest) = (raw(&image(&[LAYER])), raw(&image(&[STATEMENT])));
        for (platform, expected) in [
            (None, true),
            (Some("unknown/unknown"), true),
            (Some("linux/amd64"), false),
            (Some("linux/unknown"), false),
        ] {
            let listed = Descriptor {
                platform: platform.map(str::to_owned),
                ..entry(&manifest, Some(subject.digest()))
            };
            let siblings = [entry(&subject, None), listed];
            assert_eq!(is_exempt(&siblings, &siblings[1], &manifest), expected, "{platform:?}");
        }
        let other = raw(&image(&[STATEMENT, STATEMENT]));
        let each_other = [entry(&manifest, Some(other.digest())), entry(&other, Some(manifest.digest()))];
        assert!(!is_exempt(&each_other, &each_other[0], &manifest));
        assert!(!is_exempt(&each_other, &each_other[1], &other));
    }

    #[test]
    fn a_manifest_with_any_other_layer_or_none_is_not_exempt() {
        for layers in [&[][..], &[LAYER], &[STATEMENT, LAYER], &[LAYER, STATEMENT]] {
            assert!(!exempt(&image(layers)), "{layers:?}");
        }
        for almost in
            ["application/vnd.in-toto+json ", "APPLICATION/vnd.in-toto+json", "application/json", ""]
        {
            assert!(!exempt(&image(&[almost])), "{almost:?}");
        }
        let mut nameless = image(&[STATEMENT]);
        nameless["layers"][0].as_object_mut().unwrap().remove("mediaType");
        assert!(!exempt(&nameless));
    }

    #[test]
    fn an_index_is_never_exempt() {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [blob(IMAGE)] });
        assert!(!exempt(&index));
        let (subject, index) = (raw(&image(&[LAYER])), raw(&index));
        let listed_as_image =
            Descriptor { media_type: MediaType::OciManifest, ..entry(&index, Some(subject.digest())) };
        let siblings = [entry(&subject, None), listed_as_image];
        assert!(!is_exempt(&siblings, &siblings[1], &index));
        let statements = raw(&image(&[STATEMENT]));
        let listed_as_index =
            Descriptor { media_type: MediaType::OciIndex, ..entry(&statements, Some(subject.digest())) };
        let siblings = [entry(&subject, None), listed_as_index];
        assert!(!is_exempt(&siblings, &siblings[1], &statements));
    }

    /// Clients that ignore the case of names find the layers to run under other names.
    #[test]
    fn an_ambiguous_manifest_is_not_exempt() {
        let mut other_case = image(&[STATEMENT]);
        other_case["Layers"] = json!([blob(LAYER)]);
        let mut layer_in_other_case = image(&[STATEMENT]);
        layer_in_other_case["layers"][0]["MediaType"] = LAYER.into();
        let mut elsewhere = image(&[STATEMENT]);
        elsewhere["layers"][0]["urls"] = json!(["https://a.example"]);
        let mut also_an_index = image(&[STATEMENT]);
        also_an_index["manifests"] = json!([blob(IMAGE)]);
        for manifest in [other_case, layer_in_other_case, elsewhere, also_an_index] {
            assert!(!exempt(&manifest), "{manifest}");
        }
        let subject = raw(&image(&[LAYER]));
        let twice = serde_json::to_string(&image(&[LAYER])).unwrap();
        let statements = serde_json::to_string(&image(&[STATEMENT])["layers"]).unwrap();
        let twice = format!("{},\"layers\":{statements}}}", twice.trim_end_matches('}'));
        let twice = RawManifest::new(MediaType::OciManifest, twice.into());
        let siblings = [entry(&subject, None), entry(&twice, Some(subject.digest()))];
        assert!(!is_exempt(&siblings, &siblings[1], &twice));
    }

    #[test]
    fn only_the_annotations_of_the_index_make_an_entry_exempt() {
        let (subject, statements) = (raw(&image(&[LAYER])), raw(&image(&[STATEMENT])));
        let elsewhere = Digest::of(b"in another index");
        for attests in [None, Some(elsewhere), Some(statements.digest())] {
            let siblings = [entry(&subject, None), entry(&statements, attests)];
            assert!(!claims_exemption(&siblings, &siblings[1]), "{attests:?}");
            assert!(!is_exempt(&siblings, &siblings[1], &statements), "{attests:?}");
        }
    }

    #[test]
    fn the_manifest_of_another_entry_proves_nothing() {
        let (subject, statements) = (raw(&image(&[LAYER])), raw(&image(&[STATEMENT])));
        let runs = raw(&image(&[LAYER, LAYER]));
        let siblings = [entry(&subject, None), entry(&runs, Some(subject.digest()))];
        assert!(claims_exemption(&siblings, &siblings[1]));
        assert!(!is_exempt(&siblings, &siblings[1], &statements));
    }

    #[test]
    fn a_part_is_exempt_only_if_it_is_exempt_in_every_index_that_lists_it() {
        let (subject, statements) = (raw(&image(&[LAYER])), raw(&image(&[STATEMENT])));
        let as_attestation = vec![entry(&subject, None), entry(&statements, Some(subject.digest()))];
        let as_image = vec![entry(&statements, None)];
        let manifest = |digest: &Digest| (*digest == statements.digest()).then_some(&statements);
        let exempt_in = |indexes: &[Vec<Descriptor>]| {
            exempt_parts(indexes.iter().map(Vec::as_slice), manifest).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(exempt_in(std::slice::from_ref(&as_attestation)), [statements.digest()]);
        assert!(exempt_in(&[as_attestation.clone(), as_image.clone()]).is_empty());
        assert!(exempt_in(&[as_image, as_attestation.clone()]).is_empty());
        let unread = exempt_parts([as_attestation.as_slice()], |_| None);
        assert!(unread.is_empty(), "a manifest that could not be read is not exempt");
    }
}
