//! Resumable uploads (*Google Cloud Storage: Resumable uploads*).

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use transport::{Answer, Body, Class, Request};
use url::Url;

use super::super::store::{ABORT_TIME, PartUpload, Upload, Written};
use super::client::{FIELDS, Gcs, RESOURCE_MAX};
use super::wire::{HASH, Metadata, crc32c_text, refusal};
use crate::error::{Error, ErrorKind};
use crate::hash::Hashes;

/// The status of an upload that is not complete.
const INCOMPLETE: StatusCode = StatusCode::PERMANENT_REDIRECT;
/// The status of Google's answer to an abort that has succeeded (*Cancel an upload*).
const CANCELLED: u16 = 499;

/// A resumable upload.
pub(super) struct Resumable {
    store: Gcs,
    /// The URL of the parts: the path and query from the answer, at the configured endpoint.
    session: Url,
    key: String,
    what: String,
    size: u64,
    /// The number of bytes that the store has.
    sent: u64,
    /// Whether the store may still have the session.
    is_open: bool,
}

impl Resumable {
    pub(super) async fn begin(
        store: &Gcs,
        key: &str,
        upload: &Upload,
        what: String,
    ) -> Result<Self, ErrorKind> {
        let mut url = store.api(&["upload"], None);
        url.query_pairs_mut().append_pair("uploadType", "resumable").append_pair("fields", FIELDS);
        // The name is also in the query, because an emulator reads it from there.
        url.query_pairs_mut().append_pair("name", key);
        Gcs::conditional(&mut url, &upload.condition);
        let metadata = Metadata::new(key, &upload.attributes, upload.crc32c);
        let body = serde_json::to_vec(&metadata).map_err(|error| ErrorKind::Unreadable(error.to_string()))?;
        let request = Request::new(Method::POST, url, "gcs-upload-begin", Class::Write)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"))
            .header(http::HeaderName::from_static("x-upload-content-length"), upload.size.into())
            .body(Body::Bytes(body.into()))
            .limit(RESOURCE_MAX);
        let answer = store.send(request).await?;
        if !answer.status().is_success() {
            return Err(store.failed(&answer));
        }
        let session = session(&answer, &store.endpoint)?;
        Ok(Self {
            store: store.clone(),
            session,
            key: key.to_owned(),
            what,
            size: upload.size,
            sent: 0,
            is_open: true,
        })
    }

    /// Sends bytes to the session, and returns the answer.
    async fn send(&self, range: &str, content: Bytes, crc32c: Option<u32>) -> Result<Answer, ErrorKind> {
        let range = HeaderValue::try_from(format!("bytes {range}/{}", self.size));
        let range = range.map_err(|error| ErrorKind::Unreadable(error.to_string()))?;
        let class = if content.is_empty() { Class::Write } else { Class::BulkWrite };
        // The state of the session decides what to send next, so the door must not repeat the request.
        let mut request = Request::new(Method::PUT, self.session.clone(), "gcs-upload-part", class)
            .header(header::CONTENT_RANGE, range)
            .body(Body::Bytes(content))
            .limit(RESOURCE_MAX)
            .again_when_refused();
        if let Some(crc32c) = crc32c {
            let hash = HeaderValue::try_from(format!("crc32c={}", crc32c_text(crc32c)));
            request = request.header(HASH, hash.map_err(|error| ErrorKind::Unreadable(error.to_string()))?);
        }
        self.store.send(request).await
    }

    /// Sends a part. Returns the answer if this part completes the object.
    ///
    /// After a failure, queries how many bytes the store has and sends the rest.
    async fn transfer(&mut self, content: Bytes, crc32c: Option<u32>) -> Result<Option<Answer>, ErrorKind> {
        let (start, end) = (self.sent, self.sent + content.len() as u64);
        let mut budget = self.store.door.budget();
        let mut ask = false;
        loop {
            budget.attempt();
            let rest =
                content.slice(usize::try_from(self.sent - start).unwrap_or(usize::MAX).min(content.len())..);
            let answer = if ask || rest.is_empty() {
                self.send("*", Bytes::new(), None).await
            } else {
                let range = format!("{}-{}", self.sent, end.saturating_sub(1));
                self.send(&range, rest, crc32c).await
            };
            let failure = match answer {
                Ok(answer) if answer.status() == INCOMPLETE => {
                    let has = persisted(&answer);
                    if !(start..=end).contains(&has) {
                        return Err(ErrorKind::Unreadable(format!(
                            "{end} bytes were sent, and the store has {has}"
                        )));
                    }
                    let moved = has > self.sent;
                    self.sent = has;
                    if has == end && end < self.size {
                        return Ok(None);
                    }
                    if moved {
                        budget.progressed();
                    }
                    ask = false;
                    ErrorKind::Unreadable(format!("the store keeps only {has} of {end} bytes"))
                }
                Ok(answer) if answer.status().is_success() && end == self.size => return Ok(Some(answer)),
                Ok(answer) if transport::is_temporary(answer.status()) => {
                    ask = true;
                    refusal(&answer).kind(&answer)
                }
                // The session is gone. Only a new upload can succeed.
                Ok(answer) if matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::GONE) => {
                    let words = refusal(&answer).words(&answer);
                    return Err(ErrorKind::UploadLost(format!("{} {words}", answer.status())));
                }
                Ok(answer) => return Err(self.store.failed(&answer)),
                Err(ErrorKind::Http(error)) if error.is_temporary() => {
                    budget.failed(&error);
                    ask = true;
                    ErrorKind::Http(error)
                }
                Err(kind) => return Err(kind),
            };
            match budget.pause(None) {
                Some(pause) => tokio::time::sleep(pause.max(Duration::from_millis(1))).await,
                None => return Err(failure),
            }
        }
    }
}

impl PartUpload for Resumable {
    fn part(&mut self, content: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let sent = self.transfer(content, None).await;
            sent.map(drop).map_err(|kind| Error::new(self.what.as_str(), kind))
        })
    }

    fn finish<'a>(&'a mut self, last: Bytes, hashes: &'a Hashes) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async move {
            let written = async {
                let answer = self.transfer(last, Some(hashes.crc32c)).await?;
                let answer =
                    answer.ok_or_else(|| ErrorKind::Unreadable("the upload did not end".to_owned()))?;
                self.store.written(&answer, &self.key, hashes)
            };
            let written = written.await;
            self.is_open &= written.is_err();
            written.map_err(|kind| Error::new(self.what.as_str(), kind))
        })
    }

    fn leave(&mut self) {
        self.is_open = false;
    }

    fn abort(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let given_up = tokio::time::timeout(ABORT_TIME, self.give_up()).await;
            self.is_open = false;
            match given_up {
                Ok(Ok(())) => {}
                Ok(Err(kind)) => self.warn_left(&kind.to_string()),
                Err(_) => {
                    let seconds = ABORT_TIME.as_secs();
                    self.warn_left(&format!("the store did not answer the abort within {seconds} s"));
                }
            }
        })
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        if self.is_open {
            self.warn_left("the run ended before it was aborted");
        }
    }
}

impl Resumable {
    /// Warns that the store may still have the upload. The URL of the session permits writes, so it is not shown.
    fn warn_left(&self, why: &str) {
        self.store.warnings.warn(format!(
            "{}: the unfinished upload may be left in the store: {why}; Google deletes it after a week",
            self.what
        ));
    }

    /// Deletes the session with its parts.
    async fn give_up(&self) -> Result<(), ErrorKind> {
        let request = Request::new(Method::DELETE, self.session.clone(), "gcs-upload-abort", Class::Write);
        let answer = self.store.send(request.limit(RESOURCE_MAX)).await?;
        let is_empty = answer.body().is_empty();
        match answer.status() {
            status if status.as_u16() == CANCELLED => Ok(()),
            // The page of a proxy has a body.
            status if status.is_success() && is_empty => Ok(()),
            // The session is gone already.
            StatusCode::NOT_FOUND | StatusCode::GONE if is_empty || !refusal(&answer).message.is_empty() => {
                Ok(())
            }
            status if status.is_success() => {
                Err(ErrorKind::Unreadable("the answer to the abort has a body".to_owned()))
            }
            _ => Err(self.store.failed(&answer)),
        }
    }
}

/// Returns how many bytes the store has, according to the header `Range: bytes=0-N`.
fn persisted(answer: &Answer) -> u64 {
    let last = answer.header("range").and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
    last.map_or(0, |last| last + 1)
}

/// Returns the URL of the session at the configured endpoint. The host in the answer is ignored.
fn session(answer: &Answer, endpoint: &Url) -> Result<Url, ErrorKind> {
    let unreadable = || ErrorKind::Unreadable("the upload has no location".to_owned());
    let location = answer.header("location").ok_or_else(unreadable)?;
    let location = answer.url().join(location).map_err(|_| unreadable())?;
    let mut session = endpoint.clone();
    session.set_path(location.path());
    session.set_query(location.query());
    Ok(session)
}
