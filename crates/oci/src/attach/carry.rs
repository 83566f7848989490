//! Taking what is attached along to another repository.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use oci_types::Digest;
use oci_types::{Repository, RepositoryPath, Tag};
use tokio::sync::OwnedSemaphorePermit;

use super::Known;
use super::attachment::{AttachedBlob, Attachment};
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::reader::Reader;
use crate::write::{Content, Contents};
use crate::writer::Writer;

/// The most blobs of an attached manifest that is copied.
const BLOBS_MAX: usize = 256;
/// How many of them are on their way at once.
const AT_ONCE: usize = 4;

impl Writer {
    /// Copies a manifest that is attached to an image to another repository, with its blobs, byte for byte, and gives its
    /// digest. It is written by its digest, or under a tag, which then names nothing else: [`Writer::append`] is for tags
    /// that others write to.
    ///
    /// For small manifests: blobs go through memory, one after another in four rows, and all of them together have at most
    /// `limit` bytes. Images go through a [`Copier`](crate::Copier), which knows nothing of lists of referrers.
    ///
    /// One request for each blob that is there or on the same registry, three for any other; one for the manifest. Where it
    /// has a subject and the registry keeps no list of referrers, the fallback tag is read and written: two more, or one
    /// where it is [`Known::Absent`].
    ///
    /// # Errors
    /// When its blobs have more than `limit` bytes, or are too many, which is found before anything is asked; when one of
    /// them is missing or wrong; when the registry takes a part of it not.
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
                "its {} blobs have {size} bytes; what is attached has at most {BLOBS_MAX} blobs of {limit} bytes",
                blobs.len()
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

    /// Brings a blob from one repository to another.
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

/// A small blob of another repository, read when it is needed.
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

/// The blobs of a manifest, each once.
fn distinct(attachment: &Attachment) -> Vec<&AttachedBlob> {
    let mut blobs: Vec<&AttachedBlob> = attachment.blobs().collect();
    // Of two that differ in size, the larger one counts; the other cannot be true.
    blobs.sort_by_key(|blob| (blob.digest, std::cmp::Reverse(blob.size)));
    blobs.dedup_by_key(|blob| blob.digest);
    blobs
}
