//! Manifests and lists that are written: the same bytes for the same content, and what is kept of others' stays as it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci_types::Digest;
use oci_types::text::printable;
use oci_types::{MANIFEST_MAX, MediaType, RawManifest};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};

/// A descriptor as it is written. The types that read them keep annotations in no order, and so do not write the same bytes
/// twice.
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
    /// A descriptor without annotations.
    pub(super) fn new(media_type: &'a str, digest: Digest, size: u64) -> Self {
        Self { media_type, digest, size, artifact_type: None, annotations: None }
    }

    /// The same with annotations, where there are any.
    pub(super) fn annotated(self, annotations: &'a BTreeMap<String, String>) -> Self {
        Self { annotations: Some(annotations).filter(|all| !all.is_empty()), ..self }
    }
}

/// A manifest that is extended: its members by their names, each as it was written, whatever it holds.
pub(super) struct Document {
    members: BTreeMap<String, Box<RawValue>>,
}

impl Document {
    /// A manifest of a kind, without any content.
    pub(super) fn empty(media_type: &MediaType) -> Result<Self, Error> {
        let mut this = Self { members: BTreeMap::new() };
        this.set("schemaVersion", &2)?;
        this.set("mediaType", media_type.as_str())?;
        Ok(this)
    }

    /// Takes a manifest apart.
    pub(super) fn of(manifest: &RawManifest, doing: &str) -> Result<Self, Error> {
        let members = serde_json::from_slice(manifest.bytes()).map_err(|error| malformed(doing, &error))?;
        let mut this = Self { members };
        // Where it left out its kind, the registry has told it; the next reader shall not have to ask.
        this.set("mediaType", manifest.media_type().as_str())?;
        Ok(this)
    }

    /// The entries of a member that is a list; none where there is no such member.
    pub(super) fn entries(&self, member: &str, doing: &str) -> Result<Vec<Box<RawValue>>, Error> {
        let list = self.members.get(member);
        list.map_or(Ok(Vec::new()), |list| {
            serde_json::from_str(list.get()).map_err(|error| malformed(doing, &error))
        })
    }

    /// Gives a member another content.
    pub(super) fn set(&mut self, member: &str, content: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.members.insert(member.to_owned(), raw(content)?);
        Ok(())
    }

    /// The manifest of a kind that it is now.
    pub(super) fn manifest(&self, media_type: MediaType, doing: &str) -> Result<RawManifest, Error> {
        bounded(RawManifest::new(media_type, written(&self.members)?), doing)
    }
}

/// A manifest, if registries take one of its size.
pub(super) fn bounded(manifest: RawManifest, doing: &str) -> Result<RawManifest, Error> {
    let size = manifest.bytes().len();
    if size > MANIFEST_MAX {
        let what =
            format!("the manifest would have {size} bytes, registries take no more than {MANIFEST_MAX}");
        return Err(Error::new(doing, ErrorKind::Unreasonable(what)));
    }
    Ok(manifest)
}

/// Content as JSON.
pub(super) fn written(content: &(impl Serialize + ?Sized)) -> Result<Bytes, Error> {
    serde_json::to_vec(content).map(Bytes::from).map_err(unwritable)
}

/// Content as JSON that goes into a manifest.
pub(super) fn raw(content: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(content).map_err(unwritable)
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be named where errors are mapped")]
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
    fn what_nobody_here_knows_stays_as_it_was_written() {
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
    fn what_no_registry_takes_is_not_sent() {
        let mut document = Document::empty(&MediaType::OciIndex).unwrap();
        assert!(document.manifest(MediaType::OciIndex, "testing").is_ok());
        document.set("annotations", &"a".repeat(MANIFEST_MAX)).unwrap();
        let error = document.manifest(MediaType::OciIndex, "testing").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unreasonable(_)), "{error}");
    }
}
