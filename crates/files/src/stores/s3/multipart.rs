//! Multipart uploads.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use rusty_s3::actions::CreateMultipartUpload;
use sha2::{Digest as _, Sha256};
use transport::Class;

use super::super::store::{Condition, PartUpload, Upload, Written};
use super::client::S3;
use super::wire::{refusal, set_attributes, text};
use crate::error::{Error, ErrorKind};
use crate::hash::Hashes;

/// The maximum size of the answers, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// An upload in parts.
pub(super) struct Multipart {
    store: S3,
    name: String,
    key: String,
    what: String,
    id: String,
    condition: Condition,
    /// The entity tag and the SHA-256, in base64, of each part.
    parts: Vec<(String, String)>,
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
        set_attributes(&mut call, &upload.attributes);
        call.header("x-amz-checksum-algorithm", "SHA256");
        let answer = store.send(&call, None, ANSWER_MAX).await?;
        if !answer.status().is_success() {
            return Err(store.failed(&answer));
        }
        let created = CreateMultipartUpload::parse_response(text(answer.body())?);
        let created =
            created.map_err(|error| ErrorKind::Unreadable(format!("the answer to an upload: {error}")))?;
        let (store, id, condition) =
            (store.clone(), created.upload_id().to_owned(), upload.condition.clone());
        Ok(Self { store, name: name.to_owned(), key, what, id, condition, parts: Vec::new() })
    }

    async fn send(&mut self, content: Bytes) -> Result<(), ErrorKind> {
        let number = (self.parts.len() + 1).to_string();
        let hash = STANDARD.encode(Sha256::digest(&content));
        let mut call = self.store.call(Method::PUT, &self.key, "s3-upload-part", Class::BulkWrite);
        call.query("partNumber", number);
        call.query("uploadId", self.id.clone());
        // The store compares it with what it receives.
        call.header("x-amz-checksum-sha256", hash.clone());
        let answer = self.store.send(&call, Some(&content), ANSWER_MAX).await?;
        if !answer.status().is_success() {
            return Err(self.store.failed(&answer));
        }
        let etag = answer
            .header("etag")
            .ok_or_else(|| ErrorKind::Unreadable("a part without an ETag".to_owned()))?;
        self.parts.push((etag.to_owned(), hash));
        Ok(())
    }

    async fn complete(&self, size: u64) -> Result<Written, ErrorKind> {
        let condition = |error: Error| error.kind().clone();
        let mut call = self.store.call(Method::POST, &self.key, "s3-upload-complete", Class::Write);
        call.query("uploadId", self.id.clone());
        self.store.conditional(&mut call, &self.name, &self.condition).await.map_err(condition)?;
        let body = Bytes::from(completion(&self.parts));
        let mut budget = self.store.door.budget();
        loop {
            budget.attempt();
            // An answer that was lost may have been a success, after which the upload is unknown.
            call.once();
            let failure = match self.store.send(&call, Some(&body), ANSWER_MAX).await {
                // The answer may begin before the store is done, and then hold an error.
                Ok(answer) if answer.status().is_success() && refusal(&answer).code.is_empty() => {
                    let done =
                        rusty_s3::actions::CompleteMultipartUploadResponse::parse(text(answer.body())?);
                    let version = done.map(|done| done.etag().to_owned()).unwrap_or_default();
                    return Ok(Written { version });
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
                        "NoSuchUpload" if budget.attempts() > 1 => return self.completed(size).await,
                        "InternalError" | "SlowDown" | "ServiceUnavailable" => refusal.kind(&answer),
                        _ if transport::is_temporary(answer.status()) => refusal.kind(&answer),
                        // Another write is under way: it decides.
                        "ConditionalRequestConflict" => return Err(ErrorKind::Precondition),
                        _ if answer.status() == StatusCode::PRECONDITION_FAILED && budget.attempts() > 1 => {
                            return self.completed(size).await;
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
            match budget.pause(None) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }

    /// Returns the object of an upload whose answer was lost, if it is there. It has the entity tag of these parts.
    async fn completed(&self, size: u64) -> Result<Written, ErrorKind> {
        let call = self.store.call(Method::HEAD, &self.key, "s3-stat", Class::Read);
        let answer = self.store.send(&call, None, ANSWER_MAX).await?;
        let etag = answer.header("etag").unwrap_or_default();
        let length = answer.header("content-length").and_then(|length| length.parse::<u64>().ok());
        let is_ours = etag.trim_matches('"').ends_with(&format!("-{}", self.parts.len()));
        if answer.status().is_success() && is_ours && length == Some(size) {
            return Ok(Written { version: etag.to_owned() });
        }
        Err(ErrorKind::Precondition)
    }
}

/// Returns the body that completes an upload.
fn completion(parts: &[(String, String)]) -> String {
    let mut body =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (index, (etag, hash)) in parts.iter().enumerate() {
        let etag = etag.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // Writing to a text cannot fail.
        let _ = write!(
            body,
            "<Part><ChecksumSHA256>{hash}</ChecksumSHA256><ETag>{etag}</ETag><PartNumber>{}</PartNumber></Part>",
            index + 1
        );
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

impl PartUpload for Multipart {
    fn part(&mut self, content: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let sent = self.send(content).await;
            sent.map_err(|kind| Error::new(self.what.as_str(), kind))
        })
    }

    fn finish<'a>(&'a mut self, last: Bytes, hashes: &'a Hashes) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async move {
            let sent = self.send(last).await;
            let done = match sent {
                Ok(()) => self.complete(hashes.size).await,
                Err(kind) => Err(kind),
            };
            done.map_err(|kind| Error::new(self.what.as_str(), kind))
        })
    }

    fn abort(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut call = self.store.call(Method::DELETE, &self.key, "s3-upload-abort", Class::Write);
            call.query("uploadId", self.id.clone());
            if let Err(error) = self.store.send(&call, None, ANSWER_MAX).await {
                tracing::warn!("{}: the unfinished upload could not be aborted: {error}", self.what);
            }
        })
    }
}
