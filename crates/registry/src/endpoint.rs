//! The parts of the API, by path.

use http::Method;
use url::form_urlencoded;

use crate::tally::Kind;

/// The endpoints of the API, with the names in their paths as the client wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    Ping,
    Token,
    Catalog,
    Tags { name: &'a str },
    Manifest { name: &'a str, reference: &'a str },
    Blob { name: &'a str, digest: &'a str },
    Uploads { name: &'a str },
    Upload { name: &'a str, id: &'a str },
    Referrers { name: &'a str, digest: &'a str },
    Unknown,
}

impl<'a> Endpoint<'a> {
    /// Parses a path. A repository name may have any number of components, so paths are parsed from their end.
    pub(crate) fn of(path: &'a str) -> Self {
        let rest = match path {
            "/v2" | "/v2/" => return Self::Ping,
            // A quirk may give each repository its own token service.
            _ if path == "/token" || path.starts_with("/token/") => return Self::Token,
            "/v2/_catalog" => return Self::Catalog,
            _ => match path.strip_prefix("/v2/") {
                Some(rest) => rest,
                None => return Self::Unknown,
            },
        };
        if let Some(name) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Self::Uploads { name };
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Self::Tags { name };
        }
        let Some((above, last)) = rest.rsplit_once('/') else { return Self::Unknown };
        if let Some(name) = above.strip_suffix("/blobs/uploads") {
            Self::Upload { name, id: last }
        } else if let Some(name) = above.strip_suffix("/manifests") {
            Self::Manifest { name, reference: last }
        } else if let Some(name) = above.strip_suffix("/blobs") {
            Self::Blob { name, digest: last }
        } else if let Some(name) = above.strip_suffix("/referrers") {
            Self::Referrers { name, digest: last }
        } else {
            Self::Unknown
        }
    }
}

/// Returns the kind that a request is counted as.
pub(crate) fn kind(method: &Method, endpoint: &Endpoint<'_>, query: Option<&str>) -> Kind {
    match (method, endpoint) {
        (&Method::GET | &Method::HEAD, Endpoint::Ping) => Kind::Ping,
        (_, Endpoint::Token) => Kind::Token,
        (&Method::GET | &Method::HEAD, Endpoint::Catalog) => Kind::Catalog,
        (&Method::GET | &Method::HEAD, Endpoint::Tags { .. }) => Kind::TagList,
        (&Method::HEAD, Endpoint::Manifest { .. }) => Kind::ManifestHead,
        (&Method::GET, Endpoint::Manifest { .. }) => Kind::ManifestGet,
        (&Method::PUT, Endpoint::Manifest { .. }) => Kind::ManifestPut,
        (&Method::DELETE, Endpoint::Manifest { .. }) => Kind::ManifestDelete,
        (&Method::HEAD, Endpoint::Blob { .. }) => Kind::BlobHead,
        (&Method::GET, Endpoint::Blob { .. }) => Kind::BlobGet,
        (&Method::DELETE, Endpoint::Blob { .. }) => Kind::BlobDelete,
        (&Method::POST, Endpoint::Uploads { .. }) if Query::parse(query).first("mount").is_some() => {
            Kind::Mount
        }
        (&Method::POST, Endpoint::Uploads { .. }) => Kind::UploadOpen,
        (&Method::PATCH, Endpoint::Upload { .. }) => Kind::UploadPatch,
        (&Method::PUT, Endpoint::Upload { .. }) => Kind::UploadPut,
        (&Method::GET | &Method::HEAD, Endpoint::Upload { .. }) => Kind::UploadStatus,
        (&Method::DELETE, Endpoint::Upload { .. }) => Kind::UploadCancel,
        (&Method::GET | &Method::HEAD, Endpoint::Referrers { .. }) => Kind::Referrers,
        _ => Kind::Other,
    }
}

/// The decoded query of a request.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        Self { pairs: form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect() }
    }

    /// Returns the first value of a parameter.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_of_any_depth_are_separated_from_the_rest_of_the_path() {
        let read = Endpoint::of;
        assert_eq!(read("/v2/a/tags/list"), Endpoint::Tags { name: "a" });
        assert_eq!(
            read("/v2/tags/list/tags/list"),
            Endpoint::Tags { name: "tags/list" },
            "a repository name may look like an endpoint"
        );
        assert_eq!(read("/v2/a/b/c/manifests/v1"), Endpoint::Manifest { name: "a/b/c", reference: "v1" });
        assert_eq!(read("/v2/a/blobs/uploads/"), Endpoint::Uploads { name: "a" });
        assert_eq!(read("/v2/a/blobs/uploads/x"), Endpoint::Upload { name: "a", id: "x" });
        assert_eq!(read("/v2/a/blobs/sha256:x"), Endpoint::Blob { name: "a", digest: "sha256:x" });
        assert_eq!(read("/v2/a/referrers/sha256:x"), Endpoint::Referrers { name: "a", digest: "sha256:x" });
        for unknown in ["/", "/v1/", "/v2/a", "/v2/a/b", "/v2/manifests/v1", "/metrics"] {
            assert_eq!(read(unknown), Endpoint::Unknown, "{unknown}");
        }
    }

    #[test]
    fn mount_requests_have_their_own_kind() {
        let uploads = Endpoint::Uploads { name: "a" };
        assert_eq!(kind(&Method::POST, &uploads, Some("mount=sha256%3Ax&from=b")), Kind::Mount);
        assert_eq!(kind(&Method::POST, &uploads, Some("digest=sha256%3Ax")), Kind::UploadOpen);
        assert_eq!(kind(&Method::POST, &uploads, None), Kind::UploadOpen);
    }
}
