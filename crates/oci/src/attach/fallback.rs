//! Tags that several clients extend, such as the list of referrers that clients maintain if the registry does not (distribution
//! specification, *Referrers Tag Schema*).

use std::collections::HashSet;

use oci_types::Digest;
use oci_types::referrers_tag;
use oci_types::{InvalidManifest, MediaType, RawManifest};
use oci_types::{Repository, Tag};

use super::Known;
use super::document::{Document, WrittenDescriptor, raw};
use super::referrer::{REFERRERS_MAX, Referrer};
use crate::absent::Found;
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::write::{Expected, NotWritten, Written};
use crate::writer::Writer;

/// How often a tag is read and extended again because another client has written it in the meantime.
pub(super) const CHANGES_MAX: usize = 10;

/// The codes by which a registry refuses a manifest whose blobs or manifests it does not have.
const PARTS_MISSING: [&str; 3] = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];

/// Returns the error for a tag that other clients keep changing.
pub(super) fn changes(doing: String) -> Error {
    let what = "other clients write the tag faster than it can be extended: run again when they are done";
    Error::new(doing, ErrorKind::Unreasonable(what.to_owned()))
}

/// Returns `true` if a registry refuses a manifest because it does not have content that the manifest names.
pub(super) fn says_parts_are_missing(error: &Error) -> bool {
    error.refusal().is_some_and(|refusal| refusal.says(&PARTS_MISSING))
}

/// Returns `true` if a manifest cannot be parsed, so that it contains nothing to keep. A manifest of another kind is not damaged,
/// and is left unchanged.
pub(super) fn is_damaged(error: &InvalidManifest) -> bool {
    matches!(error, InvalidManifest::Malformed { .. })
}

impl Writer {
    /// Adds a manifest to the list of referrers of an image, if it is not listed. All other entries are kept as they are. A list
    /// that cannot be parsed is replaced. If the registry refuses the list because manifests are missing, the entries
    /// whose manifests it does not have are left out.
    pub(super) async fn list_referrer(
        &self,
        repository: &Repository,
        subject: Digest,
        manifest: &RawManifest,
        mut fallback: Known,
    ) -> Result<(), Error> {
        let tag = referrers_tag(subject);
        let digest = manifest.digest();
        let doing = format!("entering {digest} in the list of referrers {repository}:{tag}");
        let invalid = |error| Error::new(&doing, ErrorKind::Manifest(error));
        let entry = Referrer::of(manifest).map_err(invalid)?;
        let _turn = self.own.attached.turn(repository, &tag).await;
        // The entries whose manifests do not exist, once the registry has refused the list because of them.
        let mut lost: Option<HashSet<Digest>> = None;
        for _ in 0..CHANGES_MAX {
            let current = self.under_tag(repository, &tag, fallback).await?;
            let before = current.as_ref().map(RawManifest::digest);
            let (mut list, listed) = match current.map(|index| (Referrer::all(&index), index)) {
                None => (Document::empty(&MediaType::OciIndex)?, Vec::new()),
                Some((Ok(listed), index)) => (Document::of(&index, &doing)?, listed),
                Some((Err(error), _)) if is_damaged(&error) => {
                    tracing::warn!("{repository}:{tag} is damaged and is replaced: {error}");
                    (Document::empty(&MediaType::OciIndex)?, Vec::new())
                }
                Some((Err(error), _)) => return Err(invalid(error)),
            };
            if listed.iter().any(|referrer| referrer.digest == digest) {
                return Ok(());
            }
            if listed.len() >= REFERRERS_MAX {
                let what = format!("it has {REFERRERS_MAX} entries, which is more than readers accept");
                return Err(Error::new(doing, ErrorKind::Unreasonable(what)));
            }
            let mut entries = list.entries("manifests", &doing)?;
            if let Some(lost) = &lost {
                let mut is_lost = listed.iter().map(|referrer| lost.contains(&referrer.digest));
                entries.retain(|_| !is_lost.next().unwrap_or_default());
            }
            entries.push(raw(&written(&entry))?);
            list.set("manifests", &entries)?;
            let index = list.manifest(MediaType::OciIndex, &doing)?;
            match self.extend_tag(repository, &tag, &index, before).await {
                Ok(_) => return Ok(()),
                Err(NotWritten::Changed(_)) => fallback = Known::Unknown,
                Err(NotWritten::Failed(error)) if lost.is_none() && says_parts_are_missing(&error) => {
                    lost = Some(self.lost_referrers(repository, &listed).await?);
                    fallback = Known::Unknown;
                }
                Err(NotWritten::Failed(error)) => return Err(error),
            }
        }
        Err(changes(doing))
    }

    /// Returns the referrers whose manifests the repository does not have.
    async fn lost_referrers(
        &self,
        repository: &Repository,
        listed: &[Referrer],
    ) -> Result<HashSet<Digest>, Error> {
        let mut lost = HashSet::new();
        for referrer in listed {
            if !self.own.head(repository, Selector::Digest(referrer.digest)).await?.is_present() {
                lost.insert(referrer.digest);
            }
        }
        Ok(lost)
    }

    /// Reads the manifest under a tag that is about to be extended; `None` if the tag does not exist. If the registry returns a
    /// state older than the last write of this client, the tag is read again until the write is visible.
    pub(super) async fn under_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        known: Known,
    ) -> Result<Option<RawManifest>, Error> {
        if known == Known::Absent && !self.own.attached.has_written(repository, tag) {
            return Ok(None);
        }
        let mut budget = self.own.sessions.door.budget();
        loop {
            budget.attempt();
            let found = match self.own.find_manifest(repository, Selector::Tag(tag)).await? {
                Found::Present(manifest) => Some(manifest),
                Found::Absent(_) => None,
            };
            let lags = self.own.attached.lags(repository, tag, found.as_ref().map(RawManifest::digest));
            match budget.pause(None).filter(|_| lags) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Ok(found),
            }
        }
    }

    /// Writes a tag that was read before, and records the digest that it now names.
    pub(super) async fn extend_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
        before: Option<Digest>,
    ) -> Result<Written, NotWritten> {
        let expected = before.map_or(Expected::Nothing, Expected::Digest);
        // Recorded before the write: if the answer is lost, the tag may have been written nevertheless.
        self.own.attached.learn_written(repository, tag, before, manifest.digest());
        self.write_tag(repository, tag, manifest, expected).await
    }
}

/// Converts an entry of the list to a descriptor for writing.
fn written(entry: &Referrer) -> WrittenDescriptor<'_> {
    let Referrer { media_type, digest, size, artifact_type, annotations } = entry;
    WrittenDescriptor {
        artifact_type: artifact_type.as_deref(),
        ..WrittenDescriptor::new(media_type.as_str(), *digest, *size).annotated(annotations)
    }
}
