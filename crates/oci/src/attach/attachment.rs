//! Reading attached content: a manifest with its annotations, and the small blobs that it names.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci_types::Digest;
use oci_types::Repository;
use oci_types::{InvalidManifest, MANIFEST_MAX, RawManifest, WireDescriptor};
use transport::Class;

use super::referrer::Referrer;
use crate::absent::Found;
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::reader::Reader;

/// A manifest that is attached to an image (OCI image specification, *Guidelines for Artifact Usage*).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The manifest.
    pub manifest: RawManifest,
    /// The `artifactType` of the manifest, or the media type of its configuration if it has no `artifactType`.
    pub artifact_type: String,
    /// The configuration.
    pub config: AttachedBlob,
    /// The layers, in the order of the manifest.
    pub layers: Vec<AttachedBlob>,
    /// The digest of its `subject`, if it has one.
    pub subject: Option<Digest>,
    /// The annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// A blob of an attached manifest, with what the manifest says about it.
///
/// The content is untrusted. Media types keep their parameters, since some formats encode their version in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedBlob {
    /// The media type.
    pub media_type: String,
    /// The digest.
    pub digest: Digest,
    /// The size, in bytes.
    pub size: u64,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Attachment {
    /// Parses a manifest as an attached one.
    ///
    /// # Errors
    /// Returns an error if the manifest is not an image manifest (an index, for example), or if a descriptor is invalid.
    pub fn parse(manifest: RawManifest) -> Result<Self, InvalidManifest> {
        if manifest.media_type().is_index() {
            let got = manifest.media_type().clone();
            return Err(InvalidManifest::WrongKind { expected: "an image manifest", got });
        }
        let wire = manifest.wire()?;
        let config = wire.config.as_ref().map(AttachedBlob::new).transpose()?;
        let config = config.ok_or_else(|| InvalidManifest::Malformed {
            media_type: manifest.media_type().clone(),
            problem: "it has no configuration".to_owned(),
        })?;
        let artifact_type = wire.artifact_type.filter(|kind| !kind.is_empty());
        Ok(Self {
            artifact_type: artifact_type.unwrap_or_else(|| config.media_type.clone()),
            config,
            layers: wire.layers.iter().flatten().map(AttachedBlob::new).collect::<Result<_, _>>()?,
            subject: wire.subject.as_ref().map(WireDescriptor::digest).transpose()?,
            annotations: wire.annotations,
            manifest,
        })
    }

    /// Returns all blobs of the manifest: the configuration and the layers.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &AttachedBlob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl AttachedBlob {
    fn new(wire: &WireDescriptor) -> Result<Self, InvalidManifest> {
        Ok(Self {
            media_type: wire.media_type.clone().unwrap_or_default(),
            digest: wire.digest()?,
            size: wire.size,
            annotations: wire.annotations.clone(),
        })
    }
}

impl Reader {
    /// Reads an attached manifest, by its tag or digest, with its annotations.
    ///
    /// Sends one request.
    ///
    /// # Errors
    /// Returns the errors of [`Reader::find_manifest`], and an error if the manifest is not an image manifest.
    pub async fn attachment(
        &self,
        repository: &Repository,
        which: Selector<'_>,
    ) -> Result<Found<Attachment>, Error> {
        match self.find_manifest(repository, which).await? {
            Found::Present(manifest) => Attachment::parse(manifest)
                .map(Found::Present)
                .map_err(|error| Error::new(reading(repository, which), ErrorKind::Manifest(error))),
            Found::Absent(proof) => Ok(Found::Absent(proof)),
        }
    }

    /// Reads a manifest that is listed as a referrer of an image, and checks that the manifest agrees with the list: every
    /// client that may push a tag may also write a list.
    ///
    /// Sends one request, or none if the size in the list is larger than any manifest may be.
    ///
    /// # Errors
    /// Returns the errors of [`Reader::find_manifest`], and an error if the manifest is not an image manifest, if its size
    /// differs from the size in the list, or if it has another subject.
    pub async fn referrer(
        &self,
        repository: &Repository,
        subject: Digest,
        listed: &Referrer,
    ) -> Result<Found<Attachment>, Error> {
        let which = Selector::Digest(listed.digest);
        let fail = |kind| Error::new(reading(repository, which), kind);
        if listed.size > MANIFEST_MAX as u64 {
            let what = format!("the list of referrers of {subject} gives its size as {} bytes", listed.size);
            return Err(fail(ErrorKind::Unreasonable(what)));
        }
        let manifest = match self.find_manifest(repository, which).await? {
            Found::Present(manifest) => manifest,
            Found::Absent(proof) => return Ok(Found::Absent(proof)),
        };
        let got = manifest.bytes().len() as u64;
        if got != listed.size {
            return Err(fail(ErrorKind::WrongSize { expected: listed.size, got }));
        }
        let attachment = Attachment::parse(manifest).map_err(|error| fail(ErrorKind::Manifest(error)))?;
        if attachment.subject != Some(subject) {
            let about = attachment.subject.map_or_else(|| "nothing".to_owned(), |other| other.to_string());
            let what = format!("it is listed as a referrer of {subject}, but its subject is {about}");
            return Err(fail(ErrorKind::Malformed(what)));
        }
        Ok(Found::Present(attachment))
    }

    /// Reads a small blob, and verifies it against the digest and size of its descriptor.
    ///
    /// Sends one request. Sends none if the descriptor states more than `limit` bytes, or if the blob is empty, since its
    /// content is known then.
    ///
    /// # Errors
    /// Returns an error if the blob is larger than `limit`, does not exist, or does not match its digest.
    pub async fn small_blob(
        &self,
        repository: &Repository,
        digest: Digest,
        size: u64,
        limit: u64,
    ) -> Result<Bytes, Error> {
        if size > limit {
            let what = format!("it has {size} bytes, where no more than {limit} are expected");
            let doing = format!("reading the blob {repository}@{digest}");
            return Err(Error::new(doing, ErrorKind::Unreasonable(what)));
        }
        if size == 0 && digest.names(b"") {
            return Ok(Bytes::new());
        }
        // Other work waits for this blob, so the request does not queue behind layers.
        self.blob(repository, digest, size).of_class(Class::Read).whole().await
    }
}

fn reading(repository: &Repository, which: Selector<'_>) -> String {
    format!("reading what is attached as {}", which.within(repository))
}

#[cfg(test)]
mod tests {
    use oci_types::MediaType;

    use super::*;

    fn parse(media_type: MediaType, text: &str) -> Result<Attachment, InvalidManifest> {
        Attachment::parse(RawManifest::new(media_type, Bytes::copy_from_slice(text.as_bytes())))
    }

    fn descriptor(media_type: &str, more: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":3{more}}}"#, Digest::of(b"abc"))
    }

    #[test]
    fn all_members_of_a_manifest_are_kept() {
        let bundle = "application/vnd.dev.sigstore.bundle+json;version=0.2";
        let text = format!(
            r#"{{"schemaVersion":2,"artifactType":"application/example","config":{},"layers":[{},{}],"subject":{},"annotations":{{"b":"2","a":"1"}}}}"#,
            descriptor("application/vnd.oci.empty.v1+json", ""),
            descriptor(bundle, r#","annotations":{"z":"ü","y":""}"#),
            descriptor("text/plain", r#","annotations":null"#),
            descriptor("application/vnd.oci.image.index.v1+json", ""),
        );
        let read = parse(MediaType::OciManifest, &text).unwrap();
        assert_eq!(read.artifact_type, "application/example");
        assert_eq!(read.config.media_type, "application/vnd.oci.empty.v1+json");
        assert_eq!(read.subject, Some(Digest::of(b"abc")));
        let pairs = |annotations: &BTreeMap<String, String>| {
            annotations.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(pairs(&read.annotations), ["a=1", "b=2"]);
        assert_eq!(read.layers[0].media_type, bundle, "the parameter is kept");
        assert_eq!((read.layers[0].digest, read.layers[0].size), (Digest::of(b"abc"), 3));
        assert_eq!(pairs(&read.layers[0].annotations), ["y=", "z=ü"]);
        assert!(read.layers[1].annotations.is_empty());
    }

    #[test]
    fn the_configuration_type_replaces_a_missing_artifact_type() {
        let config = descriptor("application/vnd.cncf.helm.config.v1+json", "");
        for named in ["", r#""artifactType":"","#] {
            let text = format!(r#"{{{named}"schemaVersion":2,"config":{config},"layers":[]}}"#);
            let read = parse(MediaType::OciManifest, &text).unwrap();
            assert_eq!(read.artifact_type, "application/vnd.cncf.helm.config.v1+json");
            assert_eq!(read.subject, None);
        }
    }

    #[test]
    fn indexes_and_unverifiable_manifests_are_not_attachments() {
        let index = parse(MediaType::OciIndex, r#"{"schemaVersion":2,"manifests":[]}"#).unwrap_err();
        assert!(matches!(index, InvalidManifest::WrongKind { got: MediaType::OciIndex, .. }), "{index}");
        let config = descriptor("a/b", "");
        let weak = config.replace(&Digest::of(b"abc").to_string(), "md5:00");
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{weak}]}}"#);
        assert!(parse(MediaType::OciManifest, &text).is_err());
        let other = MediaType::parse("application/json");
        assert!(matches!(parse(other, "{}"), Err(InvalidManifest::Unsupported(_))));
    }
}
