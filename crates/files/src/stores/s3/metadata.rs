//! Metadata in S3 headers.
//!
//! S3 accepts and returns custom metadata beyond printable ASCII as encoded words (RFC 2047). This module encodes and decodes them,
//! so that values are the same in other stores.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::call::Call;
use crate::object::Attributes;

/// The prefix of the headers of custom metadata.
pub(super) const CUSTOM: &str = "x-amz-meta-";
/// The header with the number of custom values that the store cannot return as headers.
const MISSING: &str = "x-amz-missing-meta";

/// Parses the metadata in headers. `warn` receives a warning if the store does not return all metadata.
pub(super) fn attributes_of(headers: &HeaderMap, warn: &dyn Fn(&str)) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in headers {
        let value = readable(value);
        if value.is_empty() {
            continue;
        }
        match name.as_str() {
            "content-type" => attributes.content_type = Some(value),
            "content-encoding" => attributes.content_encoding = without_chunks(&value),
            "content-language" => attributes.content_language = Some(value),
            "content-disposition" => attributes.content_disposition = Some(value),
            "cache-control" => attributes.cache_control = Some(value),
            MISSING if value != "0" => {
                warn("the store says that custom metadata is missing in its answer; it is not promoted");
            }
            name => {
                if let Some(name) = name.strip_prefix(CUSTOM) {
                    attributes.custom.insert(name.to_owned(), decoded(&value));
                }
            }
        }
    }
    attributes
}

/// Returns the text of a header: UTF-8, or else Latin-1, the older convention.
fn readable(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Returns a content encoding without `aws-chunked`, which describes only how the object was sent.
fn without_chunks(encoding: &str) -> Option<String> {
    let parts: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "aws-chunked")
        .collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Adds metadata to a call. Values that cannot be headers are left out with a warning.
pub(super) fn set_attributes<'a>(call: &mut Call<'a>, attributes: &'a Attributes, warn: &dyn Fn(&str)) {
    let Attributes {
        content_type,
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        custom,
    } = attributes;
    let fields = [
        ("content-type", content_type),
        ("content-encoding", content_encoding),
        ("content-language", content_language),
        ("content-disposition", content_disposition),
        ("cache-control", cache_control),
    ];
    for (name, value) in fields {
        match value {
            Some(value) if is_plain(value) => call.header(name, value.as_str()),
            Some(_) => left_out(warn, name),
            None => {}
        }
    }
    set_custom(call, custom, warn);
}

fn set_custom<'a>(call: &mut Call<'a>, custom: &'a BTreeMap<String, String>, warn: &dyn Fn(&str)) {
    for (name, value) in custom {
        let header = format!("{CUSTOM}{}", name.to_ascii_lowercase());
        if name.is_empty() || HeaderName::try_from(&header).is_err() {
            left_out(warn, name);
        } else if is_plain(value) && !value.contains("=?") {
            call.header(header, value.as_str());
        } else {
            call.header(header, format!("=?UTF-8?B?{}?=", STANDARD.encode(value)));
        }
    }
}

fn left_out(warn: &dyn Fn(&str), name: &str) {
    let name = oci_types::text::printable(name, 100);
    warn(&format!("the metadata `{name}` cannot be a header of S3, and is left out"));
}

/// Returns whether a value needs no encoding: it is printable ASCII without leading and trailing spaces, which would be lost.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value
}

/// Decodes a value if all its words are encoded. Other values are returned unchanged.
fn decoded(value: &str) -> String {
    let words: Option<String> = value.split_ascii_whitespace().map(word).collect();
    words.filter(|words| !words.is_empty()).unwrap_or_else(|| value.to_owned())
}

/// Decodes an encoded word (`=?UTF-8?B?…?=` or `=?UTF-8?Q?…?=`).
fn word(text: &str) -> Option<String> {
    let (charset, rest) = text.strip_prefix("=?")?.strip_suffix("?=")?.split_once('?')?;
    let (encoding, content) = rest.split_once('?')?;
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(content).ok()?,
        "Q" | "q" => unquoted(content)?,
        _ => return None,
    };
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "us-ascii" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

fn unquoted(content: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(content.len());
    let mut rest = content.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        match first {
            b'_' => bytes.push(b' '),
            b'=' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use http::Method;
    use transport::Class;

    use super::*;

    #[test]
    fn values_survive_encoding_and_decoding() {
        let custom: BTreeMap<String, String> = [
            ("plain", "a b"),
            ("wide", "ünï☃"),
            ("lines", "v\r\nx-evil: 1"),
            ("tab", "a\tb"),
            ("ends", " v "),
            ("word", "=?UTF-8?B?w7w=?="),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let attributes = Attributes { custom: custom.clone(), ..Attributes::default() };
        let mut call = Call::new(Method::PUT, "http://localhost/".parse().unwrap(), "s3-write", Class::Write);
        set_attributes(&mut call, &attributes, &|_| ());
        let headers: HeaderMap = call
            .headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::try_from(&**name).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        assert_eq!(headers["x-amz-meta-plain"], "a b", "printable ASCII is not encoded");
        assert_eq!(attributes_of(&headers, &|_| ()).custom, custom);
    }

    #[test]
    fn metadata_that_cannot_be_a_header_is_left_out_and_the_rest_is_kept() {
        let custom = [("sp ace", "v"), ("ü", "v"), ("", "v"), ("good", "v")];
        let attributes = Attributes {
            content_type: Some("text/x\r\nX-Evil: 1".to_owned()),
            custom: custom.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Attributes::default()
        };
        let mut call = Call::new(Method::PUT, "http://localhost/".parse().unwrap(), "s3-write", Class::Write);
        let warnings = RefCell::new(Vec::new());
        set_attributes(&mut call, &attributes, &|warning| warnings.borrow_mut().push(warning.to_owned()));
        assert_eq!(call.headers.keys().collect::<Vec<_>>(), ["x-amz-meta-good"]);
        assert!(
            warnings
                .borrow()
                .iter()
                .all(|warning| warning.ends_with(" cannot be a header of S3, and is left out"))
        );
        assert_eq!(warnings.borrow().len(), 4, "each of them is named: {warnings:?}");
    }

    #[test]
    fn encoded_words_of_other_clients_are_decoded() {
        for (text, expected) in [
            ("=?UTF-8?B?w7xuw68=?=", "ünï"),
            ("=?utf-8?Q?=C3=BC_x?=", "ü x"),
            ("=?UTF-8?B?w7w=?= =?UTF-8?B?w68=?=", "üï"),
            ("=?ISO-8859-1?Q?=FC?=", "ü"),
            ("=?koi8-r?B?w7w=?=", "=?koi8-r?B?w7w=?="),
            ("a =?UTF-8?B?w7w=?=", "a =?UTF-8?B?w7w=?="),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }

    #[test]
    fn aws_chunked_is_removed_from_the_content_encoding() {
        assert_eq!(without_chunks("aws-chunked"), None);
        assert_eq!(without_chunks("gzip, aws-chunked").as_deref(), Some("gzip"));
    }
}
