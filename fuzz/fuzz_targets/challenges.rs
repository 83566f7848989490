//! Challenges. A realm is always an HTTP or HTTPS URL without a user, and the canonical form of parsed challenges parses to the
//! same challenges. Separate headers with other schemes change nothing.
#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;
use oci::fuzzing::{Challenges, challenges};
use url::Url;

static ASKED: LazyLock<Url> =
    LazyLock::new(|| Url::parse("https://registry.example:8443/v2/team/app/tags/list?n=1").unwrap());

/// Returns one header with the parsed challenges.
fn canonical(found: &Challenges) -> Option<HeaderMap> {
    let mut offers: Vec<String> = Vec::new();
    if let Some((realm, service, scopes)) = &found.bearer {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut offer = format!("Bearer realm={}", quoted(realm.as_str()));
        if let Some(service) = service {
            offer += &format!(",service={}", quoted(service));
        }
        offers.push(offer + &format!(",scope={}", quoted(&scopes.join(" "))));
    }
    if found.basic {
        offers.push("Basic realm=\"r\"".to_owned());
    }
    let value = HeaderValue::from_str(&offers.join(", ")).ok()?;
    // Longer headers are ignored, and the canonical form may be longer than the input.
    (value.len() <= 16 * 1024).then(|| HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]))
}

fuzz_target!(|data: &[u8]| {
    let Some(mut headers) = fuzz::headers(&WWW_AUTHENTICATE, data) else { return };
    let found = challenges(&headers, &ASKED);
    if let Some((realm, service, scopes)) = &found.bearer {
        assert!(matches!(realm.scheme(), "http" | "https"), "{realm}");
        assert!(realm.host_str().is_some_and(|host| !host.is_empty()), "{realm}");
        assert!(realm.username().is_empty() && realm.password().is_none(), "{realm}");
        assert!(realm.fragment().is_none(), "{realm}");
        assert!(service.as_ref().is_none_or(|service| !service.is_empty()));
        assert!(scopes.iter().all(|scope| !scope.is_empty() && !scope.contains(char::is_whitespace)));
        // A byte of a realm becomes at most three bytes. A relative realm is resolved against the requested URL.
        assert!(realm.as_str().len() <= ASKED.as_str().len() + 3 * data.len(), "{realm}");
        let read = service.iter().chain(scopes).map(String::len).sum::<usize>();
        assert!(read <= data.len(), "the result is larger than the input");
    }
    if let Some(canonical) = canonical(&found) {
        assert_eq!(challenges(&canonical, &ASKED), found, "{canonical:?}");
    }
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Digest realm=\"d\", nonce=\"n\""));
    assert_eq!(challenges(&headers, &ASKED), found, "challenges of other schemes change the result");
});
