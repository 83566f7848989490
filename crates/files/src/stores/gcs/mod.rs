//! Google Cloud Storage, by its JSON API.
//!
//! Objects are read with `Accept-Encoding: gzip`, so that content that is stored compressed is not unpacked. Reads name the
//! generation, and writes have the condition `ifGenerationMatch`.

mod resumable;
mod wire;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use manifest::files::StoreUrl;
use resumable::Resumable;
use transport::{Answer, Body, Class, Door, Opened, Request, Secret};
use url::Url;
use wire::{Listing, Metadata, Resource, refusal};

use super::{Condition, Content, Page, PartUpload, StoreRead, StoreWrite, Upload, Written};
use crate::error::{Error, ErrorKind};
use crate::hash::Hasher;
use crate::object::Object;

/// The maximum size of the page of a listing, in bytes. An object has up to 8 KiB of metadata.
const PAGE_MAX: u64 = 32 << 20;
/// The number of objects that a page is asked for.
const PAGE_OBJECTS: u32 = 1_000;
/// The maximum size of the description of an object, in bytes.
const RESOURCE_MAX: u64 = 1 << 20;
/// The fields that are asked for.
const FIELDS: &str = "name,size,generation,md5Hash,crc32c,metadata,contentType,contentEncoding,contentLanguage,contentDisposition,cacheControl";

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
pub(super) struct Gcs {
    door: Door,
    url: StoreUrl,
    endpoint: Url,
    tokens: Option<Arc<dyn GoogleTokens>>,
}

impl Gcs {
    pub(super) fn new(
        door: Door,
        url: StoreUrl,
        settings: &GcsSettings,
        tokens: Option<Arc<dyn GoogleTokens>>,
    ) -> Self {
        Self { door, url, endpoint: settings.endpoint.clone(), tokens }
    }

    /// Returns the URL of the bucket's objects, or of one of them.
    fn api(&self, root: &[&str], key: Option<&str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(root).extend(["storage", "v1", "b", self.url.bucket(), "o"]);
            // A slash of the key becomes `%2F`. Segments `.` and `..` cannot be all of a key.
            path.extend(key);
        }
        url
    }

    fn what(&self, doing: &str, name: &str) -> String {
        format!("{doing} {}", self.url.file(name))
    }

    /// Adds the credentials to a request.
    async fn authorized(&self, request: Request) -> Result<Request, ErrorKind> {
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

    async fn send(&self, request: Request) -> Result<Answer, ErrorKind> {
        Ok(self.door.send(self.authorized(request).await?).await?)
    }

    /// Returns the failure of an answer about an object.
    fn failed(&self, answer: &Answer) -> ErrorKind {
        let refusal = refusal(answer);
        if answer.status() == StatusCode::NOT_FOUND && refusal.message.contains("bucket does not exist") {
            return ErrorKind::NoBucket;
        }
        refusal.kind(answer)
    }

    /// Returns whether the bucket exists: one listing of one object.
    async fn has_bucket(&self) -> Result<bool, ErrorKind> {
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
    fn conditional(url: &mut Url, condition: &Condition) {
        let generation = match condition {
            Condition::Absent => "0",
            Condition::Version(generation) => generation,
        };
        url.query_pairs_mut().append_pair("ifGenerationMatch", generation);
    }

    /// Reads the answer to a completed write, and compares what was stored with what was sent.
    fn written(&self, answer: &Answer, size: u64, crc32c: u32) -> Result<Written, ErrorKind> {
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

impl StoreRead for Gcs {
    fn url(&self) -> &StoreUrl {
        &self.url
    }

    fn page<'a>(
        &'a self,
        prefix: &'a str,
        from: &'a str,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Page>, Error>> {
        Box::pin(async move {
            let fail = |kind| Error::new(format!("listing {}", self.url), kind);
            let mut url = self.api(&[], None);
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("prefix", &self.url.key(prefix));
                query.append_pair("startOffset", &self.url.key(from));
                query.append_pair("maxResults", &PAGE_OBJECTS.to_string());
                query.append_pair("fields", &format!("nextPageToken,items({FIELDS})"));
                token.map(|token| query.append_pair("pageToken", token).finish());
            }
            let request = Request::new(Method::GET, url, "gcs-list", Class::Read).limit(PAGE_MAX);
            let answer = self.send(request).await.map_err(fail)?;
            match answer.status() {
                status if status.is_success() => {}
                StatusCode::NOT_FOUND => return Err(fail(ErrorKind::NoBucket)),
                _ => return Err(fail(self.failed(&answer))),
            }
            let listing: Listing = serde_json::from_slice(answer.body())
                .map_err(|error| fail(ErrorKind::Unreadable(format!("a page of a listing: {error}"))))?;
            listing.page(&self.url).map(Some).map_err(fail)
        })
    }

    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Object>, Error>> {
        Box::pin(async move {
            let fail = |kind| Error::new(self.what("asking for", name), kind);
            let mut url = self.api(&[], Some(&self.url.key(name)));
            url.query_pairs_mut().append_pair("fields", FIELDS);
            let request = Request::new(Method::GET, url, "gcs-stat", Class::Read).limit(RESOURCE_MAX);
            let answer = self.send(request).await.map_err(fail)?;
            match answer.status() {
                status if status.is_success() => {
                    let resource: Resource = serde_json::from_slice(answer.body()).map_err(|error| {
                        fail(ErrorKind::Unreadable(format!("the description of an object: {error}")))
                    })?;
                    resource.object(&self.url).map(|(_, object)| Some(object)).map_err(fail)
                }
                // Only of a bucket that exists does it prove that the object does not.
                StatusCode::NOT_FOUND if refusal(&answer).message.starts_with("No such object") => Ok(None),
                StatusCode::NOT_FOUND if self.has_bucket().await.map_err(fail)? => Ok(None),
                StatusCode::NOT_FOUND => Err(fail(ErrorKind::NoBucket)),
                _ => Err(fail(self.failed(&answer))),
            }
        })
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        version: Option<&'a str>,
        offset: u64,
    ) -> BoxFuture<'a, Result<Content, Error>> {
        Box::pin(async move {
            let what = self.what("reading", name);
            let fail = |kind| Error::new(what.as_str(), kind);
            let mut url = self.api(&["download"], Some(&self.url.key(name)));
            url.query_pairs_mut().append_pair("alt", "media");
            if let Some(generation) = version {
                url.query_pairs_mut().append_pair("generation", generation);
            }
            let mut request = Request::new(Method::GET, url, "gcs-read", Class::BulkRead)
                .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            if offset > 0 {
                let range = HeaderValue::try_from(format!("bytes={offset}-"));
                request = request.header(header::RANGE, range.map_err(|_| fail(ErrorKind::Changed))?);
            }
            let request = self.authorized(request).await.map_err(fail)?;
            match self.door.stream(request).await.map_err(|error| fail(error.into()))? {
                Opened::Body(body) => {
                    if offset > 0 && body.status() != StatusCode::PARTIAL_CONTENT {
                        return Err(fail(ErrorKind::Unreadable(
                            "a part was asked for, and the whole came".to_owned(),
                        )));
                    }
                    let header = |name: &str| body.header(name).map(str::to_owned);
                    let object = wire::of_headers(header, offset);
                    Ok(Content::http(what, object, body))
                }
                Opened::Other(answer) => Err(fail(match answer.status() {
                    StatusCode::NOT_FOUND if version.is_some() => ErrorKind::Changed,
                    StatusCode::NOT_FOUND => ErrorKind::NoObject,
                    _ => self.failed(&answer),
                })),
            }
        })
    }
}

impl StoreWrite for Gcs {
    fn put<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        content: Bytes,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async move {
            let fail = |kind| Error::new(self.what("writing", name), kind);
            let mut hasher = Hasher::new();
            hasher.update(&content);
            let crc32c = hasher.finish().crc32c;
            let mut url = self.api(&["upload"], None);
            url.query_pairs_mut().append_pair("uploadType", "multipart").append_pair("fields", FIELDS);
            Self::conditional(&mut url, &upload.condition);
            let key = self.url.key(name);
            let metadata = Metadata::new(&key, &upload.attributes, Some(crc32c));
            let (kind, body) = related(&metadata, upload, &content).map_err(fail)?;
            drop(content);
            let request = Request::new(Method::POST, url, "gcs-write", Class::BulkWrite)
                .header(header::CONTENT_TYPE, kind)
                .body(Body::Bytes(body))
                .limit(RESOURCE_MAX);
            let answer = self.send(request).await.map_err(fail)?;
            self.written(&answer, upload.size, crc32c).map_err(fail)
        })
    }

    fn begin<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        _part: u64,
    ) -> BoxFuture<'a, Result<Box<dyn PartUpload>, Error>> {
        Box::pin(async move {
            let what = self.what("writing", name);
            let begun = Resumable::begin(self, &self.url.key(name), upload, what.clone()).await;
            begun.map(|upload| Box::new(upload) as Box<dyn PartUpload>).map_err(|kind| Error::new(what, kind))
        })
    }
}

/// Returns the type and the body of a request with metadata and content (RFC 2387, *multipart/related*).
fn related(
    metadata: &Metadata<'_>,
    upload: &Upload,
    content: &Bytes,
) -> Result<(HeaderValue, Bytes), ErrorKind> {
    let json = serde_json::to_vec(metadata).map_err(|error| ErrorKind::Unreadable(error.to_string()))?;
    // The hash of the content does not stand in the content.
    let boundary = format!("kpromo-{}", upload.sha256);
    let kind = upload.attributes.content_type.as_deref().filter(|kind| HeaderValue::from_str(kind).is_ok());
    let kind = kind.unwrap_or("application/octet-stream");
    let mut body = BytesMut::with_capacity(content.len() + json.len() + 512);
    body.put_slice(
        format!("--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n").as_bytes(),
    );
    body.put_slice(&json);
    body.put_slice(format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n").as_bytes());
    body.put_slice(content);
    body.put_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let kind = HeaderValue::try_from(format!("multipart/related; boundary={boundary}"));
    Ok((kind.map_err(|error| ErrorKind::Unreadable(error.to_string()))?, body.freeze()))
}

/// Returns a CRC32C as Google writes it: big-endian, in base64.
fn crc32c_text(crc32c: u32) -> String {
    STANDARD.encode(crc32c.to_be_bytes())
}

/// The header with hashes.
const HASH: HeaderName = HeaderName::from_static("x-goog-hash");
