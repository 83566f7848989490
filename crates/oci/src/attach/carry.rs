//! Copying attached content to another repository.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use oci_types::Digest;
use oci_types::text::counted;
use oci_types::{Repository, RepositoryPath, Tag};
use tokio::sync::OwnedSemaphorePermit;

use super::Known;
use super::attachment::{AttachedBlob, Attachment};
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::reader::Reader;
use crate::write::{Content, Contents};
use crate::writer::Writer;

/// The maximum number of blobs of an attached manifest that is copied.
const BLOBS_MAX: usize = 256;
/// How many of these blobs are copied concurrently.
const AT_ONCE: usize = 4;

impl Writer {
    /// Copies an attached manifest and its blobs to another repository, byte for byte, and returns the digest of the manifest.
    /// The manifest is written by its digest, or under a tag, which then names only this manifest: [`Writer::append`] is for
    /// tags that other clients write to.
    ///
    /// This is for small manifests: blobs are read into memory, four at a time, and have at most `limit` bytes together.
    /// [`Copier`](crate::Copier) copies images.
    ///
    /// Sends one request for each blob that exists or is on the same registry, three for each other blob, and one for the
    /// manifest. If the manifest has a subject and the registry has no referrers API, the fallback tag is read, checked and
    /// written: three more requests, or two if the tag is [`Known::Absent`].
    ///
    /// # Errors
    /// Returns an error if the blobs have more than `limit` bytes or are too many, which is checked before any request; if one of
    /// them is missing or wrong; or if the registry does not accept a part of the manifest.
    pub async fn copy_attachment(
        &self,
        source: &Repository,
        destination: &Repository,
        attachment: &Attachment,
        tag: Option<&Tag>,
        limit: u64,
        fallback: Known,
    ) -> Result<Digest, Error> {
        let digest = attachment.manifest.digest();
        let blobs = distinct(attachment);
        let size = blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        if size > limit || blobs.len() > BLOBS_MAX {
            let what = format!(
                "it has {} of {size} bytes in all; what is attached has at most {BLOBS_MAX} blobs of {limit} bytes",
                counted(blobs.len(), "blob")
            );
            let doing = format!("copying {source}@{digest} to {destination}");
            return Err(Error::new(doing, ErrorKind::Unreasonable(what)));
        }
        stream::iter(blobs)
            .map(|blob| self.carry(source, destination, blob))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        let which = tag.map_or(Selector::Digest(digest), Selector::Tag);
        self.put_attachment(destination, which, attachment, fallback).await?;
        Ok(digest)
    }

    /// Copies a blob from one repository to another.
    async fn carry(
        &self,
        source: &Repository,
        destination: &Repository,
        blob: &AttachedBlob,
    ) -> Result<(), Error> {
        let from: Option<&RepositoryPath> = (source.host == destination.host).then_some(&source.path);
        let mut contents = Carried { reader: self.reader(), source, blob };
        self.bring(destination, blob.digest, blob.size, from, &mut contents).await.map(drop)
    }
}

/// A small blob of another repository, which is read on demand.
struct Carried<'a> {
    reader: &'a Reader,
    source: &'a Repository,
    blob: &'a AttachedBlob,
}

impl Contents for Carried<'_> {
    async fn content(&mut self) -> Result<Content, Error> {
        let AttachedBlob { digest, size, .. } = self.blob;
        Box::pin(self.reader.small_blob(self.source, *digest, *size, *size)).await.map(Content::Bytes)
    }

    fn failure(&self) -> Option<Error> {
        None
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        None
    }
}

/// Returns the blobs of a manifest, without duplicates.
fn distinct(attachment: &Attachment) -> Vec<&AttachedBlob> {
    let mut blobs: Vec<&AttachedBlob> = attachment.blobs().collect();
    // If two entries differ in size, the larger one counts: a blob has one size, so one of them must be wrong.
    blobs.sort_by_key(|blob| (blob.digest, std::cmp::Reverse(blob.size)));
    blobs.dedup_by_key(|blob| blob.digest);
    blobs
}
