//! Requests to Sigstore services through the door. Errors contain the service's own message, limited in length.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use transport::{Answer, Body, Class, Door, Request, Secret};
use url::Url;

use crate::error::{Service, SignError, bounded};

/// The maximum size of an answer, in bytes.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// A request to a service.
pub(super) struct ServiceRequest {
    pub(super) service: Service,
    pub(super) url: Url,
    /// The kind that the request is counted as.
    pub(super) kind: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// The secret in the body, if any.
    pub(super) secret: Option<Secret>,
}

impl ServiceRequest {
    /// Sends the request and returns the answer, whatever its status.
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

/// Returns the body of a successful answer.
pub(super) fn granted(answer: Answer, service: Service) -> Result<Bytes, SignError> {
    let (status, url) = (answer.status(), transport::shown(answer.url()));
    if status.is_success() {
        return Ok(answer.into_body());
    }
    Err(SignError::Refused { service, url, status: status.as_u16(), why: why(&answer) })
}

/// Returns the message of a refusal (gRPC gateway's errors, and Rekor's) after a colon.
fn why(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_slice::<Refusal>(answer.body())
        .map(|refusal| format!(": {}", bounded(&answer.masked(&refusal.message))))
        .unwrap_or_default()
}

/// Returns the error for an answer that cannot be used.
pub(super) fn unusable(service: Service, url: &Url, why: impl std::fmt::Display) -> SignError {
    SignError::Answer { service, url: transport::shown(url), why: bounded(&why.to_string()) }
}

/// Returns a URL below a service's base URL.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}
