//! Quirks of writing: uploads, mounts, manifests.

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

/// How a registry takes writes.
#[derive(Clone, Debug, Default)]
pub struct Writing {
    /// What mounts are answered with.
    pub mounts: Option<Rejection>,
    /// The status of a `PATCH` that was taken.
    pub patch_status: Option<StatusCode>,
    /// The status of the `PUT` of a blob that was taken.
    pub blob_status: Option<StatusCode>,
    /// The status of the `PUT` of a manifest that was taken.
    pub manifest_status: Option<StatusCode>,
    /// What the answer to a `PUT` says in `Docker-Content-Digest`.
    pub digest_header: DigestHeader,
    /// Uploads that are forgotten as soon as they are opened.
    pub lost_uploads: Option<LostUploads>,
    /// How manifests are refused at first, as if their parts were not there yet.
    pub parts_unknown: Option<PartsUnknown>,
    /// What the `PUT` of a tag that exists is answered with, whatever it names.
    pub immutable_tags: Option<Rejection>,
    /// The most bytes that a request may have; more are answered with 413, and the connection is closed without reading them.
    pub body_max: Option<u64>,
    /// What the upload of a blob in one request is answered with.
    pub monolithic: Option<Rejection>,
    /// The `Location` of an upload, a template of `{path}`, `{base}` (`http://127.0.0.1:5000`), `{id}` and `{name}`.
    pub location: Option<String>,
    /// Where `POST` and `PUT` are sent to first.
    pub redirect: Option<Redirect>,
    /// What `POST` and `PUT` are answered with where the repository does not exist: it has to be created by other means.
    pub create_first: Option<Rejection>,
    /// How long the `PUT` of a blob or manifest takes after its last byte has come.
    pub commit: Duration,
    /// Whether `If-None-Match: *` and `If-Match` of the `PUT` of a tag are honoured.
    pub conditional: bool,
}

/// What the answer to a `PUT` says in `Docker-Content-Digest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DigestHeader {
    /// The digest.
    #[default]
    Own,
    /// Nothing.
    Missing,
    /// Another digest.
    Wrong,
}

/// Uploads that are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostUploads {
    /// Every upload whose number, counted from 0, is divisible by this is lost; 1 loses all.
    pub every: u64,
    /// What its `PATCH` and `PUT` are answered with.
    pub rejection: Rejection,
}

/// Manifests that are refused at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartsUnknown {
    /// How often each is refused, by the tag or digest that it is put under.
    pub times: u64,
    /// How.
    pub rejection: Rejection,
}

/// A redirect of writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 307 or 308, as a rule.
    pub status: StatusCode,
    /// Where to, a template of `{base}` (`http://127.0.0.1:5000`) and `{target}`: path and query, with `redirected` in the
    /// query. Such a request is served.
    pub to: String,
}

/// What a write is answered without being carried out.
pub(crate) enum Instead {
    /// The request's body is read first.
    Answer(Response),
    /// The connection closes without reading it.
    Close(Response),
}

impl Writing {
    /// What a write is answered without being carried out.
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

    /// The refusal of a tag that exists.
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

    /// Changes the answer to a write that was carried out.
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

    /// Takes note of an upload that was opened, and forgets it where it is to be lost.
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

/// The name of the upload that an answer locates.
fn id_of(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    location.rsplit('/').next().map(str::to_owned)
}

/// Whether a request would begin a repository that does not exist.
fn is_new(asked: &Asked<'_>, store: &Store) -> bool {
    let (Endpoint::Uploads { name } | Endpoint::Manifest { name, .. }) = asked.endpoint else { return false };
    let Ok(path) = name.parse::<RepositoryPath>() else { return false };
    store.index().repository(&path).is_none_or(crate::store::RepositoryIndex::is_empty)
}

/// Whether a request with a body sends a whole blob.
fn is_monolithic(asked: &Asked<'_>) -> bool {
    asked.kind == Kind::UploadPut
        || asked.kind == Kind::UploadOpen && Query::parse(asked.query()).first("digest").is_some()
}

/// Whether a tag may be written, given what it names now (RFC 9110, 13.1.1 and 13.1.2).
fn conditions_hold(headers: &HeaderMap, held: Option<Digest>) -> bool {
    let none_match = headers.get(IF_NONE_MATCH).is_none_or(|value| value != "*" || held.is_none());
    let is_held = |value: &HeaderValue| {
        let wanted = value.to_str().unwrap_or_default().trim_matches('"');
        held.is_some_and(|held| wanted == "*" || wanted == held.to_string())
    };
    none_match && headers.get(IF_MATCH).is_none_or(is_held)
}
