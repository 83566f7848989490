//! The requests of Google Cloud Storage.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use manifest::files::StoreUrl;
use transport::{Answer, Class, Door, Request, Secret};
use url::Url;

use super::super::store::{Condition, Written};
use super::wire::{Resource, refusal};
use crate::error::ErrorKind;

/// The maximum size of the page of a listing, in bytes. An object has up to 8 KiB of metadata.
pub(super) const PAGE_MAX: u64 = 32 << 20;
/// The number of objects that a page is asked for.
pub(super) const PAGE_OBJECTS: u32 = 1_000;
/// The maximum size of the description of an object, in bytes.
pub(super) const RESOURCE_MAX: u64 = 1 << 20;
/// The fields that are asked for.
pub(super) const FIELDS: &str = "name,size,generation,md5Hash,crc32c,metadata,contentType,contentEncoding,contentLanguage,contentDisposition,cacheControl";

/// How Google Cloud Storage is reached.
#[derive(Clone, Debug)]
pub struct GcsSettings {
    /// The origin of the API: `https://storage.googleapis.com`, or that of an emulator.
    pub endpoint: Url,
}

/// A source of access tokens for Google Cloud Storage.
pub trait GoogleTokens: Send + Sync + fmt::Debug {
    /// Returns a valid token, or `None` if there are no credentials: then the store is asked anonymously.
    ///
    /// # Errors
    /// If there are credentials and they cannot be used. The text has no secret.
    fn token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>>;
}

/// A bucket, or a part of one.
#[derive(Clone, Debug)]
pub(in super::super) struct Gcs {
    pub(super) door: Door,
    pub(super) url: StoreUrl,
    pub(super) endpoint: Url,
    tokens: Option<Arc<dyn GoogleTokens>>,
}

impl Gcs {
    pub(in super::super) fn new(
        door: Door,
        url: StoreUrl,
        settings: &GcsSettings,
        tokens: Option<Arc<dyn GoogleTokens>>,
    ) -> Self {
        Self { door, url, endpoint: settings.endpoint.clone(), tokens }
    }

    /// Returns the URL of the bucket's objects, or of one of them.
    pub(super) fn api(&self, root: &[&str], key: Option<&str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(root).extend(["storage", "v1", "b", self.url.bucket(), "o"]);
            // A slash of the key becomes `%2F`. Segments `.` and `..` cannot be all of a key.
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

    /// Returns the failure of an answer about an object.
    pub(super) fn failed(&self, answer: &Answer) -> ErrorKind {
        let refusal = refusal(answer);
        if answer.status() == StatusCode::NOT_FOUND && refusal.message.contains("bucket does not exist") {
            return ErrorKind::NoBucket;
        }
        refusal.kind(answer)
    }

    /// Returns whether the bucket exists: one listing of one object.
    pub(super) async fn has_bucket(&self) -> Result<bool, ErrorKind> {
        let mut url = self.api(&[], None);
        url.query_pairs_mut().append_pair("maxResults", "1").append_pair("fields", "kind");
        let answer =
            self.send(Request::new(Method::GET, url, "gcs-list", Class::Read).limit(PAGE_MAX)).await?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            // Who may not list is told so of buckets that exist.
            StatusCode::FORBIDDEN => Ok(true),
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

    /// Reads the answer to a completed write, and compares what was stored with what was sent.
    pub(super) fn written(&self, answer: &Answer, size: u64, crc32c: u32) -> Result<Written, ErrorKind> {
        if !answer.status().is_success() {
            return Err(self.failed(answer));
        }
        let resource: Resource = serde_json::from_slice(answer.body())
            .map_err(|error| ErrorKind::Unreadable(format!("the description of an object: {error}")))?;
        let (_, object) = resource.object(&self.url)?;
        if object.size != size || object.crc32c.is_some_and(|stored| stored != crc32c) {
            return Err(ErrorKind::Corrupted(format!("{size} bytes were sent, {} are stored", object.size)));
        }
        Ok(Written { version: object.version })
    }
}
