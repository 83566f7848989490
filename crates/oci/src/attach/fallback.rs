//! The list of referrers that clients keep where a registry does not (distribution specification, *Referrers Tag Schema*).

use super::Known;
use super::attachment::Attachment;
use super::document::{Document, WrittenDescriptor, raw};
use super::referrers::{REFERRERS_MAX, Referrer};
use super::tag::referrers_tag;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::manifest::{MediaType, RawManifest};
use crate::name::{Repository, Tag};
use crate::read::Selector;
use crate::write::Writer;

impl Writer {
    /// Enters a manifest in the list of what is about an image, if it is not there; all other entries stay as they are.
    pub(super) async fn list_referrer(
        &self,
        repository: &Repository,
        subject: Digest,
        attachment: &Attachment,
        fallback: Known,
    ) -> Result<(), Error> {
        let tag = referrers_tag(subject);
        let digest = attachment.manifest.digest();
        let doing = format!("entering {digest} in the list of referrers {repository}:{tag}");
        let _turn = self.reader.shared.attached.turn(repository, &tag).await;
        let (mut list, listed) = match self.under_tag(repository, &tag, fallback).await? {
            None => (Document::empty(&MediaType::OciIndex)?, Vec::new()),
            Some(index) => {
                let listed =
                    Referrer::all(&index).map_err(|error| Error::new(&doing, ErrorKind::Manifest(error)))?;
                (Document::of(&index, &doing)?, listed)
            }
        };
        if listed.iter().any(|referrer| referrer.digest == digest) {
            return Ok(());
        }
        if listed.len() >= REFERRERS_MAX {
            let what = format!("it has {REFERRERS_MAX} entries already, and nobody would read a longer one");
            return Err(Error::new(doing, ErrorKind::Unreasonable(what)));
        }
        let mut entries = list.entries("manifests", &doing)?;
        entries.push(raw(&entry(attachment))?);
        list.set("manifests", &entries)?;
        let index = list.manifest(MediaType::OciIndex, &doing)?;
        self.reader.shared.attached.learn_written(repository, &tag);
        self.put_manifest(repository, Selector::Tag(&tag), &index).await
    }

    /// The manifest under a tag that is about to be extended; `None` where there is none.
    pub(super) async fn under_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        known: Known,
    ) -> Result<Option<RawManifest>, Error> {
        if known == Known::Absent && !self.reader.shared.attached.has_written(repository, tag) {
            return Ok(None);
        }
        match self.reader.manifest(repository, Selector::Tag(tag)).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if error.status() == Some(http::StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What the list says about a manifest.
fn entry(attachment: &Attachment) -> WrittenDescriptor<'_> {
    let manifest = &attachment.manifest;
    let (media_type, size) = (manifest.media_type().as_str(), manifest.bytes().len() as u64);
    WrittenDescriptor {
        artifact_type: Some(&attachment.artifact_type),
        ..WrittenDescriptor::new(media_type, manifest.digest(), size).annotated(&attachment.annotations)
    }
}
