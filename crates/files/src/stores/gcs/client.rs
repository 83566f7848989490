//! The requests of Google Cloud Storage.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use manifest::files::StoreUrl;
use transport::{Answer, Class, Door, Request, Secret};
use url::Url;

use super::super::answer::Refusal;
use super::super::store::{Condition, Written};
use super::super::warnings::Warnings;
use super::wire::{Resource, refusal};
use crate::error::ErrorKind;
use crate::hash::Hashes;

/// The maximum size of the page of a listing, in bytes. An object has up to 8 KiB of metadata.
pub(super) const PAGE_MAX: u64 = 32 << 20;
/// The requested number of objects in a page.
pub(super) const PAGE_OBJECTS: u32 = 1_000;
/// The maximum size of the description of an object, in bytes.
pub(super) const RESOURCE_MAX: u64 = 1 << 20;
/// The requested fields.
pub(super) const FIELDS: &str = "name,size,generation,md5Hash,crc32c,metadata,contentType,contentEncoding,contentLanguage,contentDisposition,cacheControl";

/// The settings for Google Cloud Storage.
#[derive(Clone, Debug)]
pub struct GcsSettings {
    /// The origin of the API: `https://storage.googleapis.com`, or the origin of an emulator.
    pub endpoint: Url,
}

/// A source of access tokens for Google Cloud Storage.
pub trait GoogleTokens: Send + Sync + fmt::Debug {
    /// Returns a valid token, or `None` if there are no credentials. Without a token, requests are anonymous.
    ///
    /// # Errors
    /// If there are credentials and they cannot be used. The message has no secret.
    fn token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>>;
}

/// A bucket, or a part of one.
#[derive(Clone, Debug)]
pub(in super::super) struct Gcs {
    pub(super) door: Door,
    pub(super) url: StoreUrl,
    pub(super) endpoint: Url,
    tokens: Option<Arc<dyn GoogleTokens>>,
    pub(super) warnings: Warnings,
}

impl Gcs {
    pub(in super::super) fn new(
        door: Door,
        url: StoreUrl,
        settings: &GcsSettings,
        tokens: Option<Arc<dyn GoogleTokens>>,
        warnings: Warnings,
    ) -> Self {
        Self { door, url, endpoint: settings.endpoint.clone(), tokens, warnings }
    }

    /// Returns the URL of the bucket's objects, or of one of them.
    pub(super) fn api(&self, root: &[&str], key: Option<&str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(root).extend(["storage", "v1", "b", self.url.bucket(), "o"]);
            // A slash in the key becomes `%2F`. `extend` drops `.` and `..`, which are never a whole key.
            path.extend(key);
        }
        url
    }

    pub(super) fn what(&self, doing: &str, name: &str) -> String {
        format!("{doing} {}", self.url.file(name))
    }

    /// Adds the credentials to a request.
    pub(super) async fn authorized(&self, request: Request) -> Result<Request, ErrorKind> {
        let Some(tokens) = &self.tokens else { return Ok(request) };
        match tokens.token().await.map_err(ErrorKind::Credentials)? {
            None => Ok(request),
            Some(token) => {
                let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
                let mut value = value
                    .map_err(|_| ErrorKind::Credentials("the token is not a header's value".to_owned()))?;
                value.set_sensitive(true);
                Ok(request.header(header::AUTHORIZATION, value))
            }
        }
    }

    pub(super) async fn send(&self, request: Request) -> Result<Answer, ErrorKind> {
        Ok(self.door.send(self.authorized(request).await?).await?)
    }

    /// Returns the error for an answer about an object.
    pub(super) fn failed(&self, answer: &Answer) -> ErrorKind {
        let refusal = refusal(answer);
        if is_not_found(answer, &refusal) && refusal.message.contains("bucket does not exist") {
            return ErrorKind::NoBucket;
        }
        refusal.kind(answer)
    }

    /// Returns whether the bucket exists. Sends one request, which lists one object.
    pub(super) async fn has_bucket(&self) -> Result<bool, ErrorKind> {
        let mut url = self.api(&[], None);
        url.query_pairs_mut().append_pair("maxResults", "1").append_pair("fields", "kind");
        let answer =
            self.send(Request::new(Method::GET, url, "gcs-list", Class::Read).limit(PAGE_MAX)).await?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND if is_not_found(&answer, &refusal(&answer)) => Ok(false),
            // Google refuses a listing with a message only if the bucket exists.
            StatusCode::FORBIDDEN if !refusal(&answer).message.is_empty() => Ok(true),
            _ => Err(self.failed(&answer)),
        }
    }

    /// Adds the condition of a write to a URL.
    pub(super) fn conditional(url: &mut Url, condition: &Condition) {
        let generation = match condition {
            Condition::Absent => "0",
            Condition::Version(generation) => generation,
        };
        url.query_pairs_mut().append_pair("ifGenerationMatch", generation);
    }

    /// Parses the answer to a completed write, and compares the stored hashes with the sent content. An answer that is not about
    /// this object, or has no hash, proves nothing.
    pub(super) fn written(&self, answer: &Answer, key: &str, sent: &Hashes) -> Result<Written, ErrorKind> {
        if !answer.status().is_success() {
            return Err(self.failed(answer));
        }
        let unproven = || {
            let words = refusal(answer).words(answer);
            let separator = if words.is_empty() { "" } else { ": " };
            ErrorKind::Unproven(format!("{}{separator}{words}", answer.status()))
        };
        let resource: Resource = serde_json::from_slice(answer.body()).map_err(|_| unproven())?;
        let (name, object) = resource.object(&self.url).map_err(|_| unproven())?;
        let by_crc32c = object.crc32c.map(|stored| stored == sent.crc32c);
        let by_md5 = object.md5.zip(sent.md5).and_then(|(stored, sent)| stored.is(sent));
        if name != key || (by_crc32c.is_none() && by_md5.is_none()) {
            return Err(unproven());
        }
        if object.size != sent.size {
            let (sent, stored) = (sent.size, object.size);
            return Err(ErrorKind::Corrupted(format!("{sent} bytes were sent, {stored} are stored")));
        }
        if by_crc32c == Some(false) || by_md5 == Some(false) {
            return Err(ErrorKind::Corrupted("the hashes of what is stored are others".to_owned()));
        }
        Ok(Written { version: object.version })
    }
}

/// Returns whether an answer is Google's own 404. A 404 from a proxy proves nothing.
pub(super) fn is_not_found(answer: &Answer, refusal: &Refusal) -> bool {
    answer.status() == StatusCode::NOT_FOUND && refusal.code == "notFound"
}
