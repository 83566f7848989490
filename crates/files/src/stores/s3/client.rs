//! The requests of S3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use http::{Method, StatusCode};
use manifest::files::StoreUrl;
use transport::{Answer, Body, Class, Door, Opened, Request};
use url::Url;

use super::super::store::Condition;
use super::super::warnings::Warnings;
use super::call::Call;
use super::metadata::attributes_of;
use super::sign::{AwsKeys, Signing};
use super::wire::{object_of, refusal};
use crate::error::{Error, ErrorKind};
use crate::object::Object;

/// The maximum size of a page of a listing, in bytes: a thousand escaped names of a kilobyte.
pub(super) const PAGE_MAX: u64 = 8 << 20;
/// The region of buckets whose region is unknown.
const DEFAULT_REGION: &str = "us-east-1";

/// The settings for S3.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// The origin of another store with the API of S3 (`AWS_ENDPOINT_URL`). With it, requests use path-style URLs.
    pub endpoint: Option<Url>,
    /// The region of buckets for which the store does not return one.
    pub region: Option<String>,
    /// The keys. `None`: requests are not signed.
    pub keys: Option<AwsKeys>,
}

/// A bucket, or a part of one.
#[derive(Clone, Debug)]
pub(in super::super) struct S3 {
    pub(super) door: Door,
    pub(super) url: StoreUrl,
    bucket: rusty_s3::Bucket,
    pub(super) signing: Arc<Signing>,
    /// Whether the store has no conditional writes.
    unconditional: Arc<AtomicBool>,
    pub(super) warnings: Warnings,
}

impl S3 {
    /// Opens a bucket. Queries its region with an unsigned request.
    pub(in super::super) async fn open(
        door: Door,
        url: StoreUrl,
        settings: &S3Settings,
        warnings: Warnings,
    ) -> Result<Self, Error> {
        let what = format!("asking for the region of s3://{}", url.bucket());
        let fail = |kind| Error::new(what.as_str(), kind);
        let first = settings.region.as_deref().unwrap_or(DEFAULT_REGION);
        let bucket = bucket(&url, settings, first).map_err(fail)?;
        let mut root = bucket.base_url().clone();
        // Send `HEAD /bucket` without a trailing slash: some stores take `/bucket/` for an object.
        if settings.endpoint.is_some() {
            root.set_path(bucket.base_url().path().trim_end_matches('/'));
        }
        let answer = door.send(Request::new(Method::HEAD, root, "s3-region", Class::Read)).await;
        let answer = answer.map_err(|error| fail(error.into()))?;
        let is_missing = answer.status() == StatusCode::NOT_FOUND;
        let returned =
            answer.header("x-amz-bucket-region").filter(|region| is_region(region)).map(str::to_owned);
        let region =
            returned.or_else(|| settings.region.clone()).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let bucket = self::bucket(&url, settings, &region).map_err(fail)?;
        let signing = Arc::new(Signing::new(settings.keys.clone()));
        let store = Self { door, url, bucket, signing, unconditional: Arc::default(), warnings };
        if is_missing {
            store.check_bucket().await?;
        }
        Ok(store)
    }

    /// Checks that the bucket exists. This needs a `GET`: the answer to a `HEAD` has no body that says what was not found.
    async fn check_bucket(&self) -> Result<(), Error> {
        let fail = |kind| Error::new(format!("listing s3://{}", self.url.bucket()), kind);
        let mut call = self.call(Method::GET, "", "s3-list", Class::Read);
        call.query("list-type", "2");
        call.query("max-keys", "1");
        let answer = self.send(&call, None, PAGE_MAX).await.map_err(fail)?;
        // Other refusals are reported when the bucket is used.
        if answer.status() == StatusCode::NOT_FOUND { Err(fail(self.failed(&answer))) } else { Ok(()) }
    }

    /// Returns a function that warns about an operation.
    pub(super) fn warning_about(&self, what: String) -> impl Fn(&str) {
        move |warning| self.warnings.warn(format!("{what}: {warning}"))
    }

    pub(super) fn what(&self, doing: &str, name: &str) -> String {
        format!("{doing} {}", self.url.file(name))
    }

    pub(super) fn call<'a>(&self, method: Method, key: &str, kind: &'static str, class: Class) -> Call<'a> {
        let mut url =
            if key.is_empty() { self.bucket.base_url().clone() } else { self.bucket.object_url(key) };
        if key.is_empty() && url.path().len() > 1 {
            url.set_path(self.bucket.base_url().path().trim_end_matches('/'));
        }
        Call::new(method, url, kind, class)
    }

    /// Signs and sends a call. If the store refuses the time of the signature, signs again with the store's time.
    pub(super) async fn send(
        &self,
        call: &Call<'_>,
        body: Option<&Bytes>,
        limit: u64,
    ) -> Result<Answer, ErrorKind> {
        let request = || {
            let mut request = self.signing.request(call, self.bucket.region())?.limit(limit);
            if let Some(body) = body {
                request = request.body(Body::Bytes(body.clone()));
            }
            Ok::<_, ErrorKind>(request)
        };
        let answer = self.door.send(request()?).await?;
        if self.signing.corrects_clock(&answer, &self.warnings) {
            return Ok(self.door.send(request()?).await?);
        }
        Ok(answer)
    }

    /// Signs and sends a call with a body that can be read only once.
    pub(super) async fn send_once(
        &self,
        call: &Call<'_>,
        body: Body,
        limit: u64,
    ) -> Result<Answer, ErrorKind> {
        let request = self.signing.request(call, self.bucket.region())?.limit(limit);
        Ok(self.door.send(request.body(body)).await?)
    }

    /// Returns the error for an answer.
    pub(super) fn failed(&self, answer: &Answer) -> ErrorKind {
        let refusal = refusal(answer);
        match refusal.code.as_str() {
            "NoSuchBucket" => ErrorKind::NoBucket,
            "NoSuchKey" => ErrorKind::NoObject,
            _ => refusal.kind(answer),
        }
    }

    /// Returns whether an object that a `HEAD` has not found is absent. Only the body of a `GET` distinguishes this from a
    /// missing bucket.
    pub(super) async fn is_absent(&self, key: &str) -> Result<bool, ErrorKind> {
        let mut call = self.call(Method::GET, key, "s3-read", Class::Read);
        call.header("range", "bytes=0-0");
        let answer = self.send(&call, None, 64 * 1024).await?;
        match (answer.status(), refusal(&answer).code.as_str()) {
            (StatusCode::NOT_FOUND, "NoSuchKey") => Ok(true),
            (StatusCode::NOT_FOUND, _) => Err(self.failed(&answer)),
            // The object has appeared in the meantime.
            _ => Ok(false),
        }
    }

    /// Returns the metadata of an object, or `None` if it is proven to be absent.
    pub(super) async fn stat(&self, name: &str) -> Result<Option<Object>, Error> {
        let fail = |kind| Error::new(self.what("asking for", name), kind);
        let key = self.url.key(name);
        for _ in 0..2 {
            let mut call = self.call(Method::HEAD, &key, "s3-stat", Class::Read);
            call.header("x-amz-checksum-mode", "ENABLED");
            let answer = self.send(&call, None, 64 * 1024).await.map_err(fail)?;
            match answer.status() {
                status if status.is_success() => {
                    let object =
                        object_of(|name| answer.header(name).map(str::to_owned), None).map_err(fail)?;
                    let attributes =
                        attributes_of(answer.headers(), &self.warning_about(self.what("asking for", name)));
                    let object = Object { attributes: Some(Box::new(attributes)), ..object };
                    return object.bounded().map(Some).map_err(fail);
                }
                StatusCode::NOT_FOUND if self.is_absent(&key).await.map_err(fail)? => return Ok(None),
                StatusCode::NOT_FOUND => {}
                _ => return Err(fail(self.failed(&answer))),
            }
        }
        Err(fail(ErrorKind::Changed))
    }

    pub(super) async fn stream(&self, call: &Call<'_>) -> Result<Opened, ErrorKind> {
        Ok(self.door.stream(self.signing.request(call, self.bucket.region())?).await?)
    }

    /// Adds the condition of a write to a call. If the store has no conditional writes, checks the condition right before the
    /// write instead.
    pub(super) async fn conditional<'a>(
        &self,
        call: &mut Call<'a>,
        name: &str,
        condition: &'a Condition,
    ) -> Result<(), Error> {
        if !self.unconditional.load(Relaxed) {
            match condition {
                Condition::Absent => call.header("if-none-match", "*"),
                Condition::Version(etag) => call.header("if-match", etag.as_str()),
            }
            return Ok(());
        }
        call.without_conditions();
        let holds = match (self.stat(name).await?, condition) {
            (None, Condition::Absent) => true,
            (Some(object), Condition::Version(etag)) => object.version == *etag,
            _ => false,
        };
        if holds { Ok(()) } else { Err(Error::new(self.what("writing", name), ErrorKind::Precondition)) }
    }

    /// Returns whether an answer shows for the first time that the store has no conditional writes. Later calls of
    /// [`conditional`](Self::conditional) check the condition themselves.
    pub(super) fn lacks_conditions(&self, answer: &Answer) -> bool {
        answer.status() == StatusCode::NOT_IMPLEMENTED && !self.unconditional.swap(true, Relaxed)
    }
}

/// Returns the bucket of a URL.
fn bucket(url: &StoreUrl, settings: &S3Settings, region: &str) -> Result<rusty_s3::Bucket, ErrorKind> {
    let invalid = |error: String| ErrorKind::Unreadable(format!("the bucket has no URL: {error}"));
    let name = url.bucket().to_owned();
    // The wildcard certificate for virtual hosts covers one label, so a name with dots needs the path style.
    let is_label = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let style = if settings.endpoint.is_none() && name.bytes().all(is_label) {
        rusty_s3::UrlStyle::VirtualHost
    } else {
        rusty_s3::UrlStyle::Path
    };
    let endpoint = match &settings.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => {
            let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
            let text = format!("https://s3.{region}.amazonaws.com{suffix}");
            text.parse().map_err(|error: url::ParseError| invalid(error.to_string()))?
        }
    };
    rusty_s3::Bucket::new(endpoint, style, name, region.to_owned())
        .map_err(|error| invalid(error.to_string()))
}

/// Returns whether a string is a valid region name. It becomes part of a host name.
fn is_region(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}
