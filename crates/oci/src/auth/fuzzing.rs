//! Challenges, without the types that are private.

use http::HeaderMap;
use url::Url;

use super::challenge;

/// What an answer offers, without the types that are private.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenges {
    /// The realm, the service and the scopes of the first usable `Bearer` challenge.
    pub bearer: Option<(Url, Option<String>, Vec<String>)>,
    /// Whether `Basic` is offered.
    pub basic: bool,
}

/// Reads the `WWW-Authenticate` headers of an answer from `asked`.
pub fn challenges(headers: &HeaderMap, asked: &Url) -> Challenges {
    let found = challenge::Challenges::of(headers, asked);
    let bearer = found.bearer.map(|bearer| (bearer.realm, bearer.service, bearer.scopes));
    Challenges { bearer, basic: found.basic }
}
