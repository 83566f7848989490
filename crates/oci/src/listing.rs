//! What a repository holds, as its registry lists it (distribution specification, *Listing Tags*; Google's extension).

use std::collections::HashMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, printable};
use crate::manifest::MediaType;
use crate::name::Tag;

/// The tags of a repository and, where the registry tells, all its manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// All tags, in the registry's order.
    pub tags: Vec<Tag>,
    /// All manifests by digest, with or without a tag. `None` where the registry lists tags alone.
    pub manifests: Option<HashMap<Digest, ListedManifest>>,
}

/// A manifest as Google's registries list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedManifest {
    /// Its kind.
    pub media_type: MediaType,
    /// The tags that name it.
    pub tags: Vec<Tag>,
}

/// One page of an answer.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    manifest: Option<HashMap<String, Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    #[serde(default)]
    tag: Vec<String>,
}

impl Listing {
    /// Takes in the next page of an answer.
    ///
    /// # Errors
    /// When it is not a page of tags. Names that cannot be names are left out: nobody can ask for them.
    pub(crate) fn extend(&mut self, page: &[u8], doing: &str) -> Result<(), Error> {
        let page: Page = serde_json::from_slice(page).map_err(|error| {
            Error::new(doing, {
                let why = printable(&error.to_string(), 200);
                ErrorKind::Malformed(format!("a list of tags is expected: {why}"))
            })
        })?;
        self.tags.extend(names(page.tags.unwrap_or_default()));
        if let Some(manifest) = page.manifest {
            let known = self.manifests.get_or_insert_default();
            for (digest, entry) in manifest {
                let Ok(digest) = digest.parse() else { continue };
                let media_type = MediaType::parse(&entry.media_type);
                known.insert(digest, ListedManifest { media_type, tags: names(entry.tag).collect() });
            }
        }
        Ok(())
    }
}

fn names(texts: Vec<String>) -> impl Iterator<Item = Tag> {
    texts.into_iter().filter_map(|text| text.parse().ok())
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
pub(crate) fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        });
        next.then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_extension_is_read_and_its_absence_told() {
        let mut plain = Listing::default();
        plain.extend(br#"{"name":"a","tags":["v1","-bad"]}"#, "").unwrap();
        assert_eq!((plain.tags.len(), plain.manifests), (1, None));

        let digest = Digest::of(b"x");
        let page = format!(
            r#"{{"child":["b"],"name":"a","tags":["v1"],"manifest":{{"{digest}":{{"imageSizeBytes":"12","mediaType":
            "application/vnd.oci.image.index.v1+json","tag":["v1"],"timeCreatedMs":"0"}},"md5:x":{{}}}}}}"#
        );
        let mut google = Listing::default();
        google.extend(page.as_bytes(), "").unwrap();
        let manifests = google.manifests.unwrap();
        assert_eq!(manifests.len(), 1, "a name that is no digest is left out");
        assert_eq!(manifests[&digest].media_type, MediaType::OciIndex);
        assert_eq!(manifests[&digest].tags, ["v1".parse().unwrap()]);
    }

    #[test]
    fn null_tags_are_no_tags_and_html_is_no_page() {
        let mut listing = Listing::default();
        listing.extend(br#"{"name":"a","tags":null}"#, "").unwrap();
        assert_eq!(listing, Listing::default());
        assert!(listing.extend(b"<html>", "").is_err());
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        assert_eq!(
            next_page(r#"</v2/a/tags/list?last=x&n=2>; rel="next""#),
            Some("/v2/a/tags/list?last=x&n=2")
        );
        assert_eq!(next_page(r#"</prev>; rel="prev", </next>; title=x; rel=next"#), Some("/next"));
        assert_eq!(next_page(r#"</prev>; rel="prev""#), None);
        assert_eq!(next_page("nonsense"), None);
    }
}
