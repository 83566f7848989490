//! The initial content of the registries, written to their stores without HTTP.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Digest, MediaType, RawManifest, RepositoryPath, Tag};
use registry::sample::{self, Recipe, Sample};
use registry::{Server, Store};
use serde_json::{Value, json};

use crate::error::Error;
use crate::protocol::{Content, Image};

/// The written content.
pub(super) struct Filled {
    pub(super) images: Vec<Image>,
    /// The images that production must have in the end. Empty if it already has them.
    pub(super) expected: Vec<Expected>,
    pub(super) unique_bytes: u64,
}

/// An image that is to be promoted.
pub(super) struct Expected {
    repository: RepositoryPath,
    tag: Tag,
    digest: Digest,
}

impl Expected {
    pub(super) fn is_in(&self, store: &Store) -> bool {
        store.resolve(&self.repository, &self.tag) == Some(self.digest)
    }

    fn of(image: &Image, digest: Digest) -> Result<Self, Error> {
        Ok(Self { repository: image.production().parse()?, tag: image.tag.parse()?, digest })
    }
}

/// Fills the registries. The first one is staging.
pub(super) async fn fill(servers: &[Arc<Server>], content: &Content) -> Result<Filled, Error> {
    let Some(staging) = servers.first() else {
        return Ok(Filled { images: Vec::new(), expected: Vec::new(), unique_bytes: 0 });
    };
    match *content {
        Content::Promoted { projects, images, digests } => promoted(servers, projects, images, digests).await,
        Content::New { images, platforms, layers, layer_size, shared_layers, shared_size } => {
            let shared_layers: Vec<Bytes> =
                (0..shared_layers).map(|number| sample::layer(number as u64, shared_size)).collect();
            let recipe = |seed| Recipe {
                seed: seed as u64,
                layers,
                layer_size,
                shared_layers: shared_layers.clone(),
                ..Recipe::default()
            };
            new(staging.store(), (0..images).map(|seed| recipe(seed).index(platforms))).await
        }
        Content::Large { platforms, layers, layer_size } => {
            large(staging.store(), platforms, layers, layer_size).await
        }
    }
}

/// The manifest of an image, its tag, and its repositories in staging and in production.
struct Placed {
    staging: RepositoryPath,
    production: RepositoryPath,
    tag: Tag,
    manifest: RawManifest,
}

async fn promoted(
    servers: &[Arc<Server>],
    projects: usize,
    images: usize,
    digests: usize,
) -> Result<Filled, Error> {
    let mut described = Vec::with_capacity(projects * images * digests);
    let mut placed = Vec::with_capacity(projects * images * digests);
    for number in 0..projects * images * digests {
        let (repository, version) = (number / digests, number % digests);
        let recipe = Recipe { seed: number as u64, layers: 1, layer_size: 8, ..Recipe::default() };
        let manifest = recipe.image().root().clone();
        let image = Image {
            project: format!("project-{:03}", repository / images),
            name: format!("image-{:04}", repository % images),
            tag: format!("v1.{version}.0"),
            digest: manifest.digest().to_string(),
        };
        let (staging, production, tag) =
            (image.staging().parse()?, image.production().parse()?, image.tag.parse()?);
        placed.push(Placed { staging, production, tag, manifest });
        described.push(image);
    }
    let placed: Arc<[Placed]> = placed.into();
    let filling = servers.iter().enumerate().map(|(number, server)| {
        let (server, placed) = (Arc::clone(server), Arc::clone(&placed));
        tokio::spawn(async move {
            for image in placed.iter() {
                let repository = if number == 0 { &image.staging } else { &image.production };
                server.store().put_manifest(repository, Some(&image.tag), &image.manifest).await?;
            }
            Ok::<_, Error>(())
        })
    });
    for task in filling.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(Filled { images: described, expected: Vec::new(), unique_bytes: 0 })
}

async fn new(staging: &Store, samples: impl Iterator<Item = Sample>) -> Result<Filled, Error> {
    let (mut images, mut expected, mut sizes) = (Vec::new(), Vec::new(), HashMap::new());
    for (number, sample) in samples.enumerate() {
        let image = Image {
            project: format!("project-{}", number % 4),
            name: format!("image-{number:03}"),
            tag: "v1.0.0".to_owned(),
            digest: sample.digest().to_string(),
        };
        sample.put(staging, &image.staging().parse()?, &[image.tag.parse()?]).await?;
        sizes.extend(sample.blobs.iter().map(|blob| (Digest::of(blob), blob.len() as u64)));
        expected.push(Expected::of(&image, sample.digest())?);
        images.push(image);
    }
    Ok(Filled { images, expected, unique_bytes: sizes.values().sum() })
}

/// Writes each layer to disk as soon as it is made, because all layers together are too large for memory.
async fn large(staging: &Store, platforms: usize, layers: usize, layer_size: usize) -> Result<Filled, Error> {
    let mut image = Image {
        project: "project-0".to_owned(),
        name: "large".to_owned(),
        tag: "v1.0.0".to_owned(),
        digest: String::new(),
    };
    let repository: RepositoryPath = image.staging().parse()?;
    let (mut unique_bytes, mut children) = (0, Vec::new());
    for platform in 0..platforms {
        let mut described = Vec::new();
        for layer in 0..layers {
            let bytes = sample::layer((platform * layers + layer) as u64, layer_size);
            unique_bytes += bytes.len() as u64;
            let digest = staging.put_blob(&repository, bytes).await?;
            described.push(descriptor(
                "application/vnd.oci.image.layer.v1.tar",
                &digest.to_string(),
                layer_size,
            ));
        }
        let architecture = ["amd64", "arm64", "s390x", "ppc64le"][platform % 4];
        let config =
            Bytes::from(json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } }).to_string());
        unique_bytes += config.len() as u64;
        let size = config.len();
        let digest = staging.put_blob(&repository, config).await?;
        let config = descriptor("application/vnd.oci.image.config.v1+json", &digest.to_string(), size);
        let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::OciManifest.as_str(), "config": config, "layers": described });
        let manifest = RawManifest::new(MediaType::OciManifest, manifest.to_string().into());
        let digest = staging.put_manifest(&repository, None, &manifest).await?;
        let mut child =
            descriptor(MediaType::OciManifest.as_str(), &digest.to_string(), manifest.bytes().len());
        child["platform"] = json!({ "architecture": architecture, "os": "linux" });
        children.push(child);
    }
    let index =
        json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": children });
    let index = RawManifest::new(MediaType::OciIndex, index.to_string().into());
    let digest = staging.put_manifest(&repository, Some(&image.tag.parse()?), &index).await?;
    image.digest = digest.to_string();
    let expected = vec![Expected::of(&image, digest)?];
    Ok(Filled { images: vec![image], expected, unique_bytes })
}

fn descriptor(media_type: &str, digest: &str, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

#[cfg(test)]
mod tests {
    use registry::Config;

    use super::*;

    async fn servers(count: usize) -> Vec<Arc<Server>> {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(Arc::new(Server::start(Config::default()).await.unwrap()));
        }
        servers
    }

    #[tokio::test]
    async fn new_images_are_complete_in_staging_and_absent_elsewhere() {
        let new = Content::New {
            images: 3,
            platforms: 2,
            layers: 1,
            layer_size: 10,
            shared_layers: 2,
            shared_size: 20,
        };
        let large = Content::Large { platforms: 2, layers: 2, layer_size: 1000 };
        // Two shared layers and, for each of three images, two layers and two configurations; or four layers and two
        // configurations.
        for (content, images, layers, blobs) in
            [(new, 3, 2 * 20 + 3 * 2 * 10, 2 + 3 * 4), (large, 1, 4 * 1000, 6)]
        {
            let servers = servers(2).await;
            let filled = fill(&servers, &content).await.unwrap();
            let staging = servers[0].store();
            assert_eq!(staging.missing_parts().await.unwrap(), []);
            assert_eq!((filled.images.len(), filled.expected.len()), (images, images));
            for image in &filled.images {
                let repository = image.staging().parse().unwrap();
                let named = staging.resolve(&repository, &image.tag.parse().unwrap()).unwrap();
                assert_eq!(named.to_string(), image.digest);
            }
            let configurations = filled.unique_bytes - layers;
            assert!((60..300 * blobs).contains(&configurations), "{configurations} bytes beside the layers");
            assert!(servers[1].store().repositories().is_empty());
            assert!(filled.expected.iter().all(|image| !image.is_in(servers[1].store())));
        }
    }

    #[tokio::test]
    async fn promoted_images_are_on_every_host_under_their_own_tags() {
        let servers = servers(3).await;
        let content = Content::Promoted { projects: 2, images: 3, digests: 4 };
        let filled = fill(&servers, &content).await.unwrap();
        assert_eq!(filled.images.len(), 24);
        for (number, server) in servers.iter().enumerate() {
            assert_eq!(server.store().repositories().len(), 6);
            for image in &filled.images {
                let path = if number == 0 { image.staging() } else { image.production() };
                let named = server.store().resolve(&path.parse().unwrap(), &image.tag.parse().unwrap());
                assert_eq!(named.unwrap().to_string(), image.digest);
            }
        }
    }
}
