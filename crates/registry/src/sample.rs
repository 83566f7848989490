//! Small images for tests and the demo. The same [`Recipe`] always makes the same image, on every machine.
//!
//! Layers are meaningless bytes. Configurations and manifests conform to the OCI image specification.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci::{Digest, MediaType, RawManifest, RepositoryPath, Tag};
use serde::Serialize;

use crate::store::{Store, StoreError};

/// The platforms of an index, in turn: architecture and variant.
const PLATFORMS: [(&str, Option<&str>); 6] = [
    ("amd64", None),
    ("arm64", None),
    ("arm", Some("v7")),
    ("ppc64le", None),
    ("s390x", None),
    ("riscv64", None),
];

/// An image configuration. The order of its fields is the order in the JSON, on which every digest depends.
#[derive(Serialize)]
struct Configuration {
    created: &'static str,
    #[serde(flatten)]
    platform: Platform,
    config: Execution,
    rootfs: RootFilesystem,
}

#[derive(Serialize)]
struct Execution {
    #[serde(rename = "Labels")]
    labels: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct RootFilesystem {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
struct Platform {
    architecture: &'static str,
    os: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'static str>,
}

impl Platform {
    /// Returns the platform of an image by its position in the index.
    fn at(number: usize) -> Self {
        let (architecture, variant) = PLATFORMS[number % PLATFORMS.len()];
        Self { architecture, os: "linux", variant }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    config: Descriptor,
    layers: &'a [Descriptor],
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: &'a [Descriptor],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
}

impl Descriptor {
    fn of(media_type: &str, content: &[u8]) -> Self {
        let (digest, size) = (Digest::of(content), content.len());
        Self { media_type: media_type.to_owned(), digest, size, urls: Vec::new(), platform: None }
    }

    fn of_manifest(manifest: &RawManifest) -> Self {
        Self::of(manifest.media_type().as_str(), manifest.bytes())
    }
}

/// The media types of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Those of the OCI image specification.
    #[default]
    Oci,
    /// Those of Docker's *Image Manifest V 2, Schema 2*.
    Docker,
}

impl Format {
    const fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    const fn layer(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.layer.v1.tar",
            Self::Docker => "application/vnd.docker.image.rootfs.diff.tar",
        }
    }

    const fn foreign_layer(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.layer.nondistributable.v1.tar",
            Self::Docker => "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        }
    }

    const fn manifest(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OciManifest,
            Self::Docker => MediaType::DockerManifest,
        }
    }

    const fn index(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OciIndex,
            Self::Docker => MediaType::DockerManifestList,
        }
    }
}

/// How to make an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Images with different seeds have different content.
    pub seed: u64,
    /// The number of layers that each platform does not share.
    pub layers: usize,
    /// The size of each of these layers, in bytes.
    pub layer_size: usize,
    /// The lowest layers, which all platforms share.
    pub shared_layers: Vec<Bytes>,
    /// The media types of the image.
    pub format: Format,
}

impl Default for Recipe {
    /// Returns a recipe for two layers of 1 KiB for each platform, no shared layers, in the OCI format.
    fn default() -> Self {
        Self { seed: 0, layers: 2, layer_size: 1024, shared_layers: Vec::new(), format: Format::Oci }
    }
}

/// An image, an index or an artifact, with all its manifests and blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Configurations and layers, each once.
    pub blobs: Vec<Bytes>,
    /// Manifests in an order in which they can be pushed, children first. The last one is the root.
    pub manifests: Vec<RawManifest>,
}

impl Sample {
    /// Returns the root manifest.
    pub fn root(&self) -> &RawManifest {
        #[expect(clippy::expect_used, reason = "every function that makes a sample adds the root last")]
        self.manifests.last().expect("a sample has a root")
    }

    /// Returns the digest of the root manifest.
    pub fn digest(&self) -> Digest {
        self.root().digest()
    }

    /// Returns the total size of all blobs, in bytes.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.len() as u64).sum()
    }

    /// Puts all manifests and blobs into a repository, and sets the tags to the root manifest.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put(
        &self,
        store: &Store,
        repository: &RepositoryPath,
        tags: &[Tag],
    ) -> Result<(), StoreError> {
        for blob in &self.blobs {
            store.put_blob(repository, blob.clone()).await?;
        }
        for manifest in &self.manifests {
            store.put_manifest(repository, None, manifest).await?;
        }
        for tag in tags {
            store.put_manifest(repository, Some(tag), self.root()).await?;
        }
        Ok(())
    }

    fn add_blob(&mut self, blob: Bytes) {
        if !self.blobs.contains(&blob) {
            self.blobs.push(blob);
        }
    }
}

impl Recipe {
    /// Makes an image for one platform, `linux/amd64`.
    pub fn image(&self) -> Sample {
        let mut sample = Sample { blobs: Vec::new(), manifests: Vec::new() };
        let manifest = self.platform_image(&mut sample, 0, Vec::new());
        sample.manifests.push(manifest);
        sample
    }

    /// Makes an index of images for the given number of platforms.
    pub fn index(&self, platforms: usize) -> Sample {
        let mut sample = Sample { blobs: Vec::new(), manifests: Vec::new() };
        let children: Vec<_> =
            (0..platforms).map(|number| self.platform_child(&mut sample, number)).collect();
        sample.manifests.push(self.index_of(&children));
        sample
    }

    /// Makes an index of two entries: an index of two platforms, and the image of a third platform.
    pub fn nested_index(&self) -> Sample {
        let mut sample = self.index(2);
        let inner = Descriptor::of_manifest(sample.root());
        let third = self.platform_child(&mut sample, 2);
        sample.manifests.push(self.index_of(&[inner, third]));
        sample
    }

    /// Makes an image whose lowest layer is foreign and is not among the blobs.
    pub fn image_with_foreign_layer(&self) -> Sample {
        let mut sample = Sample { blobs: Vec::new(), manifests: Vec::new() };
        let absent = random_bytes(self.layer_size, &[self.seed, u64::MAX]);
        let mut layer = Descriptor::of(self.format.foreign_layer(), &absent);
        layer.urls.push(format!("https://layers.example/{}", layer.digest));
        let manifest = self.platform_image(&mut sample, 0, vec![layer]);
        sample.manifests.push(manifest);
        sample
    }

    /// Makes an artifact with the given configuration type and the layers of the recipe, as Helm charts are.
    pub fn artifact(&self, config_type: &str) -> Sample {
        let name = format!("chart-{}", self.seed);
        let config = Bytes::from(format!("{{\"name\":\"{name}\",\"version\":\"0.1.0\"}}"));
        self.artifact_of(config_type, config, None, None)
    }

    /// Makes an artifact with an empty configuration, the layers of the recipe, and the given manifest as its subject.
    pub fn referrer(&self, subject: &RawManifest, artifact_type: &str) -> Sample {
        let empty = Bytes::from_static(b"{}");
        let config_type = "application/vnd.oci.empty.v1+json";
        self.artifact_of(config_type, empty, Some(artifact_type), Some(Descriptor::of_manifest(subject)))
    }

    fn artifact_of(
        &self,
        config_type: &str,
        config: Bytes,
        artifact_type: Option<&str>,
        subject: Option<Descriptor>,
    ) -> Sample {
        let mut sample = Sample { blobs: Vec::new(), manifests: Vec::new() };
        let described = Descriptor::of(config_type, &config);
        sample.add_blob(config);
        let layers = self.own_layers(&mut sample, 0);
        let media_type = MediaType::OciManifest;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type.as_str(),
            artifact_type,
            config: described,
            layers: &layers,
            subject,
        };
        let manifest = written(&manifest);
        sample.manifests.push(RawManifest::new(media_type, manifest));
        sample
    }

    /// Makes the image of one platform and adds its blobs to `sample`. `lowest` are layers below all others.
    fn platform_image(&self, sample: &mut Sample, number: usize, lowest: Vec<Descriptor>) -> RawManifest {
        let mut layers = lowest;
        for shared in &self.shared_layers {
            layers.push(Descriptor::of(self.format.layer(), shared));
            sample.add_blob(shared.clone());
        }
        layers.extend(self.own_layers(sample, number));
        let labels = [("sample.seed", self.seed.to_string()), ("sample.platform", number.to_string())]
            .into_iter()
            .collect();
        let config = written(&Configuration {
            created: "2024-01-01T00:00:00Z",
            platform: Platform::at(number),
            config: Execution { labels },
            // The layers are not compressed, so their diff IDs are their digests.
            rootfs: RootFilesystem {
                kind: "layers",
                diff_ids: layers.iter().map(|layer| layer.digest).collect(),
            },
        });
        let media_type = self.format.manifest();
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type.as_str(),
            artifact_type: None,
            config: Descriptor::of(self.format.config(), &config),
            layers: &layers,
            subject: None,
        };
        let manifest = written(&manifest);
        sample.add_blob(config);
        RawManifest::new(media_type, manifest)
    }

    /// Makes the image of one platform and its entry in an index.
    fn platform_child(&self, sample: &mut Sample, number: usize) -> Descriptor {
        let manifest = self.platform_image(sample, number, Vec::new());
        let child = Descriptor { platform: Some(Platform::at(number)), ..Descriptor::of_manifest(&manifest) };
        sample.manifests.push(manifest);
        child
    }

    fn own_layers(&self, sample: &mut Sample, platform: usize) -> Vec<Descriptor> {
        (0..self.layers)
            .map(|layer| {
                let bytes = random_bytes(self.layer_size, &[self.seed, platform as u64, layer as u64]);
                let described = Descriptor::of(self.format.layer(), &bytes);
                sample.add_blob(bytes);
                described
            })
            .collect()
    }

    fn index_of(&self, children: &[Descriptor]) -> RawManifest {
        let media_type = self.format.index();
        let index = Index { schema_version: 2, media_type: media_type.as_str(), manifests: children };
        let index = written(&index);
        RawManifest::new(media_type, index)
    }
}

/// Makes a layer for [`Recipe::shared_layers`]. Its content differs from the layers that recipes make.
pub fn layer(seed: u64, size: usize) -> Bytes {
    random_bytes(size, &[u64::MAX, seed])
}

fn written(content: &impl Serialize) -> Bytes {
    #[expect(
        clippy::expect_used,
        reason = "the types of this module have only string keys, which always serialize"
    )]
    serde_json::to_vec(content).expect("plain data serializes").into()
}

/// Returns bytes that differ for different seeds. They come from SplitMix64, so no update of a library changes them.
fn random_bytes(size: usize, seeds: &[u64]) -> Bytes {
    fn mix(state: u64) -> u64 {
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    let mut state = seeds.iter().fold(0, |state: u64, seed| mix(state.wrapping_add(*seed).wrapping_add(1)));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bytes.extend_from_slice(&mix(state).to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn samples(recipe: &Recipe) -> Vec<Sample> {
        let image = recipe.image();
        let referrer = recipe.referrer(image.root(), "application/vnd.example");
        let artifact = recipe.artifact("application/vnd.cncf.helm.config.v1+json");
        vec![
            image,
            recipe.index(4),
            recipe.nested_index(),
            recipe.image_with_foreign_layer(),
            artifact,
            referrer,
        ]
    }

    #[test]
    fn the_content_of_an_image_depends_only_on_its_recipe() {
        let recipe = Recipe { seed: 7, ..Recipe::default() };
        assert_eq!(recipe.index(4), recipe.index(4));
        let other = Recipe { seed: 8, ..Recipe::default() };
        assert_ne!(recipe.index(4).digest(), other.index(4).digest());
        assert!(recipe.index(4).blobs.iter().all(|blob| !other.index(4).blobs.contains(blob)));
        assert_eq!(
            recipe.image().digest().to_string(),
            "sha256:344b99a8ecb57c6c034d60decf732c60cc8ebf6ca3f8607bf86268bf9e88f07f",
            "the digests of samples never change"
        );
    }

    #[tokio::test]
    async fn every_sample_parses_and_is_complete_in_both_formats() {
        let repository: RepositoryPath = "samples".parse().unwrap();
        for format in [Format::Oci, Format::Docker] {
            let recipe = Recipe { format, shared_layers: vec![layer(1, 10)], ..Recipe::default() };
            for sample in samples(&recipe) {
                let store = Store::in_memory();
                sample.put(&store, &repository, &["v1".parse().unwrap()]).await.unwrap();
                assert_eq!(store.missing_parts().await.unwrap(), [], "{sample:?}");
                assert_eq!(store.resolve(&repository, &"v1".parse().unwrap()), Some(sample.digest()));
                for manifest in &sample.manifests {
                    let parts = manifest.parse().unwrap();
                    assert!(!parts.blobs.is_empty() || !parts.children.is_empty(), "{manifest:?}");
                }
            }
        }
    }

    #[test]
    fn layers_follow_the_recipe() {
        let recipe = Recipe { layers: 2, shared_layers: vec![layer(1, 10)], ..Recipe::default() };
        let index = recipe.index(4);
        assert_eq!(index.manifests.len(), 5);
        assert_eq!(index.blobs.len(), 4 * 2 + 4 + 1, "own layers, configurations, and the shared layer once");
        let image = index.manifests[0].parse().unwrap();
        assert_eq!(image.blobs.len(), 1 + 1 + 2);
        let nested = recipe.nested_index();
        assert!(nested.root().parse().unwrap().children[0].media_type.is_index());
        let foreign = recipe.image_with_foreign_layer();
        let parts = foreign.root().parse().unwrap();
        assert_eq!(parts.blobs.iter().filter(|blob| blob.foreign).count(), 1);
        assert!(
            foreign.blobs.iter().all(|blob| parts.blobs[1].digest != Digest::of(blob)),
            "a foreign layer is not among the blobs"
        );
    }

    #[test]
    fn configurations_follow_the_image_specification() {
        let index = Recipe::default().index(3);
        let manifest = index.manifests[2].parse().unwrap();
        let config = index.blobs.iter().find(|blob| Digest::of(blob) == manifest.blobs[0].digest).unwrap();
        let config: Value = serde_json::from_slice(config).unwrap();
        assert_eq!((&config["architecture"], &config["variant"]), (&json!("arm"), &json!("v7")));
        assert_eq!(config["rootfs"]["diff_ids"][0], json!(manifest.blobs[1].digest));
    }
}
