//! Checks of answers and of the URLs in their headers.

use http::{StatusCode, header};
use oci_types::Digest;
use oci_types::text::printable;
use transport::Answer;
use url::Url;

use crate::auth::authority;
use crate::error::{Error, ErrorKind};
use crate::session::Reply;

/// Returns the answer if its status is 2xx. A step that requires a specific status checks it separately.
pub(crate) fn success(reply: Reply, doing: &str) -> Result<Answer, Error> {
    let status = reply.status();
    if status.is_success() {
        return Ok(reply.answer);
    }
    Err(refused(&reply, doing))
}

/// Converts an unsuccessful reply to an error.
pub(crate) fn refused(reply: &Reply, doing: &str) -> Error {
    if reply.status().is_redirection() && reply.status() != StatusCode::NOT_MODIFIED {
        let to = reply.answer.header(header::LOCATION.as_str()).unwrap_or_default();
        let to = presentable(reply.answer.url(), to);
        return Error::new(doing, ErrorKind::ForeignHost { header: "redirect", to });
    }
    Error::new(doing, ErrorKind::Refused(reply.refusal()))
}

/// Returns the digest in `Docker-Content-Digest`, or `None` if the header is missing or cannot be parsed.
pub(crate) fn named_digest(answer: &Answer) -> Option<Digest> {
    answer.header("docker-content-digest")?.trim().parse().ok()
}

/// Checks that the registry reports the expected digest for the content that was sent.
pub(crate) fn agrees(answer: &Answer, expected: Digest, doing: &str) -> Result<(), Error> {
    match named_digest(answer) {
        // The registry may report a digest of another algorithm, which cannot be compared.
        Some(got) if got != expected && got.algorithm() == expected.algorithm() => {
            Err(Error::new(doing, ErrorKind::WrongDigest { expected, got }))
        }
        _ => Ok(()),
    }
}

/// Returns the URL in a header in a form that may be displayed: such URLs may be signed.
fn presentable(asked: &Url, to: &str) -> String {
    asked
        .join(to)
        .map_or_else(|_| "what is not a URL".to_owned(), |url| printable(&transport::shown(&url), 200))
}

/// Resolves the URL in a header, and checks that it is on the host of the request. The scheme of the request is kept:
/// registries behind a proxy often report the wrong one.
pub(crate) fn same_host(asked: &Url, to: &str, header: &'static str, doing: &str) -> Result<Url, Error> {
    let foreign = || ErrorKind::ForeignHost { header, to: presentable(asked, to) };
    let to = to.trim();
    // Without a leading slash the path would be resolved relative to the path of the request.
    let rooted = if to.starts_with("v2/") { format!("/{to}") } else { to.to_owned() };
    let mut url = asked.join(&rooted).map_err(|_| Error::new(doing, foreign()))?;
    let scheme = asked.scheme();
    if url.scheme() != scheme
        && authority(&url).map(|h| h.name().to_owned()) == authority(asked).map(|h| h.name().to_owned())
    {
        let _ = url.set_scheme(scheme);
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if authority(&url) != authority(asked) || url.scheme() != scheme || has_user {
        return Err(Error::new(doing, foreign()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_on_the_requested_host_are_followed() {
        let asked = Url::parse("https://gcr.io/v2/a/tags/list").unwrap();
        let follow = |to| same_host(&asked, to, "Link", "testing").map(String::from);
        assert_eq!(follow("/v2/a/tags/list?last=b").unwrap(), "https://gcr.io/v2/a/tags/list?last=b");
        assert_eq!(follow("https://gcr.io/x").unwrap(), "https://gcr.io/x");
        assert_eq!(follow("http://gcr.io/x").unwrap(), "https://gcr.io/x", "the scheme is kept");
        assert_eq!(follow("?last=b").unwrap(), "https://gcr.io/v2/a/tags/list?last=b");
        assert_eq!(follow("v2/a/blobs/uploads/1").unwrap(), "https://gcr.io/v2/a/blobs/uploads/1");
        assert_eq!(follow("/v2/a b").unwrap(), "https://gcr.io/v2/a%20b");
        for foreign in [
            "https://evil.example/x",
            "//evil.example/x",
            "https://gcr.io:444/x",
            "https://gcr.io@evil.example/",
            "https://user@gcr.io/",
            "ftp://gcr.io.evil/",
        ] {
            assert!(follow(foreign).is_err(), "{foreign}");
        }
    }
}
