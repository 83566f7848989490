//! Google Cloud Storage, through its JSON API.
//!
//! Objects are read with `Accept-Encoding: gzip`, so that content that is stored compressed is not decompressed. Reads name the
//! generation, and writes have the condition `ifGenerationMatch`.

mod client;
mod resumable;
mod wire;

use bytes::{BufMut as _, Bytes, BytesMut};
pub(super) use client::Gcs;
use client::{FIELDS, PAGE_MAX, PAGE_OBJECTS, RESOURCE_MAX, is_not_found};
pub use client::{GcsSettings, GoogleTokens};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use manifest::files::StoreUrl;
use resumable::Resumable;
use transport::{Body, Class, Opened, Request};
use wire::{Listing, Metadata, Resource, refusal};

use super::content::{Content, start_of};
use super::store::{Page, PartUpload, StoreRead, StoreWrite, Upload, Written};
use crate::error::{Error, ErrorKind};
use crate::hash::Hasher;
use crate::object::Object;

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
                query.append_pair("fields", &format!("kind,nextPageToken,items({FIELDS})"));
                token.map(|token| query.append_pair("pageToken", token).finish());
            }
            let request = Request::new(Method::GET, url, "gcs-list", Class::Read).limit(PAGE_MAX);
            let answer = self.send(request).await.map_err(fail)?;
            match answer.status() {
                status if status.is_success() => {}
                _ if is_not_found(&answer, &refusal(&answer)) => return Err(fail(ErrorKind::NoBucket)),
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
                    let object = resource.object(&self.url).and_then(|(_, object)| object.bounded());
                    object.map(Some).map_err(fail)
                }
                // A 404 proves that the object is absent only if the bucket exists.
                _ if is_not_found(&answer, &refusal(&answer)) => {
                    match refusal(&answer).message.starts_with("No such object") {
                        true => Ok(None),
                        false if self.has_bucket().await.map_err(fail)? => Ok(None),
                        false => Err(fail(ErrorKind::NoBucket)),
                    }
                }
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
                    let start = start_of(&body).map_err(fail)?;
                    let header = |name: &str| body.header(name).map(str::to_owned);
                    let object = wire::of_headers(header, start);
                    Ok(Content::http(what, object, body, start))
                }
                // The body of this answer has no fixed format, so `find` determines what is missing.
                Opened::Other(answer) if answer.status() == StatusCode::NOT_FOUND => {
                    let kind = match self.find(name).await?.map(|object| object.version) {
                        None => ErrorKind::NoObject,
                        Some(found) if version.is_some_and(|version| version != found) => ErrorKind::Changed,
                        Some(_) => self.failed(&answer),
                    };
                    Err(fail(kind))
                }
                Opened::Other(answer) => Err(fail(self.failed(&answer))),
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
            let mut hasher = Hasher::with_md5();
            hasher.update(&content);
            let hashes = hasher.finish();
            let mut url = self.api(&["upload"], None);
            url.query_pairs_mut().append_pair("uploadType", "multipart").append_pair("fields", FIELDS);
            Self::conditional(&mut url, &upload.condition);
            let key = self.url.key(name);
            let metadata = Metadata::new(&key, &upload.attributes, Some(hashes.crc32c));
            let (kind, body) = related(&metadata, upload, &content).map_err(fail)?;
            drop(content);
            let request = Request::new(Method::POST, url, "gcs-write", Class::BulkWrite)
                .header(header::CONTENT_TYPE, kind)
                .body(Body::Bytes(body))
                .limit(RESOURCE_MAX);
            let answer = self.send(request).await.map_err(fail)?;
            self.written(&answer, &key, &hashes).map_err(fail)
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

/// Returns the content type and the body of a request with metadata and content (RFC 2387, *multipart/related*).
fn related(
    metadata: &Metadata<'_>,
    upload: &Upload,
    content: &Bytes,
) -> Result<(HeaderValue, Bytes), ErrorKind> {
    let json = serde_json::to_vec(metadata).map_err(|error| ErrorKind::Unreadable(error.to_string()))?;
    // The content cannot contain its own hash, so the boundary does not occur in it.
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
