//! `Link` headers. An accepted link has the scheme, the host and the port of the requested URL, and no user. Errors may be shown.
//! No header hides a later `next`: a list with a further page is never read as complete.
#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header::LINK};
use libfuzzer_sys::fuzz_target;
use oci::fuzzing::next_page;
use url::Url;

const NEXT: &[u8] = b"</v2/a/tags/list?last=x>; rel=\"next\"";

static ASKED: LazyLock<[Url; 3]> = LazyLock::new(|| {
    [
        "https://registry.example/v2/a/tags/list?n=2",
        "http://127.0.0.1:5000/v2/a/tags/list",
        "http://[::1]:5000/v2/a/referrers/x",
    ]
    .map(|url| Url::parse(url).unwrap())
});

/// Returns whether a page may follow. This includes errors, because they stop the reader and hide nothing.
fn may_follow(headers: &HeaderMap, asked: &Url) -> bool {
    !matches!(next_page(headers, asked), Ok(None))
}

fuzz_target!(|data: &[u8]| {
    let Some(headers) = fuzz::headers(&LINK, data) else { return };
    for asked in &*ASKED {
        match next_page(&headers, asked) {
            Ok(Some(next)) => {
                let place =
                    |url: &Url| (url.scheme().to_owned(), url.host().map(|h| h.to_owned()), url.port());
                assert_eq!(place(&next), place(asked), "{next}");
                assert!(next.username().is_empty() && next.password().is_none(), "{next}");
                assert!(next.as_str().len() <= asked.as_str().len() + 1 + 3 * data.len(), "{next}");
            }
            Ok(None) => {
                let mut another = headers.clone();
                another.append(LINK, HeaderValue::from_bytes(NEXT).unwrap());
                assert!(may_follow(&another, asked), "a header hides the next one");
                let last = headers.get_all(LINK).iter().next_back().map_or(&b""[..], HeaderValue::as_bytes);
                let joined = [last, b", ", NEXT].concat();
                let joined = HeaderMap::from_iter([(LINK, HeaderValue::from_bytes(&joined).unwrap())]);
                assert!(may_follow(&joined, asked), "a link hides the next one");
            }
            Err(error) => fuzz::assert_presentable(&error.to_string(), 400),
        }
    }
});
