//! Challenges: whatever a registry sends, a realm is a plain HTTP URL without a user, and what was read is read again from
//! its canonical form. Other schemes in headers of their own change nothing.
#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;
use oci::fuzzing::{Challenges, challenges};
use url::Url;

static ASKED: LazyLock<Url> =
    LazyLock::new(|| Url::parse("https://registry.example:8443/v2/team/app/tags/list?n=1").unwrap());

/// One header that offers what was read.
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
    // Longer headers are passed over; the canonical form may be longer than what was read.
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
        // A byte of a realm becomes at most three; a relative one stands behind the URL that was asked.
        assert!(realm.as_str().len() <= ASKED.as_str().len() + 3 * data.len(), "{realm}");
        let read = service.iter().chain(scopes).map(String::len).sum::<usize>();
        assert!(read <= data.len(), "more was read than was sent");
    }
    if let Some(canonical) = canonical(&found) {
        assert_eq!(challenges(&canonical, &ASKED), found, "{canonical:?}");
    }
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Digest realm=\"d\", nonce=\"n\""));
    assert_eq!(challenges(&headers, &ASKED), found, "challenges of other schemes change what is read");
});
