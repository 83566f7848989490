//! Challenges for fuzz targets, without the private types.

use http::HeaderMap;
use url::Url;

use super::challenge;

/// The challenges of an answer, without the private types.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenges {
    /// The realm, the service and the scopes of the first usable `Bearer` challenge.
    pub bearer: Option<(Url, Option<String>, Vec<String>)>,
    /// Whether `Basic` is offered.
    pub basic: bool,
}

/// Parses the `WWW-Authenticate` headers of an answer from `asked`.
pub fn challenges(headers: &HeaderMap, asked: &Url) -> Challenges {
    let found = challenge::Challenges::of(headers, asked);
    let bearer = found.bearer.map(|bearer| (bearer.realm, bearer.service, bearer.scopes));
    Challenges { bearer, basic: found.basic }
}
