//! Multipart uploads.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use manifest::files::Sha256;
use rusty_s3::actions::CreateMultipartUpload;
use sha2::Digest as _;
use transport::Class;

use super::super::store::{ABORT_TIME, Condition, PartUpload, Upload, Written};
use super::client::S3;
use super::metadata::set_attributes;
use super::proof::{self, Part};
use super::spool::Spool;
use super::wire::{refusal, text};
use crate::error::{Error, ErrorKind};
use crate::hash::Hashes;

/// The maximum size of an answer, in bytes.
const ANSWER_MAX: u64 = 1 << 20;
/// The maximum number of parts of an upload.
const PARTS_MAX: u64 = 10_000;
/// The unit of part sizes, in bytes. Parts of one unit are sent from memory.
const UNIT: u64 = 8 << 20;
/// The number of attempts to abort an upload.
const ABORTS: u32 = 6;
/// The pause before the second attempt. It doubles with each further attempt.
const ABORT_PAUSE: Duration = Duration::from_millis(250);

/// A multipart upload.
pub(super) struct Multipart {
    store: S3,
    name: String,
    key: String,
    what: String,
    id: String,
    condition: Condition,
    parts: Vec<Part>,
    /// Collects the content of a part, if parts are too large for memory.
    spool: Option<Spool>,
    /// Whether the store may still have the upload.
    is_open: bool,
    /// Whether the store may have completed the upload: it was told to, and has not refused.
    may_be_complete: bool,
    /// Whether an abort was sent.
    is_aborting: bool,
}

/// The reason why an upload may be left in a store.
struct Left {
    why: String,
    /// Whether the store has said so. Otherwise it has not answered, or not clearly.
    is_certain: bool,
}

/// The object under the name of an upload, after a completion whose answer proves nothing.
enum Found {
    /// The object has the hash of the upload.
    Upload(Written),
    /// The object has the size of the upload, and no checksum.
    SameSize,
    /// The store has no such object, or does not answer.
    Other,
}

/// Returns the part size for a file of this size: the smallest multiple of [`UNIT`] that needs at most [`PARTS_MAX`] parts.
fn part_size(size: u64) -> u64 {
    size.div_ceil(PARTS_MAX).div_ceil(UNIT).max(1) * UNIT
}

impl Multipart {
    pub(super) async fn begin(
        store: &S3,
        name: &str,
        upload: &Upload,
        what: String,
    ) -> Result<Self, ErrorKind> {
        let key = store.url.key(name);
        let mut call = store.call(Method::POST, &key, "s3-upload-begin", Class::Write);
        call.query("uploads", "");
        set_attributes(&mut call, &upload.attributes, &store.warning_about(what.clone()));
        call.header("x-amz-checksum-algorithm", "SHA256");
        let answer = store.send(&call, None, ANSWER_MAX).await?;
        if !answer.status().is_success() {
            return Err(store.failed(&answer));
        }
        let created = CreateMultipartUpload::parse_response(text(answer.body())?);
        let created =
            created.map_err(|error| ErrorKind::Unreadable(format!("the answer to an upload: {error}")))?;
        // Requests without an ID would be about the object.
        if created.upload_id().is_empty() {
            return Err(ErrorKind::Unreadable("an upload without an ID".to_owned()));
        }
        let part = part_size(upload.size);
        Ok(Self {
            store: store.clone(),
            name: name.to_owned(),
            key,
            what,
            id: created.upload_id().to_owned(),
            condition: upload.condition.clone(),
            parts: Vec::new(),
            spool: if part > UNIT { Some(Spool::new(part)?) } else { None },
            is_open: true,
            may_be_complete: false,
            is_aborting: false,
        })
    }

    /// Adds content: sends it as a part, or collects it until there is a whole part.
    async fn add(&mut self, content: Bytes, is_last: bool) -> Result<(), ErrorKind> {
        let Some(spool) = &mut self.spool else {
            let sha256 = sha2::Sha256::digest(&content).into();
            return self.send(sha256, Some(content)).await;
        };
        spool.add(&content).await?;
        let is_part = if is_last { !spool.is_empty() } else { spool.is_full() };
        if !is_part {
            return Ok(());
        }
        let sha256 = spool.sha256();
        self.send(sha256, None).await?;
        if let Some(spool) = &mut self.spool {
            spool.clear().await?;
        }
        Ok(())
    }

    /// Sends a part: `content`, or the content of the spool.
    async fn send(&mut self, sha256: [u8; 32], content: Option<Bytes>) -> Result<(), ErrorKind> {
        let number = (self.parts.len() + 1).to_string();
        let mut call = self.store.call(Method::PUT, &self.key, "s3-upload-part", Class::BulkWrite);
        call.query("partNumber", number);
        call.query("uploadId", self.id.clone());
        // The store compares it with the content that it receives.
        call.header("x-amz-checksum-sha256", STANDARD.encode(sha256));
        let mut budget = self.store.door.budget();
        loop {
            budget.attempt();
            // The door retries content in memory. Content of the spool is retried here.
            let (answer, is_repeated) = match (&content, &mut self.spool) {
                (None, Some(spool)) => {
                    (self.store.send_once(&call, spool.body().await?, ANSWER_MAX).await, false)
                }
                (content, _) => (self.store.send(&call, content.as_ref(), ANSWER_MAX).await, true),
            };
            let failure = match answer {
                Ok(answer) if answer.status().is_success() => match proof::part(&answer, sha256) {
                    Ok(part) => {
                        self.parts.push(part);
                        return Ok(());
                    }
                    Err(kind @ ErrorKind::Corrupted(_)) => return Err(kind),
                    Err(kind) => kind,
                },
                Ok(answer) if !is_repeated && transport::is_temporary(answer.status()) => {
                    refusal(&answer).kind(&answer)
                }
                Ok(answer) if refusal(&answer).code == "NoSuchUpload" => {
                    self.is_open = false;
                    return Err(ErrorKind::UploadLost(refusal(&answer).words(&answer)));
                }
                Ok(answer) => return Err(self.store.failed(&answer)),
                Err(ErrorKind::Http(error)) if !is_repeated && error.is_temporary() => {
                    budget.failed(&error);
                    ErrorKind::Http(error)
                }
                Err(kind) => return Err(kind),
            };
            match budget.pause(None) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    async fn complete(&self, size: u64, sha256: &Sha256) -> Result<Written, ErrorKind> {
        let condition = |error: Error| error.kind().clone();
        let mut call = self.store.call(Method::POST, &self.key, "s3-upload-complete", Class::Write);
        call.query("uploadId", self.id.clone());
        // A lost answer may have been a success, after which the store no longer knows the upload.
        call.once();
        // The store sends white space while it assembles the parts.
        call.patient();
        self.store.conditional(&mut call, &self.name, &self.condition).await.map_err(condition)?;
        let body = Bytes::from(completion(&self.parts));
        let mut budget = self.store.door.budget();
        loop {
            budget.attempt();
            let failure = match self.store.send(&call, Some(&body), ANSWER_MAX).await {
                Ok(answer) if answer.status().is_success() => {
                    match proof::completion(&answer, &self.key, &self.parts, sha256) {
                        Err(kind @ ErrorKind::Unproven(_)) => kind,
                        decided => return decided,
                    }
                }
                Ok(answer) if self.store.lacks_conditions(&answer) => {
                    self.store
                        .conditional(&mut call, &self.name, &self.condition)
                        .await
                        .map_err(condition)?;
                    refusal(&answer).kind(&answer)
                }
                Ok(answer) => {
                    let refusal = refusal(&answer);
                    match refusal.code.as_str() {
                        "InternalError" | "SlowDown" | "ServiceUnavailable" => refusal.kind(&answer),
                        _ if transport::is_temporary(answer.status()) => refusal.kind(&answer),
                        // The first answer may have been lost after a success.
                        "NoSuchUpload" => {
                            let kind = ErrorKind::UploadLost(refusal.words(&answer));
                            return match self.find(size, sha256).await {
                                Found::Upload(written) => Ok(written),
                                Found::SameSize | Found::Other => Err(kind),
                            };
                        }
                        // A concurrent write to the same object takes precedence.
                        "ConditionalRequestConflict" => return Err(ErrorKind::Precondition),
                        _ if answer.status() == StatusCode::PRECONDITION_FAILED && budget.attempts() > 1 => {
                            return match self.find(size, sha256).await {
                                Found::Upload(written) => Ok(written),
                                // The caller reads the object.
                                Found::SameSize => Err(ErrorKind::Unproven(refusal.words(&answer))),
                                Found::Other => Err(ErrorKind::PreconditionFailed),
                            };
                        }
                        _ => return Err(self.store.failed(&answer)),
                    }
                }
                Err(ErrorKind::Http(error)) if error.is_temporary() => {
                    budget.failed(&error);
                    ErrorKind::Http(error)
                }
                Err(kind) => return Err(kind),
            };
            // The upload may be complete in spite of the failure.
            match (self.find(size, sha256).await, &failure) {
                (Found::Upload(written), _) => return Ok(written),
                // The store has answered without a checksum. The caller reads the object.
                (Found::SameSize, ErrorKind::Unproven(_)) => return Err(failure),
                _ => {}
            }
            match budget.pause(None) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    /// Looks at the object under the name of this upload. Its metadata was sent before the content, and proves nothing.
    async fn find(&self, size: u64, sha256: &Sha256) -> Found {
        match self.store.stat(&self.name).await {
            Ok(Some(object)) if object.size == size => match &object.checksum {
                Some(checksum) if checksum == sha256 => Found::Upload(Written { version: object.version }),
                Some(_) => Found::Other,
                None => Found::SameSize,
            },
            _ => Found::Other,
        }
    }

    /// Aborts the upload repeatedly until the store no longer knows it: a part that was in transit may arrive after an abort
    /// (*Amazon S3 API: `AbortMultipartUpload`*).
    async fn give_up(&self) -> Result<(), Left> {
        let unclear = |why: String| Left { why, is_certain: false };
        let mut left = unclear("the store does not say whether it still has it".to_owned());
        let (mut pause, mut is_hidden) = (ABORT_PAUSE, false);
        for attempt in 0..ABORTS {
            if attempt > 0 {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            let mut call = self.store.call(Method::DELETE, &self.key, "s3-upload-abort", Class::Write);
            call.query("uploadId", self.id.clone());
            let answer = match self.store.send(&call, None, ANSWER_MAX).await {
                Ok(answer) => answer,
                Err(kind) => {
                    left = unclear(kind.to_string());
                    continue;
                }
            };
            match (answer.status(), refusal(&answer).code.as_str()) {
                (StatusCode::NOT_FOUND, "NoSuchUpload") => return Ok(()),
                // A success has no content, and the page of a proxy has.
                (status, _) if status.is_success() && !answer.body().is_empty() => {
                    left = unclear("the store's answer to the abort cannot be read".to_owned());
                    continue;
                }
                // The parts cannot be listed, and the abort has succeeded twice.
                (status, _) if status.is_success() && is_hidden => return Ok(()),
                (status, _) if status.is_success() => {}
                _ => {
                    left = Left { why: refusal(&answer).kind(&answer).to_string(), is_certain: true };
                    continue;
                }
            }
            let mut call = self.store.call(Method::GET, &self.key, "s3-upload-parts", Class::Read);
            call.query("uploadId", self.id.clone());
            match self.store.send(&call, None, ANSWER_MAX).await {
                Ok(answer) if refusal(&answer).code == "NoSuchUpload" => return Ok(()),
                Ok(answer) if answer.status().is_success() => {
                    is_hidden = false;
                    let is_list = text(answer.body()).is_ok_and(|body| body.contains("<ListPartsResult"));
                    left = match is_list {
                        true => Left { why: "the store still has it".to_owned(), is_certain: true },
                        false => unclear("the store's list of its parts cannot be read".to_owned()),
                    };
                }
                Ok(_) | Err(_) => is_hidden = true,
            }
        }
        Err(left)
    }

    /// Warns that the store still has parts, or may have them, and names what is needed to remove them.
    fn warn_left(&self, Left { why, is_certain }: &Left) {
        let (left, then) = match (self.may_be_complete, is_certain) {
            (true, _) => {
                ("the upload may be left in the store", "if the object is not there, abort the upload")
            }
            (false, false) => ("the unfinished upload may be left in the store", "abort it if it is there"),
            (false, true) => ("the unfinished upload is left in the store", "abort it"),
        };
        self.store.warnings.warn(format!(
            "{}: {left}: {why}; {then} (bucket `{}`, key `{}`, upload ID `{}`)",
            self.what,
            self.store.url.bucket(),
            oci_types::text::visible(&self.key),
            oci_types::text::printable(&self.id, 1_000),
        ));
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if self.is_open {
            let why = match (self.is_aborting, self.may_be_complete) {
                (true, _) => "the run ended before the store answered the abort",
                (false, true) => "the run ended before the store answered its completion",
                (false, false) => "the run ended before it was aborted",
            };
            self.warn_left(&Left { why: why.to_owned(), is_certain: !self.is_aborting });
        }
    }
}

/// Returns the body of the request that completes an upload.
fn completion(parts: &[Part]) -> String {
    let mut body =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (index, Part { etag, sha256 }) in parts.iter().enumerate() {
        let etag = etag.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<Part><ChecksumSHA256>{}</ChecksumSHA256><ETag>{etag}</ETag><PartNumber>{}</PartNumber></Part>",
            STANDARD.encode(sha256),
            index + 1
        );
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

impl PartUpload for Multipart {
    fn part(&mut self, content: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let sent = self.add(content, false).await;
            sent.map_err(|kind| Error::new(self.what.as_str(), kind))
        })
    }

    fn finish<'a>(&'a mut self, last: Bytes, hashes: &'a Hashes) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async move {
            let sent = self.add(last, true).await;
            let done = match sent {
                Ok(()) => {
                    self.may_be_complete = true;
                    let done = self.complete(hashes.size, &hashes.sha256).await;
                    let done = done.map_err(|kind| Error::new(self.what.as_str(), kind));
                    self.may_be_complete = done.as_ref().is_err_and(Error::is_undecided);
                    done
                }
                Err(kind) => Err(Error::new(self.what.as_str(), kind)),
            };
            self.is_open &= done.is_err();
            done
        })
    }

    fn leave(&mut self) {
        self.is_open = false;
    }

    fn abort(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.is_aborting = true;
            let given_up = tokio::time::timeout(ABORT_TIME, self.give_up()).await;
            self.is_open = false;
            match given_up {
                Ok(Ok(())) => {}
                Ok(Err(left)) => self.warn_left(&left),
                Err(_) => {
                    let why = format!("it was not aborted within {} s", ABORT_TIME.as_secs());
                    self.warn_left(&Left { why, is_certain: false });
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_parts_never_exceeds_the_maximum() {
        for (size, part) in
            [(UNIT + 1, UNIT), (20 << 30, UNIT), (UNIT * PARTS_MAX, UNIT), (UNIT * PARTS_MAX + 1, 2 * UNIT)]
        {
            assert_eq!(part_size(size), part, "{size}");
            assert!(size.div_ceil(part_size(size)) <= PARTS_MAX);
        }
    }
}
