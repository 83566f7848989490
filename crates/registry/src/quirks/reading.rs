//! Quirks of reads: lists, manifests, blobs, referrers.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use oci::RepositoryPath;

use super::asked::Asked;
use super::listing::{ReferrersList, edit, hide_fresh, relink, repeat_tags, reshape};
use super::memory::Memory;
use super::rejection::Rejection;
use super::template::fill;
use crate::body::Response;
use crate::endpoint::{Endpoint, Query};
use crate::error::ErrorCode;
use crate::faults::Canned;
use crate::headers::DOCKER_CONTENT_DIGEST;
use crate::store::Store;
use crate::tally::Kind;

/// How a registry responds to reads.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The response to every tag list request.
    pub tags: Option<Canned>,
    /// Whether a tag list request for a repository with manifests but without tags is answered with 404 NAME_UNKNOWN.
    pub untagged_is_unknown: bool,
    /// The `Link` to the next page, a template of `{url}` (path and query), `{path}`, `{query}` and `{base}`
    /// (`http://127.0.0.1:5000`).
    pub link: Option<String>,
    /// The content of the first page of a tag list.
    pub first_page: FirstPage,
    /// Whether pages of tags repeat each tag, and the last tag of the page before.
    pub repeated_tags: bool,
    /// The response to a tag list request with `n`. [`crate::Config::page_size`] is the size of pages.
    pub page_size_refused: Option<Rejection>,
    /// The response to `HEAD` of a manifest.
    pub head: Head,
    /// The `Content-Type` of manifests, a template of `{type}` and `{TYPE}` (in upper case). If empty, there is no such header.
    pub manifest_type: Option<String>,
    /// The response to every request for a list of referrers.
    pub referrers: Option<Canned>,
    /// The form of lists of referrers.
    pub referrers_list: ReferrersList,
    /// How `Range` is handled.
    pub ranges: Ranges,
    /// The `Content-Encoding` of blobs. Their content is sent unchanged.
    pub content_encoding: Option<&'static str>,
    /// The location of blobs, a template of `{base}` and `{target}` (path and query). Requests are redirected to it with 307.
    /// Requests with `signature` in the query are served.
    pub blob_location: Option<String>,
    /// How long it takes until writes over HTTP are visible to reads.
    pub lag: Duration,
}

/// The content of the first page of a tag list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstPage {
    /// The first tags.
    #[default]
    Own,
    /// An empty list with a next page.
    Empty,
    /// `null` with a next page.
    Null,
}

/// The response to `HEAD` of a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Head {
    /// The response to `GET` without the body.
    #[default]
    Own,
    /// An error.
    Refused(Rejection),
    /// A response without `Docker-Content-Digest`.
    WithoutDigest,
    /// A response with a `Content-Length` of 0.
    EmptyLength,
}

/// How the `Range` of a blob request is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranges {
    /// The response has the requested part.
    #[default]
    Honoured,
    /// The response is an error.
    Refused(Rejection),
    /// The response is 200 with the whole blob.
    Ignored,
    /// The response has the whole blob as a part, with a correct `Content-Range`.
    FromStart,
    /// The response has the whole blob, but its `Content-Range` names the requested part.
    Mislabelled,
}

impl Reading {
    /// Returns the response to a read that a quirk answers instead of the registry.
    pub(super) fn instead(&self, asked: &Asked<'_>, headers: &HeaderMap, store: &Store) -> Option<Response> {
        match asked.kind {
            Kind::TagList => self.instead_of_tags(asked, store),
            Kind::Referrers => self.referrers.clone().map(Canned::response),
            Kind::ManifestHead => match self.head {
                Head::Refused(rejection) => Some(rejection.response()),
                Head::Own | Head::WithoutDigest | Head::EmptyLength => None,
            },
            Kind::BlobGet | Kind::BlobHead => self.instead_of_blob(asked, headers),
            _ => None,
        }
    }

    fn instead_of_tags(&self, asked: &Asked<'_>, store: &Store) -> Option<Response> {
        if let Some(canned) = &self.tags {
            return Some(canned.clone().response());
        }
        let Endpoint::Tags { name } = asked.endpoint else { return None };
        let untagged = || name.parse::<RepositoryPath>().is_ok_and(|path| store.tags(&path).is_empty());
        if self.untagged_is_unknown && untagged() {
            return Some(Rejection::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown).response());
        }
        let query = Query::parse(asked.query());
        if let Some(rejection) = self.page_size_refused
            && query.first("n").is_some()
        {
            return Some(rejection.response());
        }
        let tags = match self.first_page {
            FirstPage::Own => return None,
            FirstPage::Empty => "[]",
            FirstPage::Null => "null",
        };
        if query.first("last").is_some() {
            return None;
        }
        let next = HeaderValue::try_from(format!("</v2/{name}/tags/list?last=>; rel=\"next\"")).ok()?;
        let page = format!("{{\"name\":\"{name}\",\"tags\":{tags}}}");
        let canned = Canned::new(StatusCode::OK).with_body("application/json", page);
        Some(canned.with_header(LINK, next).response())
    }

    fn instead_of_blob(&self, asked: &Asked<'_>, headers: &HeaderMap) -> Option<Response> {
        if let Some(template) = &self.blob_location
            && !asked.query().is_some_and(|query| query.contains("signature"))
        {
            let location = fill(template, &[("base", asked.base), ("target", asked.target)]);
            let canned = Canned::new(StatusCode::TEMPORARY_REDIRECT);
            return Some(canned.with_header(LOCATION, HeaderValue::try_from(location).ok()?).response());
        }
        match self.ranges {
            Ranges::Refused(rejection) if headers.contains_key(RANGE) => Some(rejection.response()),
            _ => None,
        }
    }

    /// Changes a request before it is served. Returns its `Range`, if the response must claim to have that part.
    pub(super) fn prepare(&self, asked: &Asked<'_>, headers: &mut HeaderMap) -> Option<HeaderValue> {
        if asked.kind != Kind::BlobGet || !headers.contains_key(RANGE) {
            return None;
        }
        match self.ranges {
            Ranges::Honoured | Ranges::Refused(_) => None,
            Ranges::Ignored => {
                headers.remove(RANGE);
                None
            }
            Ranges::FromStart => {
                headers.insert(RANGE, HeaderValue::from_static("bytes=0-"));
                None
            }
            Ranges::Mislabelled => headers.insert(RANGE, HeaderValue::from_static("bytes=0-")),
        }
    }

    /// Changes the response to a read.
    pub(super) async fn rewrite(
        &self,
        asked: &Asked<'_>,
        claimed: Option<&HeaderValue>,
        response: Response,
        memory: &Memory,
    ) -> Response {
        match asked.kind {
            Kind::TagList => self.rewrite_list(asked, response, memory).await,
            Kind::Referrers => {
                let response = self.rewrite_list(asked, response, memory).await;
                match self.referrers_list {
                    ReferrersList::Own => response,
                    shape => edit(response, |list| reshape(list, shape)).await,
                }
            }
            Kind::ManifestGet | Kind::ManifestHead => self.rewrite_manifest(asked, response),
            Kind::BlobGet => self.rewrite_blob(claimed, response),
            _ => response,
        }
    }

    async fn rewrite_list(&self, asked: &Asked<'_>, mut response: Response, memory: &Memory) -> Response {
        if let Some(template) = &self.link
            && let Some(own) = response.headers_mut().remove(LINK)
            && let Some(link) = relink(&own, template, asked.base)
        {
            response.headers_mut().insert(LINK, link);
        }
        if self.repeated_tags && asked.kind == Kind::TagList {
            response = edit(response, |list| repeat_tags(list, asked)).await;
        }
        if !self.lag.is_zero() {
            response = edit(response, |list| hide_fresh(list, &memory.fresh(), self.lag, asked)).await;
        }
        response
    }

    fn rewrite_manifest(&self, asked: &Asked<'_>, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if let Some(template) = &self.manifest_type
            && let Some(own) = headers.remove(CONTENT_TYPE)
        {
            let own = own.to_str().unwrap_or_default();
            let text = fill(template, &[("type", own), ("TYPE", &own.to_uppercase())]);
            if let Ok(value) = HeaderValue::try_from(text)
                && !value.is_empty()
            {
                headers.insert(CONTENT_TYPE, value);
            }
        }
        match self.head {
            Head::WithoutDigest if asked.kind == Kind::ManifestHead => {
                headers.remove(DOCKER_CONTENT_DIGEST);
            }
            Head::EmptyLength if asked.kind == Kind::ManifestHead => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            }
            _ => {}
        }
        response
    }

    fn rewrite_blob(&self, claimed: Option<&HeaderValue>, mut response: Response) -> Response {
        if let Some(encoding) = self.content_encoding {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(claim) = claimed.and_then(|range| claim(range, response.headers())) {
            response.headers_mut().insert(CONTENT_RANGE, claim);
        }
        response
    }
}

/// Returns the `Content-Range` of a response that claims to have the requested part.
fn claim(asked: &HeaderValue, headers: &HeaderMap) -> Option<HeaderValue> {
    let (first, last) = asked.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let size: u64 = headers.get(CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()?;
    let last = last.parse().unwrap_or_else(|_| size.saturating_sub(1));
    HeaderValue::try_from(format!("bytes {first}-{last}/{size}")).ok()
}
