//! Quirks of writes: uploads, mounts, manifests.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};
use oci::{Digest, RepositoryPath};

use super::asked::Asked;
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

/// How a registry responds to writes.
#[derive(Clone, Debug, Default)]
pub struct Writing {
    /// The response to mount requests.
    pub mounts: Option<Rejection>,
    /// The status of a successful `PATCH`.
    pub patch_status: Option<StatusCode>,
    /// The status of a successful `PUT` of a blob.
    pub blob_status: Option<StatusCode>,
    /// The status of a successful `PUT` of a manifest.
    pub manifest_status: Option<StatusCode>,
    /// The `Docker-Content-Digest` in the response to a `PUT`.
    pub digest_header: DigestHeader,
    /// Uploads that are dropped as soon as they are opened.
    pub lost_uploads: Option<LostUploads>,
    /// How the first pushes of a manifest are refused, as if its parts were missing.
    pub parts_unknown: Option<PartsUnknown>,
    /// The response to the `PUT` of an existing tag, even if the digest is the same.
    pub immutable_tags: Option<Rejection>,
    /// The maximum size of a request body, in bytes. A larger one is answered with 413, and the connection is closed without
    /// reading it.
    pub body_max: Option<u64>,
    /// The response to the upload of a blob in one request.
    pub monolithic: Option<Rejection>,
    /// The `Location` of an upload, a template of `{path}`, `{base}` (`http://127.0.0.1:5000`), `{id}` and `{name}`.
    pub location: Option<String>,
    /// The redirect of writes other than `PATCH` and the `DELETE` of an upload.
    pub redirect: Option<Redirect>,
    /// The response to new uploads and to writes of manifests if the repository does not exist, as if pushes did not create
    /// repositories.
    pub create_first: Option<Rejection>,
    /// How long the `PUT` of a blob or manifest takes after its last byte has arrived.
    pub commit: Duration,
    /// Whether `If-None-Match: *` and `If-Match` of the `PUT` of a tag are honoured.
    pub conditional: bool,
}

/// The `Docker-Content-Digest` in the response to a `PUT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigestHeader {
    /// The digest of the content.
    #[default]
    Own,
    /// No header.
    Missing,
    /// Another digest.
    Wrong,
}

/// Uploads that are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostUploads {
    /// Every upload whose number, starting at 0, is divisible by this is lost. With 1, all are lost.
    pub every: u64,
    /// The response to its `PATCH`, `PUT` and `DELETE`.
    pub rejection: Rejection,
}

/// Manifests whose first pushes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartsUnknown {
    /// How many pushes of each are refused, by the tag or digest in the path.
    pub times: u64,
    /// The response.
    pub rejection: Rejection,
}

/// A redirect of writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The status, normally 307 or 308.
    pub status: StatusCode,
    /// The location, a template of `{base}` (`http://127.0.0.1:5000`) and `{target}`: path and query, with `redirected` in the
    /// query. A request with it is served.
    pub to: String,
}

/// The response to a write that a quirk answers instead of the registry.
pub(crate) enum Instead {
    /// A response after the request body is read.
    Answer(Response),
    /// A response after which the connection closes. The request body is not read.
    Close(Response),
}

impl Writing {
    /// Returns the response to a write that a quirk answers instead of the registry.
    pub(super) fn instead(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        store: &Store,
        memory: &Memory,
    ) -> Option<Instead> {
        if !asked.kind.is_write() {
            return None;
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if self.body_max.is_some_and(|most| length.is_some_and(|length| length > most)) {
            let rejection = Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid);
            return Some(Instead::Close(rejection.response()));
        }
        let has_body = length.is_some_and(|length| length > 0) || headers.contains_key(TRANSFER_ENCODING);
        let answer = self.redirected(asked).or_else(|| {
            let rejection = self
                .lost(asked, memory)
                .or_else(|| self.create_first.filter(|_| is_new(asked, store)))
                .or_else(|| self.mounts.filter(|_| asked.kind == Kind::Mount))
                .or_else(|| self.monolithic.filter(|_| has_body && is_monolithic(asked)))
                .or_else(|| self.moves(asked, headers, store))
                .or_else(|| self.unknown_parts(asked, memory))?;
            Some(rejection.response())
        })?;
        Some(Instead::Answer(answer))
    }

    fn redirected(&self, asked: &Asked<'_>) -> Option<Response> {
        let redirect = self.redirect.as_ref()?;
        let is_redirected = asked.query().is_some_and(|query| query.contains("redirected"));
        if is_redirected || matches!(asked.kind, Kind::UploadPatch | Kind::UploadCancel) {
            return None;
        }
        let mark = if asked.query().is_some() { '&' } else { '?' };
        let target = format!("{}{mark}redirected=1", asked.target);
        let location = fill(&redirect.to, &[("base", asked.base), ("target", &target)]);
        let canned = Canned::new(redirect.status);
        Some(canned.with_header(LOCATION, HeaderValue::try_from(location).ok()?).response())
    }

    fn lost(&self, asked: &Asked<'_>, memory: &Memory) -> Option<Rejection> {
        let Endpoint::Upload { id, .. } = asked.endpoint else { return None };
        self.lost_uploads.filter(|_| memory.uploads().is_lost(id)).map(|lost| lost.rejection)
    }

    /// Returns the rejection of a write to an existing tag.
    fn moves(&self, asked: &Asked<'_>, headers: &HeaderMap, store: &Store) -> Option<Rejection> {
        if asked.kind != Kind::ManifestPut {
            return None;
        }
        let held = asked.resolve(store);
        let failed = Rejection::new(StatusCode::PRECONDITION_FAILED, ErrorCode::Denied);
        let condition = self.conditional && !conditions_hold(headers, held);
        self.immutable_tags.filter(|_| held.is_some()).or(condition.then_some(failed))
    }

    fn unknown_parts(&self, asked: &Asked<'_>, memory: &Memory) -> Option<Rejection> {
        let unknown = self.parts_unknown.filter(|_| asked.kind == Kind::ManifestPut)?;
        let number = memory.uploads().put(asked.target);
        (number <= unknown.times).then_some(unknown.rejection)
    }

    /// Changes the response to a processed write.
    pub(super) async fn rewrite(
        &self,
        asked: &Asked<'_>,
        mut response: Response,
        memory: &Memory,
    ) -> Response {
        let stored = response.status() == StatusCode::CREATED;
        match asked.kind {
            Kind::UploadOpen | Kind::Mount if response.status() == StatusCode::ACCEPTED => {
                self.opened(&response, memory);
                self.locate(asked, &mut response);
            }
            Kind::UploadPatch if response.status().is_success() => {
                self.locate(asked, &mut response);
                set(&mut response, self.patch_status);
            }
            Kind::UploadPut | Kind::UploadOpen if stored => {
                self.commit(&mut response, self.blob_status).await;
            }
            Kind::ManifestPut if stored => self.commit(&mut response, self.manifest_status).await,
            _ => {}
        }
        response
    }

    async fn commit(&self, response: &mut Response, status: Option<StatusCode>) {
        tokio::time::sleep(self.commit).await;
        set(response, status);
        let headers = response.headers_mut();
        match self.digest_header {
            DigestHeader::Own => {}
            DigestHeader::Missing => {
                headers.remove(DOCKER_CONTENT_DIGEST);
            }
            DigestHeader::Wrong => {
                let other = Digest::of(b"something else").to_string();
                if let Ok(other) = HeaderValue::try_from(other) {
                    headers.insert(DOCKER_CONTENT_DIGEST, other);
                }
            }
        }
    }

    /// Records an opened upload, and marks it as lost if the quirk applies to it.
    fn opened(&self, response: &Response, memory: &Memory) {
        let Some(LostUploads { every, .. }) = self.lost_uploads else { return };
        let mut uploads = memory.uploads();
        let number = uploads.open();
        if let Some(id) = id_of(response).filter(|_| number.is_multiple_of(every.max(1))) {
            uploads.lose(id);
        }
    }

    fn locate(&self, asked: &Asked<'_>, response: &mut Response) {
        let Some(template) = &self.location else { return };
        let (Endpoint::Uploads { name } | Endpoint::Upload { name, .. }) = asked.endpoint else { return };
        let Some(id) = id_of(response) else { return };
        let path = format!("/v2/{name}/blobs/uploads/{id}");
        let values = [("path", path.as_str()), ("base", asked.base), ("id", &id), ("name", name)];
        if let Ok(location) = HeaderValue::try_from(fill(template, &values)) {
            response.headers_mut().insert(LOCATION, location);
        }
    }
}

fn set(response: &mut Response, status: Option<StatusCode>) {
    if let Some(status) = status {
        *response.status_mut() = status;
    }
}

/// Returns the ID of the upload in the `Location` of a response.
fn id_of(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    location.rsplit('/').next().map(str::to_owned)
}

/// Returns whether a request would create a repository.
fn is_new(asked: &Asked<'_>, store: &Store) -> bool {
    let (Endpoint::Uploads { name } | Endpoint::Manifest { name, .. }) = asked.endpoint else { return false };
    let Ok(path) = name.parse::<RepositoryPath>() else { return false };
    store.index().repository(&path).is_none_or(crate::store::RepositoryIndex::is_empty)
}

/// Returns whether a request with a body uploads a whole blob.
fn is_monolithic(asked: &Asked<'_>) -> bool {
    asked.kind == Kind::UploadPut
        || asked.kind == Kind::UploadOpen && Query::parse(asked.query()).first("digest").is_some()
}

/// Returns whether a tag may be written, given the digest that it names now (RFC 9110, 13.1.1 and 13.1.2).
fn conditions_hold(headers: &HeaderMap, held: Option<Digest>) -> bool {
    let none_match = headers.get(IF_NONE_MATCH).is_none_or(|value| value != "*" || held.is_none());
    let is_held = |value: &HeaderValue| {
        let wanted = value.to_str().unwrap_or_default().trim_matches('"');
        held.is_some_and(|held| wanted == "*" || wanted == held.to_string())
    };
    none_match && headers.get(IF_MATCH).is_none_or(is_held)
}
