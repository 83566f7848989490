//! Manifests and lists that this crate writes. The same content has the same bytes, and fields of other clients are kept as is.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci_types::Digest;
use oci_types::text::printable;
use oci_types::{MANIFEST_MAX, MediaType, RawManifest};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};

/// A descriptor for writing. The types for reading cannot be serialized, since they drop unknown members.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenDescriptor<'a> {
    pub(super) media_type: &'a str,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<&'a BTreeMap<String, String>>,
}

impl<'a> WrittenDescriptor<'a> {
    /// Constructs a descriptor without annotations.
    pub(super) fn new(media_type: &'a str, digest: Digest, size: u64) -> Self {
        Self { media_type, digest, size, artifact_type: None, annotations: None }
    }

    /// Adds annotations, if there are any.
    pub(super) fn annotated(self, annotations: &'a BTreeMap<String, String>) -> Self {
        Self { annotations: Some(annotations).filter(|all| !all.is_empty()), ..self }
    }
}

/// A manifest that is extended: its members by name, each with its original JSON.
pub(super) struct Document {
    members: BTreeMap<String, Box<RawValue>>,
}

impl Document {
    /// Constructs an empty manifest of a media type.
    pub(super) fn empty(media_type: &MediaType) -> Result<Self, Error> {
        let mut this = Self { members: BTreeMap::new() };
        this.set("schemaVersion", &2)?;
        this.set("mediaType", media_type.as_str())?;
        Ok(this)
    }

    /// Splits a manifest into its members.
    pub(super) fn of(manifest: &RawManifest, doing: &str) -> Result<Self, Error> {
        let members = serde_json::from_slice(manifest.bytes()).map_err(|error| malformed(doing, &error))?;
        let mut this = Self { members };
        // If the manifest has no `mediaType`, only the answer of the registry states it. Writing it here keeps it for the next
        // reader.
        this.set("mediaType", manifest.media_type().as_str())?;
        Ok(this)
    }

    /// Returns the entries of a list member, or no entries if the member does not exist.
    pub(super) fn entries(&self, member: &str, doing: &str) -> Result<Vec<Box<RawValue>>, Error> {
        let list = self.members.get(member);
        list.map_or(Ok(Vec::new()), |list| {
            serde_json::from_str(list.get()).map_err(|error| malformed(doing, &error))
        })
    }

    /// Sets the content of a member.
    pub(super) fn set(&mut self, member: &str, content: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.members.insert(member.to_owned(), raw(content)?);
        Ok(())
    }

    /// Serializes the manifest, and checks its size.
    pub(super) fn manifest(&self, media_type: MediaType, doing: &str) -> Result<RawManifest, Error> {
        bounded(RawManifest::new(media_type, written(&self.members)?), doing)
    }
}

/// Returns the manifest if its size does not exceed what registries accept.
pub(super) fn bounded(manifest: RawManifest, doing: &str) -> Result<RawManifest, Error> {
    let size = manifest.bytes().len();
    if size > MANIFEST_MAX {
        let what =
            format!("the manifest would have {size} bytes, registries take no more than {MANIFEST_MAX}");
        return Err(Error::new(doing, ErrorKind::Unreasonable(what)));
    }
    Ok(manifest)
}

/// Serializes content as JSON.
pub(super) fn written(content: &(impl Serialize + ?Sized)) -> Result<Bytes, Error> {
    serde_json::to_vec(content).map(Bytes::from).map_err(unwritable)
}

/// Serializes content as JSON for embedding in a manifest.
pub(super) fn raw(content: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(content).map_err(unwritable)
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes the error by value")]
fn unwritable(error: serde_json::Error) -> Error {
    Error::new("writing a manifest", ErrorKind::Content(error.to_string()))
}

fn malformed(doing: &str, error: &serde_json::Error) -> Error {
    Error::new(doing, ErrorKind::Malformed(printable(&error.to_string(), 200)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_members_are_kept_unchanged() {
        let text = r#"{"schemaVersion":2,"new":{"z":1.50,"a":18446744073709551616},"manifests":[{"b": 1,"a":"\u00fc"}]}"#;
        let manifest = RawManifest::new(MediaType::OciIndex, text.into());
        let mut document = Document::of(&manifest, "testing").unwrap();
        let mut entries = document.entries("manifests", "testing").unwrap();
        entries.push(raw(&7).unwrap());
        document.set("manifests", &entries).unwrap();
        let extended = document.manifest(MediaType::OciIndex, "testing").unwrap();
        assert_eq!(
            extended.bytes(),
            &r#"{"manifests":[{"b": 1,"a":"\u00fc"},7],"mediaType":"application/vnd.oci.image.index.v1+json","new":{"z":1.50,"a":18446744073709551616},"schemaVersion":2}"#
        );
        assert!(document.entries("layers", "testing").unwrap().is_empty());
    }

    #[test]
    fn a_manifest_beyond_the_size_limit_is_not_sent() {
        let mut document = Document::empty(&MediaType::OciIndex).unwrap();
        assert!(document.manifest(MediaType::OciIndex, "testing").is_ok());
        document.set("annotations", &"a".repeat(MANIFEST_MAX)).unwrap();
        let error = document.manifest(MediaType::OciIndex, "testing").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unreasonable(_)), "{error}");
    }
}
