//! S3 and other stores with its API.
//!
//! Requests are presigned URLs (*Signature Version 4*, in the query); the signature also covers the headers that matter. If the
//! clock of this machine is wrong, requests are signed with the store's time, which a refusal has in its `Date` header.

mod call;
mod client;
mod metadata;
mod multipart;
mod proof;
mod sign;
mod spool;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use client::PAGE_MAX;
pub(super) use client::S3;
pub use client::S3Settings;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use manifest::files::StoreUrl;
use metadata::{attributes_of, set_attributes};
use multipart::Multipart;
pub use sign::AwsKeys;
use transport::{Class, Opened};
use wire::{Listing, object_of};

use super::content::{Content, start_of};
use super::store::{Page, PartUpload, StoreRead, StoreWrite, Upload, Written};
use crate::error::{Error, ErrorKind};
use crate::object::Object;

impl StoreRead for S3 {
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
            let mut call = self.call(Method::GET, "", "s3-list", Class::Read);
            call.query("list-type", "2");
            call.query("encoding-type", "url");
            call.query("prefix", self.url.key(prefix));
            match token {
                Some(token) => call.query("continuation-token", token),
                None => {
                    // `start-after` is exclusive: name a key that is less than the first wanted one.
                    let mut after = self.url.key(from);
                    after.pop();
                    if !after.is_empty() {
                        call.query("start-after", after);
                    }
                }
            }
            let answer = self.send(&call, None, PAGE_MAX).await.map_err(fail)?;
            if !answer.status().is_success() {
                return Err(fail(self.failed(&answer)));
            }
            Listing::parse(answer.body(), self.url.bucket())
                .and_then(|listing| listing.page(&self.url))
                .map(Some)
                .map_err(fail)
        })
    }

    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Object>, Error>> {
        Box::pin(self.stat(name))
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
            let mut call = self.call(Method::GET, &self.url.key(name), "s3-read", Class::BulkRead);
            if let Some(etag) = version {
                call.header("if-match", etag);
            }
            if offset > 0 {
                call.header("range", format!("bytes={offset}-"));
            }
            let mut opened = self.stream(&call).await.map_err(fail)?;
            if let Opened::Other(answer) = &opened
                && self.signing.corrects_clock(answer, &self.warnings)
            {
                opened = self.stream(&call).await.map_err(fail)?;
            }
            match opened {
                Opened::Body(body) => {
                    let start = start_of(&body).map_err(fail)?;
                    let object =
                        object_of(|name| body.header(name).map(str::to_owned), Some(start)).map_err(fail)?;
                    let attributes =
                        Some(Box::new(attributes_of(body.headers(), &self.warning_about(what.clone()))));
                    Ok(Content::http(what.clone(), Object { attributes, ..object }, body, start))
                }
                Opened::Other(answer) => Err(fail(match (answer.status(), self.failed(&answer)) {
                    (StatusCode::PRECONDITION_FAILED, _) => ErrorKind::Changed,
                    (_, ErrorKind::NoObject) if version.is_some() => ErrorKind::Changed,
                    (_, kind) => kind,
                })),
            }
        })
    }
}

impl StoreWrite for S3 {
    fn put<'a>(
        &'a self,
        name: &'a str,
        upload: &'a Upload,
        content: Bytes,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async move {
            let fail = |kind| Error::new(self.what("writing", name), kind);
            let mut call = self.call(Method::PUT, &self.url.key(name), "s3-write", Class::BulkWrite);
            let warn = self.warning_about(self.what("writing", name));
            set_attributes(&mut call, &upload.attributes, &warn);
            // The store compares it with the content that it receives.
            call.header("x-amz-checksum-sha256", STANDARD.encode(upload.sha256.as_bytes()));
            self.conditional(&mut call, name, &upload.condition).await?;
            let mut answer = self.send(&call, Some(&content), 64 * 1024).await.map_err(fail)?;
            if self.lacks_conditions(&answer) {
                self.conditional(&mut call, name, &upload.condition).await?;
                answer = self.send(&call, Some(&content), 64 * 1024).await.map_err(fail)?;
            }
            if !answer.status().is_success() {
                return Err(fail(self.failed(&answer)));
            }
            proof::put(&answer, &content, &upload.sha256).map_err(fail)
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
            let begun = Multipart::begin(self, name, upload, what.clone()).await;
            begun.map(|upload| Box::new(upload) as Box<dyn PartUpload>).map_err(|kind| Error::new(what, kind))
        })
    }
}
