//! Parses objects from the XML and the headers of S3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::files::{Sha256, StoreUrl};
use oci_types::text::printable;
use rusty_s3::actions::{ListObjectsV2, ListObjectsV2Response};
use transport::Answer;

use super::super::answer::Refusal;
use super::super::store::Page;
use super::metadata::CUSTOM;
use crate::error::ErrorKind;
use crate::object::{Object, SHA256_METADATA, StoredMd5};

/// A page of a listing.
pub(super) struct Listing(ListObjectsV2Response);

impl Listing {
    /// Parses a page of the listing of a bucket. It must be complete, about the bucket, and say whether another page follows: what it
    /// does not list counts as absent.
    pub(super) fn parse(body: &[u8], bucket: &str) -> Result<Self, ErrorKind> {
        let fail = |problem: String| ErrorKind::Unreadable(format!("a page of a listing: {problem}"));
        let text = text(body)?;
        let listed = ListObjectsV2::parse_response(text).map_err(|error| fail(error.to_string()))?;
        if !text.trim_end().ends_with("</ListBucketResult>") {
            return Err(fail("it is not complete".to_owned()));
        }
        if let Some(name) = element(text, "Name").filter(|name| name != bucket) {
            return Err(fail(format!("it is about the bucket `{}`", printable(&name, 100))));
        }
        let has_next = listed.next_continuation_token.as_ref().is_some_and(|token| !token.is_empty());
        match element(text, "IsTruncated").as_deref().map(str::trim) {
            Some("true") if has_next => Ok(Self(listed)),
            Some("false") if !has_next => Ok(Self(listed)),
            _ => Err(fail(
                "`IsTruncated` and `NextContinuationToken` do not say whether a page follows".to_owned(),
            )),
        }
    }

    pub(super) fn page(self, url: &StoreUrl) -> Result<Page, ErrorKind> {
        let root = url.key("");
        let mut objects = Vec::with_capacity(self.0.contents.len());
        for item in self.0.contents {
            let Some(name) = item.key.strip_prefix(&root) else { continue };
            let size =
                item.size.ok_or_else(|| ErrorKind::Unreadable("an object without a size".to_owned()))?;
            let version = item.etag.unwrap_or_default();
            let object = Object { size, md5: md5(&version), version, ..Object::default() };
            objects.push((name.to_owned(), object));
        }
        Ok(Page { objects, next: self.0.next_continuation_token.filter(|token| !token.is_empty()) })
    }
}

/// Returns an entity tag that may be an MD5. `None` for a multipart upload, whose entity tag is not one.
fn md5(etag: &str) -> Option<StoredMd5> {
    let digits = etag.trim_matches('"');
    if digits.len() != 32 {
        return None;
    }
    let number = u128::from_str_radix(digits, 16).ok()?;
    Some(StoredMd5::EntityTag(number.to_be_bytes()))
}

/// Parses an object from headers. `offset` is the offset of the content, or `None` for the answer to a `HEAD`.
pub(super) fn object_of(
    header: impl Fn(&str) -> Option<String>,
    offset: Option<u64>,
) -> Result<Object, ErrorKind> {
    let length = header("content-length").and_then(|length| length.parse::<u64>().ok());
    let size = length.map(|length| length.saturating_add(offset.unwrap_or_default()));
    let size = size.ok_or_else(|| ErrorKind::Unreadable("an object without a size".to_owned()))?;
    let version = header("etag").unwrap_or_default();
    let checksum = header("x-amz-checksum-sha256").filter(|_| {
        // The checksum of a multipart upload is a hash of hashes.
        header("x-amz-checksum-type").is_none_or(|kind| kind != "COMPOSITE") && !is_multipart(&version)
    });
    let checksum = checksum.and_then(|text| STANDARD.decode(text).ok()?.try_into().ok()).map(Sha256::new);
    let metadata = header(&format!("{CUSTOM}{SHA256_METADATA}")).and_then(|text| text.parse().ok());
    let crc32c = header("x-amz-checksum-crc32c").filter(|_| !is_multipart(&version));
    let crc32c = crc32c.and_then(|text| STANDARD.decode(text).ok()?.try_into().ok()).map(u32::from_be_bytes);
    Ok(Object {
        size,
        md5: md5(&version),
        version,
        sha256: checksum.or(metadata),
        checksum,
        crc32c,
        attributes: None,
    })
}

fn is_multipart(etag: &str) -> bool {
    etag.contains('-')
}

/// Decodes a body as UTF-8.
pub(super) fn text(body: &[u8]) -> Result<&str, ErrorKind> {
    std::str::from_utf8(body).map_err(|_| ErrorKind::Unreadable("not text in UTF-8".to_owned()))
}

/// Parses an error answer (`<Error><Code>…</Code><Message>…</Message></Error>`).
pub(super) fn refusal(answer: &Answer) -> Refusal {
    let body = String::from_utf8_lossy(answer.body());
    if !body.contains("<Error") {
        return Refusal::default();
    }
    let element = |name: &str| element(&body, name).unwrap_or_default();
    Refusal { code: element("Code"), message: element("Message") }
}

/// Returns the text of the first element with a name that has no attributes.
pub(super) fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(
        text.replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&#39;", "'")
            .replace("&#34;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(headers: &[(&str, &str)]) -> Object {
        let header =
            |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        object_of(header, None).unwrap()
    }

    #[test]
    fn a_checksum_of_the_whole_content_is_used_and_a_composite_one_is_not() {
        let hash = STANDARD.encode([7; 32]);
        let whole = object(&[
            ("content-length", "5"),
            ("etag", "\"2c1743a391305fbf367df8e4f069f9f9\""),
            ("x-amz-checksum-sha256", &hash),
        ]);
        assert_eq!(whole.sha256, Some(Sha256::new([7; 32])));
        let expected = 0x2c17_43a3_9130_5fbf_367d_f8e4_f069_f9f9_u128.to_be_bytes();
        assert_eq!(whole.md5, Some(StoredMd5::EntityTag(expected)));
        let parts = object(&[
            ("content-length", "5"),
            ("etag", "\"30dcfd3901d1c613b7fb532281748544-2\""),
            ("x-amz-checksum-sha256", &hash),
        ]);
        assert_eq!((parts.sha256, parts.md5), (None, None));
        let composite = [
            ("content-length", "5"),
            ("etag", "\"x\""),
            ("x-amz-checksum-sha256", &*hash),
            ("x-amz-checksum-type", "COMPOSITE"),
        ];
        assert_eq!(object(&composite).sha256, None);
        let tagged = object(&[("content-length", "5"), ("x-amz-meta-content-hash-sha256", &"07".repeat(32))]);
        assert_eq!(tagged.sha256, Some(Sha256::new([7; 32])));
    }

    #[test]
    fn a_listed_multipart_object_has_no_md5() {
        let xml = r#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
            <EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>
            <Contents><Key>sub/a%20b</Key><ETag>&quot;30dcfd3901d1c613b7fb532281748544-2&quot;</ETag><Size>5242884</Size></Contents>
            <Contents><Key>other</Key><Size>1</Size></Contents></ListBucketResult>"#;
        let page = Listing::parse(xml.as_bytes(), "b").unwrap().page(&"s3://b/sub".parse().unwrap()).unwrap();
        assert_eq!(page.objects.len(), 1);
        assert_eq!((page.objects[0].0.as_str(), page.objects[0].1.md5), ("a b", None));
    }
}
