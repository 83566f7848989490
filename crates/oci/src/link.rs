//! The URL of the next page (RFC 8288, *Web Linking*), as registries write it.

use http::{HeaderMap, header};
use oci_types::text::printable;
use url::Url;

use crate::answer::same_host;
use crate::error::{Error, ErrorKind};

/// The maximum length of a header that is parsed, in bytes.
const LINK_MAX: usize = 16 * 1024;

/// Returns the URL of the page after one that was requested at `asked` and received from `base`. Returns `None` if there is no
/// `Link`, or only links with relations other than `next`.
///
/// # Errors
/// Returns an error if a `Link` cannot be parsed, since the page may then not be the last one, or if it refers to another
/// host.
pub(crate) fn next_page(
    headers: &HeaderMap,
    base: &Url,
    asked: &Url,
    doing: &str,
) -> Result<Option<Url>, Error> {
    for value in headers.get_all(header::LINK) {
        let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| text.len() <= LINK_MAX);
        let Some(next) = text.and_then(next_target) else {
            let shown = printable(&String::from_utf8_lossy(value.as_bytes()), 120);
            let what = format!("its `Link` to a further page cannot be understood: {shown}");
            return Err(Error::new(doing, ErrorKind::Malformed(what)));
        };
        if let Some(target) = next {
            // The URL is relative to the URL that answered, but the next request goes to the requested host, with its
            // credentials.
            let target = base.join(target).map_or_else(|_| target.to_owned(), String::from);
            return same_host(asked, &target, "Link", doing).map(Some);
        }
    }
    Ok(None)
}

/// Returns the target of the relation `next` in a header; `Some(None)` if the header has links with other relations only, and
/// `None` if it cannot be parsed.
fn next_target(text: &str) -> Option<Option<&str>> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Some(None);
    }
    while !rest.is_empty() {
        let (target, after) = target(rest)?;
        let (relation, next) = relation(after)?;
        match relation {
            // A link without a relation in a list can only mean the next page.
            None => return Some(Some(target)),
            Some(relation) if relation.split_whitespace().any(|word| word.eq_ignore_ascii_case("next")) => {
                return Some(Some(target));
            }
            Some(_) => rest = next,
        }
    }
    Some(None)
}

/// Splits off the target of a link, with or without angle brackets, and returns the rest.
fn target(text: &str) -> Option<(&str, &str)> {
    let (target, after) = match text.strip_prefix('<') {
        Some(text) => text.split_once('>')?,
        // Without brackets a comma may be part of the URL; a semicolon starts the parameters.
        None => text.split_at(text.find(';').unwrap_or(text.len())),
    };
    let target = target.trim();
    (!target.is_empty() && !target.contains(char::is_whitespace)).then_some((target, after))
}

/// Returns the relation in the parameters of a link, if there is one, and the next link.
fn relation(text: &str) -> Option<(Option<String>, &str)> {
    let mut relation = None;
    let mut rest = text.trim_start();
    loop {
        if let Some(next) = rest.strip_prefix(',') {
            return Some((relation, next.trim_start()));
        }
        let Some(parameter) = rest.strip_prefix(';') else {
            return rest.is_empty().then_some((relation, rest));
        };
        let parameter = parameter.trim_start();
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..end].trim();
        let (value, after) = match parameter[end..].strip_prefix('=') {
            Some(value) => parameter_value(value.trim_start())?,
            None => (String::new(), &parameter[end..]),
        };
        if name.eq_ignore_ascii_case("rel") && relation.is_none() && !value.is_empty() {
            relation = Some(value);
        }
        rest = after.trim_start();
    }
}

/// Splits off the value of a parameter, quoted or not, and returns the rest.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"')?;
        return Some((quoted[..end].to_owned(), &quoted[end + 1..]));
    }
    let end = text.find([';', ',']).unwrap_or(text.len());
    Some((text[..end].trim().to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "https://registry.example/v2/a/tags/list?n=2";

    fn next(values: &[&str]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::LINK, value.parse().unwrap());
        }
        let asked = Url::parse(ASKED).unwrap();
        let found = next_page(&headers, &asked, &asked, "testing");
        found.map(|url| url.map(String::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_next_page_is_found_in_any_notation() {
        let path = "https://registry.example/v2/a/tags/list";
        for (link, query) in [
            (r#"</v2/a/tags/list?last=x&n=2>; rel="next""#, "last=x&n=2"),
            (r#"</prev>; rel="prev", </v2/a/tags/list?n=3>; title=x; rel=next"#, "n=3"),
            ("/v2/a/tags/list?last=x; rel=next", "last=x"),
            ("</v2/a/tags/list?last=x>", "last=x"),
            ("/v2/a/tags/list?last=x", "last=x"),
            ("<?last=x>; rel=\"next\"", "last=x"),
            (r#"</v2/a/tags/list?last=a,b>; rel="next""#, "last=a,b"),
            ("/v2/a/tags/list?last=a,b;rel=\"next\"", "last=a,b"),
            (r#"<http://registry.example/v2/a/tags/list?last=x>; rel="next""#, "last=x"),
            (r#"<https://registry.example/v2/a/tags/list?last=x>; REL="NEXT""#, "last=x"),
            (r#"</v2/a/tags/list?last=x>; rel="last next""#, "last=x"),
            ("</v2/a/tags/list?last=x> ; rel = next", "last=x"),
            ("</v2/a/tags/list?last=x>; rel", "last=x"),
            ("</v2/a/tags/list?last=x>; rel=\"\"", "last=x"),
        ] {
            assert_eq!(next(&[link]), Ok(Some(format!("{path}?{query}"))), "{link}");
        }
        let two = next(&[r#"</prev>; rel="prev""#, "</v2/a/tags/list?n=9>; rel=next"]);
        assert_eq!(two, Ok(Some(format!("{path}?n=9"))));
    }

    #[test]
    fn links_of_other_relations_end_the_list() {
        for links in
            [vec![], vec![r#"</prev>; rel="prev""#], vec!["</a>; rel=first, </b>; rel=prev"], vec![""]]
        {
            assert_eq!(next(&links), Ok(None), "{links:?}");
        }
    }

    #[test]
    fn an_invalid_link_is_an_error_rather_than_the_end_of_the_list() {
        for link in [
            "<",
            "</v2/a; rel=next",
            "<>; rel=next",
            "some nonsense here",
            "</a> rel=next",
            "</a>; rel=\"next",
        ] {
            let error = next(&[link]).unwrap_err();
            assert!(error.contains("cannot be understood"), "{link}: {error}");
        }
    }

    /// A redirect may lead the request for a page to another host, but the next request must not go there.
    #[test]
    fn a_relative_link_of_a_page_from_another_host_is_an_error() {
        let mut headers = HeaderMap::new();
        headers.append(header::LINK, "</y>; rel=next".parse().unwrap());
        let (asked, base) = (Url::parse(ASKED).unwrap(), Url::parse("https://cdn.example/x").unwrap());
        assert!(
            next_page(&headers, &base, &asked, "testing").unwrap_err().to_string().contains("cdn.example")
        );
    }

    #[test]
    fn a_link_to_another_host_is_an_error() {
        assert!(
            next(&["<https://evil.example/v2/a/tags/list>; rel=next"]).unwrap_err().contains("evil.example")
        );
    }
}
