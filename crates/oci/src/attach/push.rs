//! Attaching a manifest to an image (distribution specification, *Pushing Manifests with Subject*).

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join;
use oci_types::Digest;
use oci_types::referrers_tag;
use oci_types::{Descriptor, MediaType, RawManifest};
use oci_types::{Repository, Tag};
use serde::Serialize;
use transport::Answer;

use super::Known;
use super::attachment::Attachment;
use super::document::{WrittenDescriptor, bounded, written};
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::write::Written;
use crate::writer::Writer;

/// The configuration of a manifest that does not need one (OCI image specification, *Guidance for an Empty Descriptor*).
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// The image that a manifest is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The media type of its manifest.
    pub media_type: MediaType,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The size of its manifest, in bytes.
    pub size: u64,
}

impl From<&Descriptor> for Subject {
    fn from(descriptor: &Descriptor) -> Self {
        let Descriptor { media_type, digest, size, .. } = descriptor;
        Self { media_type: media_type.clone(), digest: *digest, size: *size }
    }
}

impl From<&RawManifest> for Subject {
    fn from(manifest: &RawManifest) -> Self {
        let size = manifest.bytes().len() as u64;
        Self { media_type: manifest.media_type().clone(), digest: manifest.digest(), size }
    }
}

/// A layer to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// The media type.
    pub media_type: String,
    /// The content.
    pub content: Bytes,
    /// The annotations of its descriptor.
    pub annotations: BTreeMap<String, String>,
}

/// A manifest to attach to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReferrer {
    /// The image that the manifest is attached to.
    pub subject: Subject,
    /// The artifact type.
    pub artifact_type: String,
    /// The only layer.
    pub layer: NewLayer,
    /// The annotations of the manifest, which lists of referrers include.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenReferrer<'a> {
    schema_version: u8,
    media_type: &'a str,
    artifact_type: &'a str,
    config: WrittenDescriptor<'a>,
    layers: [WrittenDescriptor<'a>; 1],
    subject: WrittenDescriptor<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl NewLayer {
    /// Returns the descriptor of the layer.
    pub(super) fn descriptor(&self) -> WrittenDescriptor<'_> {
        let (digest, size) = (Digest::of(&self.content), self.content.len() as u64);
        WrittenDescriptor::new(&self.media_type, digest, size).annotated(&self.annotations)
    }
}

impl NewReferrer {
    /// Returns the manifest to push. The same content always has the same bytes.
    ///
    /// # Errors
    /// Returns an error if the manifest exceeds [`MANIFEST_MAX`](crate::MANIFEST_MAX).
    pub fn manifest(&self) -> Result<RawManifest, Error> {
        let Subject { media_type: kind, digest, size } = &self.subject;
        let media_type = MediaType::OciManifest;
        let content = written(&WrittenReferrer {
            schema_version: 2,
            media_type: media_type.as_str(),
            artifact_type: &self.artifact_type,
            config: WrittenDescriptor::new(EMPTY_TYPE, Digest::of(EMPTY), EMPTY.len() as u64),
            layers: [self.layer.descriptor()],
            subject: WrittenDescriptor::new(kind.as_str(), *digest, *size),
            annotations: &self.annotations,
        })?;
        bounded(RawManifest::new(media_type, content), &format!("describing what is attached to {digest}"))
    }
}

impl Writer {
    /// Attaches a manifest with one layer to an image, and returns its digest. A manifest that is already attached is not
    /// attached twice.
    ///
    /// Sends three requests: two for the layer (one if the repository has it) and one for the manifest. The first call for a
    /// repository sends two more for the empty configuration. If the registry has no referrers API, the fallback tag is
    /// read, checked and written: three more, or two if the tag is [`Known::Absent`].
    ///
    /// # Errors
    /// Returns an error if the registry does not accept a part of the manifest. The specification does not require the image to
    /// exist; some registries do.
    pub async fn attach(
        &self,
        repository: &Repository,
        referrer: &NewReferrer,
        fallback: Known,
    ) -> Result<Digest, Error> {
        let manifest = referrer.manifest()?;
        let doing = format!("attaching to {repository}@{}", referrer.subject.digest);
        let attachment =
            Attachment::parse(manifest).map_err(|error| Error::new(doing, ErrorKind::Manifest(error)))?;
        let layer = &attachment.layers[0];
        try_join(
            Box::pin(self.bring_empty_config(repository)),
            Box::pin(self.bring_small(repository, layer.digest, referrer.layer.content.clone())),
        )
        .await?;
        let which = Selector::Digest(attachment.manifest.digest());
        self.put_attachment(repository, which, &attachment, fallback).await.inspect_err(|error| {
            if error.status().is_some_and(|status| status.is_client_error()) {
                self.own.attached.forget_empty_config(repository);
            }
        })?;
        Ok(attachment.manifest.digest())
    }

    /// Writes an attached manifest, whose blobs must exist, and lists it if the registry does not.
    pub(super) async fn put_attachment(
        &self,
        repository: &Repository,
        which: Selector<'_>,
        attachment: &Attachment,
        fallback: Known,
    ) -> Result<(), Error> {
        match which {
            Selector::Digest(digest) => self.place(repository, digest, &attachment.manifest, fallback).await,
            Selector::Tag(tag) => {
                self.own.attached.learn_written(repository, tag, None, attachment.manifest.digest());
                let written = self.put_tag(repository, tag, &attachment.manifest).await?;
                let answer = if let Written::Now(answer) = written { Some(*answer) } else { None };
                self.list_where_needed(repository, &attachment.manifest, attachment.subject, answer, fallback)
                    .await
            }
        }
    }

    /// Writes a manifest by its digest. Adds it to the list of referrers of its subject if it has one and the registry does not
    /// maintain that list itself.
    pub(crate) async fn place(
        &self,
        repository: &Repository,
        digest: Digest,
        manifest: &RawManifest,
        fallback: Known,
    ) -> Result<(), Error> {
        let answer = self.put_by_digest(repository, digest, manifest).await?;
        let invalid =
            |error| Error::new(format!("writing {repository}@{digest}"), ErrorKind::Manifest(error));
        let subject = manifest.parse().map_err(invalid)?.subject.map(|subject| subject.digest);
        self.list_where_needed(repository, manifest, subject, answer, fallback).await
    }

    /// Creates a tag for a manifest, and adds the manifest to the list of referrers of its subject, as [`Writer::place`] does.
    /// Returns `true` if the tag was written.
    pub(crate) async fn place_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
    ) -> Result<bool, Error> {
        let invalid = |error| Error::new(format!("writing {repository}:{tag}"), ErrorKind::Manifest(error));
        if manifest.parse().map_err(invalid)?.subject.is_some() {
            // The tag is written last: after an interruption, the next run finds that the tag is missing, and completes the work.
            self.place(repository, manifest.digest(), manifest, Known::Unknown).await?;
        }
        let written = self.put_tag(repository, tag, manifest).await?;
        Ok(matches!(written, Written::Now(_)))
    }

    async fn list_where_needed(
        &self,
        repository: &Repository,
        manifest: &RawManifest,
        subject: Option<Digest>,
        answer: Option<Answer>,
        fallback: Known,
    ) -> Result<(), Error> {
        let Some(subject) = subject else { return Ok(()) };
        // A registry sends this header if it lists the manifest itself.
        let named = answer.as_ref().and_then(|answer| answer.header("oci-subject"));
        if named.and_then(|text| text.trim().parse().ok()) == Some(subject) {
            self.own.sessions.of(&repository.host)?.learn_referrers(true);
            return Ok(());
        }
        // If the answer was lost, the registry may list the manifest nevertheless.
        if answer.is_none() {
            let listed = self.own.referrers(repository, subject, None, fallback).await?;
            let is_listed = listed.iter().any(|referrer| referrer.digest == manifest.digest());
            if is_listed || self.own.sessions.of(&repository.host)?.has_referrers() {
                return Ok(());
            }
        }
        self.list_referrer(repository, subject, manifest, fallback).await
    }

    /// Brings a small blob to a repository. Sends one request if the blob exists, and two if it does not.
    pub(super) async fn bring_small(
        &self,
        repository: &Repository,
        digest: Digest,
        mut content: Bytes,
    ) -> Result<(), Error> {
        let size = content.len() as u64;
        self.bring(repository, digest, size, None, &mut content).await.map(drop)
    }

    /// Brings the empty configuration to a repository, unless it is known to exist.
    async fn bring_empty_config(&self, repository: &Repository) -> Result<(), Error> {
        let memory = &self.own.attached;
        if memory.has_empty_config(repository) {
            return Ok(());
        }
        // If many manifests are attached at once, only one task uploads it. No list of referrers has this tag, so the lock is not
        // used otherwise.
        let _turn = memory.turn(repository, &referrers_tag(Digest::of(EMPTY))).await;
        if memory.has_empty_config(repository) {
            return Ok(());
        }
        self.bring_small(repository, Digest::of(EMPTY), Bytes::from_static(EMPTY)).await?;
        memory.learn_empty_config(repository);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Stable bytes matter: after an interruption the same manifest is built again, and must match the one in the registry.
    #[test]
    fn the_order_of_annotations_does_not_change_the_manifest() {
        let referrer = |pairs: &[(&str, &str)]| NewReferrer {
            subject: Subject { media_type: MediaType::OciIndex, digest: Digest::of(b"image"), size: 5 },
            artifact_type: "application/example".to_owned(),
            layer: NewLayer {
                media_type: "text/plain".to_owned(),
                content: Bytes::from_static(b"abc"),
                annotations: BTreeMap::new(),
            },
            annotations: annotations(pairs),
        };
        let manifest = referrer(&[("b", "2"), ("a", "1")]).manifest().unwrap();
        assert_eq!(manifest, referrer(&[("a", "1"), ("b", "2")]).manifest().unwrap());
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/example","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}},"layers":[{{"mediaType":"text/plain","digest":"{}","size":3}}],"subject":{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{}","size":5}},"annotations":{{"a":"1","b":"2"}}}}"#,
            Digest::of(b"abc"),
            Digest::of(b"image"),
        );
        assert_eq!(manifest.bytes(), &expected);
    }
}
