//! The endpoints of the distribution API (OCI distribution specification 1.1).

mod blobs;
mod google;
mod listings;
mod manifests;
mod referrers;
mod uploads;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use oci::{Digest, RepositoryPath};
use serde::Serialize;

use crate::auth::{Action, Gatekeeper, Need, Pass};
use crate::body::{Response, empty, full};
use crate::config::UploadLimits;
use crate::connection::Line;
use crate::endpoint::{Endpoint, Query, kind};
use crate::error::{ErrorCode, Refusal};
use crate::faults::{Before, Encounter, Faults, Injection, Outcome, Ticket, refused};
use crate::headers::{API_VERSION, DOCKER_CONTENT_DIGEST};
use crate::quirks::{Asked, Challenged, Instead, Quirks, SharedQuirks, Visible};
use crate::request_body::RequestBody;
use crate::store::Store;
use crate::tally::{Kind, Tally};

/// How much of a request body is still read after the response is known, in bytes.
const DRAIN_MAX: u64 = 64 << 20;

/// The state of one registry that its requests share.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) quirks: SharedQuirks,
    pub(crate) tally: Tally,
    pub(crate) gatekeeper: Gatekeeper,
    pub(crate) referrers_api: bool,
    pub(crate) google_listing: bool,
    pub(crate) page_size: NonZeroUsize,
    pub(crate) uploads: UploadLimits,
    pub(crate) body_idle: Duration,
    /// Held by each conditional write.
    pub(crate) conditional_writes: tokio::sync::Mutex<()>,
    /// The registry's own host and port, such as `127.0.0.1:5000`, for requests without a `Host`.
    pub(crate) authority: String,
}

/// The connection is broken instead of a response.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is broken on purpose")]
pub(crate) struct Broken;

/// A request on its way to its handler.
struct Call {
    method: Method,
    query: Query,
    headers: HeaderMap,
    body: RequestBody,
    /// The permissions of the caller.
    pass: Pass,
}

impl Registry {
    /// Answers a request, or applies the fault that is configured for it.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        line: Line,
    ) -> Result<Response, Broken> {
        let (parts, incoming) = request.into_parts();
        let body = RequestBody::new(incoming, self.tally.clone(), self.body_idle);
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let kind = kind(&parts.method, &Endpoint::of(parts.uri.path()), parts.uri.query());
        let method = parts.method.clone();
        let flight = self.tally.begin(kind);
        let outcome = self.with_faults(kind, &target, parts, body).await;
        flight.record(&method, &target, outcome.as_ref().ok().map(Response::status));
        if outcome.is_err() {
            line.reset();
        }
        outcome.map(|response| flight.follow(response))
    }

    async fn with_faults(
        &self,
        kind: Kind,
        target: &str,
        parts: Parts,
        mut body: RequestBody,
    ) -> Result<Response, Broken> {
        let Encounter { latency, outcome, ticket } = self.faults.encounter(kind, target);
        let served = || ticket.iter().for_each(Ticket::serve);
        tokio::time::sleep(latency).await;
        match outcome {
            Outcome::Served => {
                let response = self.serve(parts, body).await;
                served();
                Ok(response)
            }
            Outcome::Struck(Injection::After(after)) => {
                let response = self.serve(parts, body).await;
                served();
                after.apply(response).await.ok_or(Broken)
            }
            Outcome::Struck(Injection::Before(Before::Reset)) => {
                served();
                Err(Broken)
            }
            Outcome::Struck(Injection::Before(Before::Hang)) => std::future::pending().await,
            Outcome::Struck(Injection::Before(Before::Answer(response))) => {
                body.drain(DRAIN_MAX).await;
                served();
                Ok(*response)
            }
            Outcome::Refused(retry_after) => {
                body.drain(DRAIN_MAX).await;
                served();
                let code = ErrorCode::TooManyRequests;
                Ok(refused(code.status(), code, retry_after))
            }
        }
    }

    async fn serve(&self, parts: Parts, body: RequestBody) -> Response {
        let is_head = parts.method == Method::HEAD;
        // No other conditional write may happen between the check of a condition and the write that depends on it.
        let _alone = match parts.headers.contains_key(IF_MATCH) || parts.headers.contains_key(IF_NONE_MATCH) {
            true => Some(self.conditional_writes.lock().await),
            false => None,
        };
        let mut response = match self.dispatch(parts, body).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        };
        response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        if is_head { without_body(response) } else { response }
    }

    async fn dispatch(&self, parts: Parts, body: RequestBody) -> Result<Response, Refusal> {
        let Parts { method, uri, headers, .. } = parts;
        let quirks = self.quirks.current();
        let query = Query::parse(uri.query());
        let endpoint = Endpoint::of(uri.path());
        if matches!(endpoint, Endpoint::Token) {
            return self.token(&quirks, &method, &uri, &headers);
        }
        let needs = needs(&method, &endpoint, &query)?;
        let base = self.base(&headers);
        let pass = self.admit(&quirks, &headers, &needs, &base)?;
        let asked = Asked {
            kind: kind(&method, &endpoint, uri.query()),
            endpoint,
            target: uri.path_and_query().map_or("/", PathAndQuery::as_str),
            base: &base,
        };
        self.with_quirks(&quirks, &asked, Call { method, query, headers, body, pass }).await
    }

    /// Serves a request with the quirks: a quirk answers it, or changes the request and the response.
    async fn with_quirks(
        &self,
        quirks: &Quirks,
        asked: &Asked<'_>,
        mut call: Call,
    ) -> Result<Response, Refusal> {
        match quirks.instead(asked, &call.headers, &self.store, &self.quirks) {
            Some(Instead::Answer(response)) => {
                call.body.drain(DRAIN_MAX).await;
                return Ok(response);
            }
            Some(Instead::Close(response)) => return Ok(response),
            None => {}
        }
        let before = quirks.before(asked, &mut call.headers, &self.store);
        let response = self.route(quirks, asked.endpoint, call).await?;
        Ok(quirks.rewrite(asked, before, response, &self.quirks).await)
    }

    async fn route(&self, quirks: &Quirks, endpoint: Endpoint<'_>, call: Call) -> Result<Response, Refusal> {
        let visible = |name, reference| quirks.visible(&self.quirks, name, reference);
        match endpoint {
            Endpoint::Ping => ping(&call),
            Endpoint::Catalog => self.catalog(&call),
            Endpoint::Tags { name } => self.tags(&call, &repository(name)?),
            Endpoint::Manifest { name, reference } => {
                self.manifest(call, &repository(name)?, reference, visible(name, reference)).await
            }
            Endpoint::Blob { name, digest } => {
                let visible = visible(name, digest) == Visible::Now;
                self.blob(&call, &repository(name)?, parse_digest(digest)?, visible).await
            }
            Endpoint::Uploads { name } => self.begin_upload(call, &repository(name)?).await,
            Endpoint::Upload { name, id } => self.upload(call, &repository(name)?, id).await,
            Endpoint::Referrers { name, digest } => {
                self.referrers(&call, &repository(name)?, parse_digest(digest)?).await
            }
            Endpoint::Token | Endpoint::Unknown => {
                Err(Refusal::new(ErrorCode::Unsupported, "this URL is not part of the API")
                    .with_status(StatusCode::NOT_FOUND))
            }
        }
    }

    /// Admits a request, or refuses it in the way that the quirks define.
    fn admit(
        &self,
        quirks: &Quirks,
        headers: &HeaderMap,
        needs: &[Need],
        base: &str,
    ) -> Result<Pass, Refusal> {
        if quirks.auth.lets_in(headers, needs) {
            return Ok(Pass::to_pull());
        }
        let realm = format!("{base}/token");
        let admitted = self.gatekeeper.admit(headers, needs, &realm, quirks.auth.token_uses);
        admitted.map_err(|refusal| {
            let service = self.gatekeeper.service();
            quirks.auth.refuse(refusal, headers, &Challenged { realm: &realm, service, base, needs })
        })
    }

    fn token(
        &self,
        quirks: &Quirks,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let query = Query::parse(uri.query());
        let scopes: Vec<&str> = query.all("scope").flat_map(str::split_whitespace).collect();
        let wanted = quirks.auth.wanted(method, uri.query(), scopes, &self.store)?;
        if method != Method::GET {
            return Err(Refusal::method_not_allowed("GET"));
        }
        let issued = self.gatekeeper.issue(headers, query.first("service"), &wanted)?;
        Ok(quirks.auth.issued(issued.token(), json(&issued)))
    }

    /// Returns the base URL by which the client knows the registry, such as `http://127.0.0.1:5000`.
    fn base(&self, headers: &HeaderMap) -> String {
        let named = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<oci::Host>().ok());
        format!("http://{}", named.as_ref().map_or(self.authority.as_str(), oci::Host::as_str))
    }
}

fn ping(call: &Call) -> Result<Response, Refusal> {
    only_reads(call)?;
    Ok(json(&serde_json::json!({})))
}

/// Returns the permissions that a request needs. They follow from the method, also for uploads, because clients choose tokens
/// by the method.
fn needs(method: &Method, endpoint: &Endpoint<'_>, query: &Query) -> Result<Vec<Need>, Refusal> {
    let action = match *method {
        Method::GET | Method::HEAD => Action::Pull,
        Method::DELETE => Action::Delete,
        _ => Action::Push,
    };
    match endpoint {
        Endpoint::Catalog => Ok(vec![Need::Catalog]),
        Endpoint::Ping | Endpoint::Token | Endpoint::Unknown => Ok(vec![Need::Ping]),
        Endpoint::Tags { name }
        | Endpoint::Manifest { name, .. }
        | Endpoint::Blob { name, .. }
        | Endpoint::Upload { name, .. }
        | Endpoint::Referrers { name, .. } => Ok(vec![Need::Repository(repository(name)?, action)]),
        Endpoint::Uploads { name } => {
            let mut needs = vec![Need::Repository(repository(name)?, Action::Push)];
            if let (Some(_), Some(from)) = (query.first("mount"), query.first("from")) {
                needs.push(Need::Repository(repository(from)?, Action::Pull));
            }
            Ok(needs)
        }
    }
}

fn repository(name: &str) -> Result<RepositoryPath, Refusal> {
    name.parse().map_err(|error: oci::InvalidName| Refusal::new(ErrorCode::NameInvalid, error.to_string()))
}

fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    text.parse()
        .map_err(|error: oci::InvalidDigest| Refusal::new(ErrorCode::DigestInvalid, error.to_string()))
}

fn only_reads(call: &Call) -> Result<(), Refusal> {
    if matches!(call.method, Method::GET | Method::HEAD) {
        Ok(())
    } else {
        Err(Refusal::method_not_allowed("GET, HEAD"))
    }
}

fn json(content: &impl Serialize) -> Response {
    // Serialized directly, without a tree of values: benchmarks run this server on the processors on which they measure
    // clients, and listings have thousands of manifests.
    #[expect(
        clippy::expect_used,
        reason = "responses are plain data with string keys, which always serialize"
    )]
    let written = serde_json::to_vec(content).expect("a response serializes");
    let mut response = Response::new(full(written));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

/// Returns `201 Created` with the location and the digest of the content.
fn created(location: String, digest: &Digest) -> Result<Response, Refusal> {
    let mut response = status(StatusCode::CREATED);
    response.headers_mut().insert(LOCATION, header(location)?);
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, header(digest.to_string())?);
    Ok(response)
}

/// Makes a header value from text that was already validated.
fn header(text: String) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(text).map_err(|_| Refusal::new(ErrorCode::Unknown, "a response header is invalid"))
}

/// Makes the response to `HEAD` from the response to `GET`: the same headers, the length included, without the body.
fn without_body(response: Response) -> Response {
    let length = hyper::body::Body::size_hint(response.body()).exact();
    let mut response = response.map(|_| empty());
    if let Some(length) = length
        && !response.headers().contains_key(CONTENT_LENGTH)
    {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
