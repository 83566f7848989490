//! How the services of Sigstore are asked: through the door, with what they refuse said in their own words, bounded.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use transport::{Answer, Body, Class, Door, Request, Secret};
use url::Url;

use crate::error::{Service, SignError, bounded};

/// The largest answer of a service, in bytes.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// What is asked of a service.
pub(super) struct ServiceRequest {
    pub(super) service: Service,
    pub(super) url: Url,
    /// What it is counted as.
    pub(super) kind: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// The secret in the body, where it has one.
    pub(super) secret: Option<Secret>,
}

impl ServiceRequest {
    /// Sends it, and gives the answer whatever its status.
    pub(super) async fn ask(self, door: &Door) -> Result<Answer, SignError> {
        let request = Request::new(Method::POST, self.url, self.kind, Class::Write)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type))
            .body(Body::Bytes(self.body.into()));
        let request = self.secret.iter().fold(request, Request::secret);
        send(door, self.service, request).await
    }
}

/// Sends a request to a service.
pub(super) async fn send(door: &Door, service: Service, request: Request) -> Result<Answer, SignError> {
    let unreachable = |source| SignError::Unreachable { service, source: Arc::new(source) };
    door.send(request.limit(ANSWER_MAX)).await.map_err(unreachable)
}

/// The content of an answer that grants what was asked.
pub(super) fn granted(answer: Answer, service: Service) -> Result<Bytes, SignError> {
    let (status, url) = (answer.status(), transport::shown(answer.url()));
    if status.is_success() {
        return Ok(answer.into_body());
    }
    Err(SignError::Refused { service, url, status: status.as_u16(), why: why(&answer) })
}

/// What a service says of its refusal (gRPC gateway's errors, and Rekor's), after a colon.
fn why(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_slice::<Refusal>(answer.body())
        .map(|refusal| format!(": {}", bounded(&answer.masked(&refusal.message))))
        .unwrap_or_default()
}

/// An answer that cannot be used.
pub(super) fn unusable(service: Service, url: &Url, why: impl std::fmt::Display) -> SignError {
    SignError::Answer { service, url: transport::shown(url), why: bounded(&why.to_string()) }
}

/// The URL of something below a service's own.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}
