//! Adding layers to the manifest under a cosign tag.

use std::collections::HashSet;

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
use super::fallback::{CHANGES_MAX, changes, is_damaged, says_parts_are_missing};
use super::push::NewLayer;
use crate::error::{Error, ErrorKind};
use crate::write::NotWritten;
use crate::writer::Writer;

/// Media types of the configurations that list the layers of their image.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A fixed creation time, so that the same layers always produce the same bytes.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The result of [`Writer::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The digest of the manifest that the tag now names.
    pub digest: Digest,
    /// Whether the tag was written; `false` if the manifest already had all the layers.
    pub written: bool,
}

/// The configuration of an image that cannot be run, as cosign writes it.
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

/// The manifest of a tag with its layers, old and new.
struct Extended {
    document: Document,
    media_type: MediaType,
    /// The media type of its configuration; `None` if configurations of that type list no layers and are kept unchanged.
    config_type: Option<&'static str>,
    /// The layers that the manifest had before.
    before: Vec<AttachedBlob>,
    entries: Vec<Box<RawValue>>,
}

impl Writer {
    /// Adds layers to the manifest under a tag such as `sha256-<hex>.sig`. Creates the tag if it does not exist. Existing layers
    /// come first, in their order, with everything that the manifest says about them. A layer that exists with the same
    /// annotations is not added again.
    ///
    /// Damage is repaired: a manifest that cannot be parsed is replaced. If the registry refuses the manifest because
    /// blobs are missing, the blobs of the new layers are sent, and old layers that the repository does not have are left out.
    ///
    /// Sends one request if the manifest already has all the layers. Otherwise it sends one request to read the tag (none if the
    /// tag is [`Known::Absent`]), two for each new layer (one if the repository has it, none if the manifest already
    /// names it), two for the configuration, which lists all layers, one to check the tag again, and one for the manifest.
    ///
    /// In this process only one caller at a time writes the tag. If another process writes the tag between the check and the
    /// write, the write of that process may be lost, unless the host has `conditional_writes`: the protocol has no lock.
    ///
    /// # Errors
    /// Returns an error if the tag names something other than an image manifest, if there is neither a manifest nor a layer, or
    /// if the registry does not accept a part of the manifest.
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
        // The old layers that the repository does not have, once the registry has refused the manifest because of them.
        let mut lost: Option<HashSet<Digest>> = None;
        for _ in 0..CHANGES_MAX {
            let current = self.under_tag(repository, tag, known).await?;
            let before = current.as_ref().map(RawManifest::digest);
            let mut extended = match current.map(Attachment::parse) {
                None => Extended::empty()?,
                Some(Err(error)) if is_damaged(&error) => {
                    tracing::warn!("{repository}:{tag} is damaged and is replaced: {error}");
                    Extended::empty()?
                }
                Some(Err(error)) => return Err(Error::new(&doing, ErrorKind::Manifest(error))),
                Some(Ok(attachment)) => Extended::of(attachment, &doing)?,
            };
            let repairs = lost.is_some();
            if let Some(lost) = &lost {
                extended.leave_out(lost);
            }
            let new = extended.lacking(layers);
            if let Some(digest) = before.filter(|_| new.is_empty()) {
                return Ok(Appended { digest, written: false });
            }
            if new.is_empty() {
                return Err(Error::new(doing, ErrorKind::Content("there is nothing to add".to_owned())));
            }
            let config = extended.add(&new)?;
            let manifest = extended.document.manifest(extended.media_type.clone(), &doing)?;
            self.bring_all(repository, extended.new_blobs(&new, config, repairs)).await?;
            match self.extend_tag(repository, tag, &manifest, before).await {
                Ok(_) => return Ok(Appended { digest: manifest.digest(), written: true }),
                // Another client has written the tag in the meantime. The next round keeps what that client added.
                Err(NotWritten::Changed(_)) => known = Known::Unknown,
                Err(NotWritten::Failed(error)) if !repairs && says_parts_are_missing(&error) => {
                    lost = Some(self.lost_layers(repository, &extended.before).await?);
                    known = Known::Unknown;
                }
                Err(NotWritten::Failed(error)) => return Err(error),
            }
        }
        Err(changes(doing))
    }

    /// Returns the layers whose blobs the repository does not have.
    async fn lost_layers(
        &self,
        repository: &Repository,
        layers: &[AttachedBlob],
    ) -> Result<HashSet<Digest>, Error> {
        let mut lost = HashSet::new();
        for layer in layers {
            if !self.has_blob(repository, layer.digest).await? {
                lost.insert(layer.digest);
            }
        }
        Ok(lost)
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

    /// Returns the layers that the manifest does not have, without duplicates.
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

    /// Leaves out the old layers with these digests.
    fn leave_out(&mut self, lost: &HashSet<Digest>) {
        let mut is_kept =
            self.before.iter().map(|layer| !lost.contains(&layer.digest)).collect::<Vec<_>>().into_iter();
        self.entries.retain(|_| is_kept.next().unwrap_or(true));
        self.before.retain(|layer| !lost.contains(&layer.digest));
    }

    /// Returns the blobs that the manifest does not name yet, or those of all new layers with `all`, without duplicates.
    fn new_blobs(&self, new: &[&NewLayer], config: Option<Bytes>, all: bool) -> Vec<Bytes> {
        let is_new = |content: &Bytes| {
            let digest = Digest::of(content);
            all || self.before.iter().all(|layer| layer.digest != digest)
        };
        let mut blobs: Vec<Bytes> = new.iter().map(|layer| layer.content.clone()).filter(is_new).collect();
        blobs.extend(config);
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }

    /// Adds layers, and returns the new configuration if it has changed.
    fn add(&mut self, new: &[&NewLayer]) -> Result<Option<Bytes>, Error> {
        let added = new.iter().map(|layer| layer.descriptor());
        // Layers of these manifests are not compressed, so the digest of the unpacked layer is the digest of the blob.
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

/// Returns the configuration of a manifest with these layers.
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

    /// The expected value is the configuration of a manifest that cosign wrote with one signature.
    #[test]
    fn a_configuration_matches_that_of_cosign() {
        let digest = Digest::of(b"payload");
        assert_eq!(
            configuration(vec![digest]).unwrap(),
            format!(
                r#"{{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{{"created":"0001-01-01T00:00:00Z"}}],"os":"","rootfs":{{"type":"layers","diff_ids":["{digest}"]}},"config":{{}}}}"#
            )
        );
    }

    #[test]
    fn a_layer_exists_only_with_the_same_annotations() {
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
    fn a_configuration_that_lists_no_layers_is_kept() {
        let config = format!(r#"{{"mediaType":"a/b","digest":"{}","size":2}}"#, Digest::of(b"{}"));
        let text =
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"annotations":{{"a":"b"}}}}"#);
        let manifest = RawManifest::new(MediaType::OciManifest, text.into());
        let mut extended = Extended::of(Attachment::parse(manifest).unwrap(), "testing").unwrap();
        assert_eq!(extended.add(&[&layer("a", "1")]).unwrap(), None);
        let manifest = extended.document.manifest(MediaType::OciManifest, "testing").unwrap();
        let read = Attachment::parse(manifest).unwrap();
        assert_eq!((read.config.digest, read.layers.len()), (Digest::of(b"{}"), 1));
        assert_eq!(read.annotations["a"], "b", "the annotations of the manifest are kept");
    }
}
