//! What may be shown of what is sent: secrets and the queries of URLs (signed URLs, tokens) stay inside.

use std::fmt;

use url::Url;

/// A password, token or key. It can be used, but neither printed nor compared.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A URL as it may be printed: scheme, host and path. A query or a user in it is replaced by dots.
pub fn shown(url: &Url) -> String {
    let mut clean = url.clone();
    let hidden = clean.query().is_some() || clean.fragment().is_some();
    clean.set_query(None);
    clean.set_fragment(None);
    if !clean.username().is_empty() || clean.password().is_some() {
        // Fails only for URLs that cannot have a user, which have none to show.
        let _ = clean.set_username("…");
        let _ = clean.set_password(None);
    }
    if hidden { format!("{clean}?…") } else { clean.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_query_nor_user_nor_secret_is_shown() {
        let url = Url::parse("https://me:hush@example.com/v2/?token=hush#hush").unwrap();
        assert!(!shown(&url).contains("hush"), "{}", shown(&url));
        assert!(shown(&url).ends_with("@example.com/v2/?…"));
        assert!(!format!("{:?}", Secret::new("hush")).contains("hush"));
    }

    #[test]
    fn a_plain_url_is_shown_as_it_is() {
        assert_eq!(shown(&Url::parse("https://example.com/v2/a").unwrap()), "https://example.com/v2/a");
    }
}
