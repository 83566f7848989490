//! Tokens of GitHub Actions (*OpenID Connect reference*, *Methods for requesting the OIDC token*).

use http::{HeaderValue, Method, header};
use serde::Deserialize;
use transport::{Class, Door, Request, Secret};
use url::Url;

use super::answer::{Failure, bearer, json, success};

/// The permission that a job needs to request tokens.
pub(super) const PERMISSION: &str = "the workflow's job needs `permissions: id-token: write`";

#[derive(Deserialize)]
struct Token {
    value: String,
}

/// Requests a token of the current job. `url` and `proof` are environment variables that the runner sets for the job.
pub(super) async fn token(
    door: &Door,
    url: &str,
    proof: Option<&Secret>,
    audience: &str,
) -> Result<Secret, Failure> {
    let proof = proof
        .ok_or_else(|| format!("ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set; {PERMISSION}, and pass it on"))?;
    let mut url = Url::parse(url).map_err(|_| "ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")?;
    url.query_pairs_mut().append_pair("audience", audience);
    let request = Request::new(Method::GET, url, "github-id-token", Class::Token)
        .header(header::ACCEPT, HeaderValue::from_static("application/json"))
        .header(header::AUTHORIZATION, bearer(proof)?);
    let answer = door.send(request).await?;
    let body = success(&answer, |status| match status.as_u16() {
        401 | 403 | 404 => Some(format!("{PERMISSION}, and its tokens are valid only while it runs")),
        _ => None,
    })?;
    Ok(json(&body).map(|Token { value }| Secret::new(value))?)
}
