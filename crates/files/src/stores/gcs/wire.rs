//! Parses objects from the JSON and the headers of Google Cloud Storage.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use manifest::files::StoreUrl;
use serde::{Deserialize, Serialize};
use transport::Answer;

use super::super::answer::Refusal;
use super::super::store::Page;
use crate::error::ErrorKind;
use crate::object::{Attributes, Object, SHA256_METADATA, StoredMd5};

/// Encodes a CRC32C like Google: big-endian, in base64.
pub(super) fn crc32c_text(crc32c: u32) -> String {
    STANDARD.encode(crc32c.to_be_bytes())
}

/// The header with hashes.
pub(super) const HASH: HeaderName = HeaderName::from_static("x-goog-hash");

/// A page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listing {
    kind: String,
    #[serde(default)]
    items: Vec<Resource>,
    next_page_token: Option<String>,
}

impl Listing {
    /// Returns the page. What it does not list counts as absent, so JSON of another kind is refused.
    pub(super) fn page(self, url: &StoreUrl) -> Result<Page, ErrorKind> {
        if self.kind != "storage#objects" {
            let kind = oci_types::text::printable(&self.kind, 100);
            return Err(ErrorKind::Unreadable(format!("a page of a listing: its kind is `{kind}`")));
        }
        let root = url.key("");
        let mut objects = Vec::with_capacity(self.items.len());
        for item in self.items {
            let (key, object) = item.object(url)?;
            if let Some(name) = key.strip_prefix(&root) {
                objects.push((name.to_owned(), object));
            }
        }
        Ok(Page { objects, next: self.next_page_token.filter(|token| !token.is_empty()) })
    }
}

/// An object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    #[serde(default)]
    name: String,
    #[serde(default)]
    size: String,
    #[serde(default)]
    generation: String,
    md5_hash: Option<String>,
    crc32c: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_disposition: Option<String>,
    cache_control: Option<String>,
}

impl Resource {
    /// Returns the key and the object.
    pub(super) fn object(self, _url: &StoreUrl) -> Result<(String, Object), ErrorKind> {
        let size = self.size.parse();
        let size = size.map_err(|_| ErrorKind::Unreadable("an object without a size".to_owned()))?;
        let is_some = |text: &String| !text.is_empty();
        let custom: BTreeMap<String, String> =
            self.metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let object = Object {
            size,
            version: self.generation,
            sha256: custom.get(SHA256_METADATA).and_then(|text| text.parse().ok()),
            checksum: None,
            md5: self.md5_hash.as_deref().and_then(decoded).map(StoredMd5::OfContent),
            crc32c: self.crc32c.as_deref().and_then(decoded).map(u32::from_be_bytes),
            attributes: Some(Box::new(Attributes {
                content_type: self.content_type.filter(is_some),
                content_encoding: self.content_encoding.filter(is_some),
                content_language: self.content_language.filter(is_some),
                content_disposition: self.content_disposition.filter(is_some),
                cache_control: self.cache_control.filter(is_some),
                custom,
            })),
        };
        Ok((self.name, object))
    }
}

/// Decodes a hash in base64.
fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Parses an object from the headers of its content. They lack custom metadata. `offset` is the offset of the content.
pub(super) fn of_headers(header: impl Fn(&str) -> Option<String>, offset: u64) -> Object {
    let hashes = header("x-goog-hash").unwrap_or_default();
    let hash = |name: &str| {
        hashes
            .split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let length = || header("content-length")?.parse::<u64>().ok().map(|length| length.saturating_add(offset));
    let stored = header("x-goog-stored-content-length").and_then(|text| text.parse().ok());
    Object {
        size: stored.or_else(length).unwrap_or_default(),
        version: header("x-goog-generation").unwrap_or_default(),
        sha256: None,
        checksum: None,
        md5: hash("md5").as_deref().and_then(decoded).map(StoredMd5::OfContent),
        crc32c: hash("crc32c").as_deref().and_then(decoded).map(u32::from_be_bytes),
        attributes: None,
    }
}

/// The metadata of an object to write.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(key: &'a str, attributes: &'a Attributes, crc32c: Option<u32>) -> Self {
        Self {
            name: key,
            crc32c: crc32c.map(crc32c_text),
            content_type: attributes.content_type.as_deref(),
            content_encoding: attributes.content_encoding.as_deref(),
            content_language: attributes.content_language.as_deref(),
            content_disposition: attributes.content_disposition.as_deref(),
            cache_control: attributes.cache_control.as_deref(),
            metadata: &attributes.custom,
        }
    }
}

/// Parses an error answer (`error.message`, and `reason` of the first of `error.errors`).
pub(super) fn refusal(answer: &Answer) -> Refusal {
    #[derive(Deserialize)]
    struct Body {
        error: Reason,
    }
    #[derive(Deserialize)]
    struct Reason {
        #[serde(default)]
        message: String,
        #[serde(default)]
        errors: Vec<Cause>,
    }
    #[derive(Deserialize)]
    struct Cause {
        #[serde(default)]
        reason: String,
    }
    match serde_json::from_slice(answer.body()) {
        Ok(Body { error: Reason { message, errors } }) => {
            Refusal { code: errors.into_iter().next().map(|cause| cause.reason).unwrap_or_default(), message }
        }
        Err(_) => Refusal::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_parsed_with_its_hashes_and_metadata() {
        let text = r#"{"kind":"storage#objects","items":[{"name":"sub/a","size":"9","generation":"17","crc32c":"4waSgw==","md5Hash":"JfnnlDI7RThF9RgfG2JNCw==",
            "contentType":"text/x","cacheControl":"","metadata":{"Content-Hash-SHA256":"15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"}},
            {"name":"sub/composite","size":"9","crc32c":"4waSgw==","componentCount":2},{"name":"subx","size":"1"}],"nextPageToken":""}"#;
        let listing: Listing = serde_json::from_str(text).unwrap();
        let page = listing.page(&"gs://bucket/sub".parse().unwrap()).unwrap();
        assert_eq!(page.next, None);
        let names: Vec<&str> = page.objects.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "composite"], "objects outside of the URL are left out");
        let object = &page.objects[0].1;
        assert_eq!((object.size, object.version.as_str(), object.crc32c), (9, "17", Some(0xe306_9283)));
        assert!(object.sha256.is_some() && object.md5.is_some());
        let attributes = object.attributes.as_ref().unwrap();
        assert_eq!(
            (attributes.content_type.as_deref(), attributes.cache_control.as_deref()),
            (Some("text/x"), None)
        );
        assert_eq!(page.objects[1].1.md5, None);
        assert!(
            serde_json::from_str::<Listing>(
                r#"{"kind":"storage#objects","items":[{"name":"a","size":"x"}]}"#
            )
            .unwrap()
            .page(&"gs://bucket".parse().unwrap())
            .is_err()
        );
    }

    #[test]
    fn headers_have_the_generation_and_the_hashes() {
        let header = |name: &str| {
            Some(match name {
                "x-goog-hash" => "crc32c=4waSgw==, md5=JfnnlDI7RThF9RgfG2JNCw==".to_owned(),
                "x-goog-generation" => "17".to_owned(),
                "content-length" => "4".to_owned(),
                _ => return None,
            })
        };
        let object = of_headers(header, 5);
        assert_eq!((object.size, object.version.as_str(), object.crc32c), (9, "17", Some(0xe306_9283)));
        assert!(object.md5.is_some());
    }
}
