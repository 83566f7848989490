//! Adding layers to the manifest under a tag of cosign's scheme.

use bytes::Bytes;
use futures_util::future::try_join_all;
use oci_types::Digest;
use oci_types::{MediaType, RawManifest};
use oci_types::{Repository, Tag};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Known;
use super::attachment::{AttachedBlob, Attachment};
use super::document::{Document, WrittenDescriptor, raw, written};
use super::fallback::{CHANGES_MAX, changes};
use super::push::NewLayer;
use crate::error::{Error, ErrorKind};
use crate::write::NotWritten;
use crate::writer::Writer;

/// The configurations that name their image's layers.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// No time: what is written for the same layers is the same, whenever that is.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What came of adding layers to a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The digest of the manifest that the tag names now.
    pub digest: Digest,
    /// Whether the tag was written; not where it had all the layers.
    pub written: bool,
}

/// The configuration of an image that runs nowhere, as cosign has it.
#[derive(Serialize)]
struct Configuration {
    architecture: &'static str,
    created: &'static str,
    history: Vec<History>,
    os: &'static str,
    rootfs: RootFilesystem,
    config: Execution,
}

#[derive(Clone, Serialize)]
struct History {
    created: &'static str,
}

#[derive(Serialize)]
struct RootFilesystem {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
struct Execution {}

/// What the tag has after layers were added.
struct Extended {
    document: Document,
    media_type: MediaType,
    /// Whose configuration it has; `None` where that is of a kind that names no layers, and stays as it is.
    config_type: Option<&'static str>,
    /// The layers that were there.
    before: Vec<AttachedBlob>,
    entries: Vec<Box<RawValue>>,
}

impl Writer {
    /// Adds layers to the manifest under a tag such as `sha256-<hex>.sig`, which is made where there is none. Layers that
    /// are there stay first, in their order, with all that the manifest says of them; a layer that is there with the same
    /// annotations is not added again.
    ///
    /// One request where the tag has all the layers. Otherwise one that reads the tag (none where it is [`Known::Absent`]),
    /// two for each new layer (one where the repository has it, none where the manifest has named it before), two for the
    /// configuration, which names all layers, one that looks at the tag once more and one for the manifest.
    ///
    /// The tag is written by one caller at a time in this process. Another process that writes it between the look and the write
    /// may lose what it wrote, unless the host has `conditional_writes`: the protocol knows no lock.
    ///
    /// # Errors
    /// When the tag names something else than the manifest of an image, when there is neither a manifest nor a layer, or when
    /// the registry does not take a part of it.
    pub async fn append(
        &self,
        repository: &Repository,
        tag: &Tag,
        layers: &[NewLayer],
        mut known: Known,
    ) -> Result<Appended, Error> {
        let doing = format!("adding to {repository}:{tag}");
        let memory = &self.own.attached;
        let _turn = memory.turn(repository, tag).await;
        for _ in 0..CHANGES_MAX {
            let current = self.under_tag(repository, tag, known).await?;
            let before = current.as_ref().map(RawManifest::digest);
            let mut extended = match current {
                None => Extended::empty()?,
                Some(manifest) => {
                    let attachment = Attachment::parse(manifest)
                        .map_err(|error| Error::new(&doing, ErrorKind::Manifest(error)))?;
                    Extended::of(attachment, &doing)?
                }
            };
            let new = extended.lacking(layers);
            if let Some(digest) = before.filter(|_| new.is_empty()) {
                return Ok(Appended { digest, written: false });
            }
            if new.is_empty() {
                return Err(Error::new(doing, ErrorKind::Content("there is nothing to add".to_owned())));
            }
            let config = extended.add(&new)?;
            let manifest = extended.document.manifest(extended.media_type.clone(), &doing)?;
            self.bring_all(repository, extended.new_blobs(&new, config)).await?;
            match self.extend_tag(repository, tag, &manifest, before).await {
                Ok(_) => return Ok(Appended { digest: manifest.digest(), written: true }),
                // Another client has written it meanwhile: what it has added stays.
                Err(NotWritten::Changed(_)) => known = Known::Unknown,
                Err(NotWritten::Failed(error)) => return Err(error),
            }
        }
        Err(changes(doing))
    }

    async fn bring_all(&self, repository: &Repository, blobs: Vec<Bytes>) -> Result<(), Error> {
        let bringing =
            blobs.into_iter().map(|blob| Box::pin(self.bring_small(repository, Digest::of(&blob), blob)));
        try_join_all(bringing).await.map(drop)
    }
}

impl Extended {
    fn empty() -> Result<Self, Error> {
        let media_type = MediaType::OciManifest;
        Ok(Self {
            document: Document::empty(&media_type)?,
            media_type,
            config_type: Some(OCI_CONFIG),
            before: Vec::new(),
            entries: Vec::new(),
        })
    }

    fn of(attachment: Attachment, doing: &str) -> Result<Self, Error> {
        let document = Document::of(&attachment.manifest, doing)?;
        let known = |kind: &&&str| ***kind == *attachment.config.media_type;
        Ok(Self {
            entries: document.entries("layers", doing)?,
            document,
            media_type: attachment.manifest.media_type().clone(),
            config_type: [OCI_CONFIG, DOCKER_CONFIG].iter().find(known).copied(),
            before: attachment.layers,
        })
    }

    /// Those of some layers that are not there, each once.
    fn lacking<'a>(&self, layers: &'a [NewLayer]) -> Vec<&'a NewLayer> {
        let mut lacking: Vec<&NewLayer> = Vec::new();
        for layer in layers {
            let digest = Digest::of(&layer.content);
            let there =
                self.before.iter().any(|old| old.digest == digest && old.annotations == layer.annotations);
            let twice = lacking
                .iter()
                .any(|other| other.content == layer.content && other.annotations == layer.annotations);
            if !there && !twice {
                lacking.push(layer);
            }
        }
        lacking
    }

    /// The blobs that the manifest has not named before, each once.
    fn new_blobs(&self, new: &[&NewLayer], config: Option<Bytes>) -> Vec<Bytes> {
        let is_new = |content: &Bytes| {
            let digest = Digest::of(content);
            self.before.iter().all(|layer| layer.digest != digest)
        };
        let mut blobs: Vec<Bytes> = new.iter().map(|layer| layer.content.clone()).filter(is_new).collect();
        blobs.extend(config);
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }

    /// Adds layers, and gives the configuration that goes with them, where it has changed.
    fn add(&mut self, new: &[&NewLayer]) -> Result<Option<Bytes>, Error> {
        let added = new.iter().map(|layer| layer.descriptor());
        // Layers of these manifests are not compressed: unpacked they have the digest that they are stored by.
        let digests =
            self.before.iter().map(|layer| layer.digest).chain(added.clone().map(|layer| layer.digest));
        let config = configuration(digests.collect())?;
        for layer in added {
            self.entries.push(raw(&layer)?);
        }
        self.document.set("layers", &self.entries)?;
        let Some(kind) = self.config_type else { return Ok(None) };
        let descriptor = WrittenDescriptor::new(kind, Digest::of(&config), config.len() as u64);
        self.document.set("config", &descriptor)?;
        Ok(Some(config))
    }
}

/// The configuration of a manifest with these layers.
fn configuration(layers: Vec<Digest>) -> Result<Bytes, Error> {
    written(&Configuration {
        architecture: "",
        created: NEVER,
        history: vec![History { created: NEVER }; layers.len()],
        os: "",
        rootfs: RootFilesystem { kind: "layers", diff_ids: layers },
        config: Execution {},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn layer(content: &'static str, annotation: &str) -> NewLayer {
        NewLayer {
            media_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
            content: Bytes::from_static(content.as_bytes()),
            annotations: BTreeMap::from([(
                "dev.cosignproject.cosign/signature".to_owned(),
                annotation.to_owned(),
            )]),
        }
    }

    /// The configuration of a manifest that cosign made with one signature.
    #[test]
    fn a_configuration_is_the_one_that_cosign_writes() {
        let digest = Digest::of(b"payload");
        assert_eq!(
            configuration(vec![digest]).unwrap(),
            format!(
                r#"{{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{{"created":"0001-01-01T00:00:00Z"}}],"os":"","rootfs":{{"type":"layers","diff_ids":["{digest}"]}},"config":{{}}}}"#
            )
        );
    }

    #[test]
    fn a_layer_is_there_only_with_the_same_annotations() {
        let mut extended = Extended::empty().unwrap();
        let first = layer("a", "1");
        extended.add(&[&first]).unwrap();
        let manifest = extended.document.manifest(MediaType::OciManifest, "testing").unwrap();
        let extended = Extended::of(Attachment::parse(manifest).unwrap(), "testing").unwrap();
        let (resigned, other) = (layer("a", "2"), layer("b", "1"));
        let all = [first.clone(), resigned.clone(), first, other.clone(), resigned.clone()];
        assert_eq!(extended.lacking(&all), [&resigned, &other]);
    }

    #[test]
    fn a_configuration_that_names_no_layers_stays() {
        let config = format!(r#"{{"mediaType":"a/b","digest":"{}","size":2}}"#, Digest::of(b"{}"));
        let text =
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"annotations":{{"a":"b"}}}}"#);
        let manifest = RawManifest::new(MediaType::OciManifest, text.into());
        let mut extended = Extended::of(Attachment::parse(manifest).unwrap(), "testing").unwrap();
        assert_eq!(extended.add(&[&layer("a", "1")]).unwrap(), None);
        let manifest = extended.document.manifest(MediaType::OciManifest, "testing").unwrap();
        let read = Attachment::parse(manifest).unwrap();
        assert_eq!((read.config.digest, read.layers.len()), (Digest::of(b"{}"), 1));
        assert_eq!(read.annotations["a"], "b", "what it said of itself it still says");
    }
}
