//! The metadata of objects, as stores return it.

use std::collections::BTreeMap;

use manifest::files::Sha256;

use crate::error::ErrorKind;
use crate::hash::Hashes;

/// The name of the custom metadata with the SHA-256 of the content. The Go tool writes it, too.
pub const SHA256_METADATA: &str = "content-hash-sha256";

/// The maximum size of an object, in bytes: the limit of Google Cloud Storage and S3.
const SIZE_MAX: u64 = 5 << 40;

/// An object in a store: what the store tells about it without a read of its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The size, in bytes. For content with an encoding such as gzip, this is the encoded size.
    pub size: u64,
    /// Identifies this content of the object: Google's generation, the entity tag of S3, or the modification time of a file.
    /// Reads and writes that name it fail if the object has changed.
    pub version: String,
    /// The SHA-256 in the object's metadata or checksum.
    pub sha256: Option<Sha256>,
    /// The SHA-256 that the store has computed or checked. The metadata has what a client has claimed.
    pub checksum: Option<Sha256>,
    /// The MD5.
    pub md5: Option<StoredMd5>,
    /// The CRC32C.
    pub crc32c: Option<u32>,
    /// The metadata. `None` if the answer did not have it.
    pub attributes: Option<Box<Attributes>>,
}

/// An MD5 of an object, from its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredMd5 {
    /// The store states that this is the MD5 of the content.
    OfContent([u8; 16]),
    /// An entity tag of S3 in the form of an MD5. It is another value if the object is encrypted with a key of KMS or of the
    /// customer, so it may prove that content is equal, and never that it differs.
    EntityTag([u8; 16]),
}

impl StoredMd5 {
    /// Returns whether content with this MD5 is the content of the object. `None` if that is not known.
    pub(crate) fn is(self, md5: [u8; 16]) -> Option<bool> {
        match self {
            Self::OfContent(stored) => Some(stored == md5),
            Self::EntityTag(stored) => (stored == md5).then_some(true),
        }
    }

    /// Returns whether two objects have equal content. `None` if that is not known.
    fn equals(self, other: Self) -> Option<bool> {
        match (self, other) {
            (this, Self::OfContent(md5)) | (Self::OfContent(md5), this) => this.is(md5),
            (this, Self::EntityTag(md5)) => this.is(md5),
        }
    }
}

impl Object {
    /// Returns the object without what a client has claimed of its content.
    pub(crate) fn without_claims(self) -> Self {
        Self { sha256: self.checksum, ..self }
    }

    /// Returns the object, or an error if its size is above the limit.
    pub(crate) fn bounded(self) -> Result<Self, ErrorKind> {
        if self.size > SIZE_MAX {
            let detail = format!("a size of {} bytes, and objects have up to 5 TiB", self.size);
            return Err(ErrorKind::Unreadable(detail));
        }
        Ok(self)
    }

    /// Returns whether the content has the hash `sha256`; `None` if that cannot be known without reading the content.
    ///
    /// `hashes` are the hashes of content that was read elsewhere. The object is compared with that content.
    pub fn is(&self, sha256: &Sha256, hashes: Option<&Hashes>) -> Option<bool> {
        if let Some(known) = &self.sha256 {
            return Some(known == sha256);
        }
        let hashes = hashes?;
        if hashes.size != self.size {
            // Different sizes prove only that the object does not have the content that was read.
            return (hashes.sha256 == *sha256).then_some(false);
        }
        let by_md5 = self.md5.zip(hashes.md5).and_then(|(ours, read)| ours.is(read));
        let by_crc32c = self.crc32c.map(|crc32c| crc32c == hashes.crc32c);
        let same = match (by_md5, by_crc32c) {
            (None, None) => return None,
            (md5, crc32c) => md5.unwrap_or(true) && crc32c.unwrap_or(true),
        };
        match (same, hashes.sha256 == *sha256) {
            (true, is_wanted) => Some(is_wanted),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    /// Returns whether both objects may have the same content: the sizes are equal, at least one hash is equal, and none differs.
    pub fn resembles(&self, other: &Self) -> bool {
        let md5 = self.md5.zip(other.md5).and_then(|(a, b)| a.equals(b));
        let crc32c = self.crc32c.zip(other.crc32c).map(|(a, b)| a == b);
        self.size == other.size
            && (md5.is_some() || crc32c.is_some())
            && md5 != Some(false)
            && crc32c != Some(false)
    }
}

/// The metadata of an object that is copied with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// Custom metadata, by lower-case name.
    pub custom: BTreeMap<String, String>,
}

impl Attributes {
    /// Returns the approximate size of the metadata in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let Self {
            content_type,
            content_encoding,
            content_language,
            content_disposition,
            cache_control,
            custom,
        } = self;
        let fields = [content_type, content_encoding, content_language, content_disposition, cache_control];
        let fields = fields.into_iter().flatten().map(String::capacity);
        let custom_texts = custom.iter().map(|(name, value)| name.capacity() + value.capacity());
        // A map allocates memory for several entries at once.
        let map = if custom.is_empty() { 0 } else { 600 * custom.len().div_ceil(6) };
        size_of::<Self>() + fields.sum::<usize>() + custom_texts.sum::<usize>() + map
    }

    /// Returns the attributes of a promoted object: the attributes of the source, with the hash. If the source has no content
    /// type, it is derived from the file's name.
    pub fn promoted(&self, name: &str, sha256: &Sha256) -> Self {
        let mut attributes = self.clone();
        if attributes.content_type.as_deref().is_none_or(|known| known.is_empty() || is_default(known)) {
            let by_name = content_type(name).map(str::to_owned);
            attributes.content_type = by_name.or(attributes.content_type);
        }
        attributes.custom.insert(SHA256_METADATA.to_owned(), sha256.to_string());
        attributes
    }
}

/// Returns whether a content type is the default that S3 reports for objects without one.
fn is_default(content_type: &str) -> bool {
    content_type == "binary/octet-stream"
}

/// Returns the content type for the extension of a file's name. Covers the files of releases.
fn content_type(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "txt" | "log" | "sha1" | "sha256" | "sha512" | "sha256sum" | "sha512sum" | "md5" => {
            "text/plain; charset=utf-8"
        }
        "md" => "text/markdown; charset=utf-8",
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "json" | "sbom" | "sigstore" | "intoto" => "application/json",
        "jsonl" => "application/jsonl",
        "yaml" | "yml" => "application/yaml",
        "xml" => "application/xml",
        "pem" | "crt" | "cert" => "application/x-pem-file",
        "asc" | "sig" => "application/pgp-signature",
        "gz" | "tgz" => "application/gzip",
        "zst" => "application/zstd",
        "xz" | "txz" => "application/x-xz",
        "bz2" => "application/x-bzip2",
        "tar" => "application/x-tar",
        "zip" => "application/zip",
        "deb" => "application/vnd.debian.binary-package",
        "rpm" => "application/x-rpm",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hasher;

    fn hashes(content: &[u8]) -> Hashes {
        let mut hasher = Hasher::with_md5();
        hasher.update(content);
        hasher.finish()
    }

    fn object(content: &[u8]) -> Object {
        let Hashes { size, md5, crc32c, .. } = hashes(content);
        Object { size, md5: md5.map(StoredMd5::OfContent), crc32c: Some(crc32c), ..Object::default() }
    }

    #[test]
    fn content_is_identified_by_metadata_or_by_the_hashes_of_content_that_was_read() {
        let (a, b) = (hashes(b"aaaa"), hashes(b"bbbb"));
        let tagged = Object { sha256: Some(a.sha256), ..object(b"xxxx") };
        assert_eq!(tagged.is(&a.sha256, None), Some(true));
        assert_eq!(tagged.is(&b.sha256, None), Some(false));
        assert_eq!(object(b"aaaa").is(&a.sha256, None), None, "nothing was read");
        assert_eq!(object(b"aaaa").is(&a.sha256, Some(&a)), Some(true));
        assert_eq!(object(b"bbbb").is(&a.sha256, Some(&a)), Some(false));
        assert_eq!(
            object(b"aaaa").is(&a.sha256, Some(&b)),
            None,
            "the object differs from what was read, so it may have the wanted content"
        );
        assert_eq!(
            object(b"bbbb").is(&a.sha256, Some(&b)),
            Some(false),
            "the object equals what was read, which is not the wanted content"
        );
        let bare = Object { size: 4, ..Object::default() };
        assert_eq!(bare.is(&a.sha256, Some(&a)), None, "equal sizes alone prove nothing");
        assert_eq!(Object { size: 5, ..bare }.is(&a.sha256, Some(&a)), Some(false));
        let composite = Object { md5: None, ..object(b"aaaa") };
        assert_eq!(composite.is(&a.sha256, Some(&a)), Some(true), "composite objects have a CRC32C");
    }

    /// S3 makes the entity tag of an encrypted object from something else.
    #[test]
    fn an_entity_tag_proves_that_content_is_equal_and_never_that_it_differs() {
        let (a, b) = (hashes(b"aaaa"), hashes(b"bbbb"));
        let listed = |of: &Hashes| Object {
            size: of.size,
            md5: of.md5.map(StoredMd5::EntityTag),
            ..Object::default()
        };
        assert_eq!(listed(&a).is(&a.sha256, Some(&a)), Some(true));
        assert_eq!(listed(&b).is(&a.sha256, Some(&b)), Some(false), "it equals other content that was read");
        assert_eq!(listed(&b).is(&a.sha256, Some(&a)), None);
        assert!(listed(&a).resembles(&listed(&a)) && listed(&a).resembles(&object(b"aaaa")));
        assert!(!listed(&a).resembles(&listed(&b)) && !object(b"bbbb").resembles(&listed(&a)));
    }

    #[test]
    fn objects_of_equal_size_do_not_resemble_each_other_without_an_equal_hash() {
        let (one, other) = (Object { md5: None, ..object(b"aaaa") }, Object { md5: None, ..object(b"bbbb") });
        assert!(!one.resembles(&other) && one.resembles(&one));
        let bare = Object { size: 4, ..Object::default() };
        assert!(!bare.resembles(&bare));
    }

    #[test]
    fn metadata_is_kept_and_a_missing_content_type_is_derived_from_the_name() {
        let sha256 = hashes(b"").sha256;
        let type_of = |known: Option<&str>, name: &str| {
            let attributes = Attributes { content_type: known.map(str::to_owned), ..Attributes::default() };
            attributes.promoted(name, &sha256).content_type
        };
        assert_eq!(type_of(Some("text/x"), "a.json").as_deref(), Some("text/x"));
        assert_eq!(type_of(None, "v1.0/a.JSON").as_deref(), Some("application/json"));
        assert_eq!(type_of(Some("binary/octet-stream"), "t.tgz").as_deref(), Some("application/gzip"));
        assert_eq!(
            type_of(Some("application/octet-stream"), "t.tgz").as_deref(),
            Some("application/octet-stream")
        );
        assert_eq!(type_of(None, "v1.0/tool"), None);
        let attributes =
            Attributes { custom: [("k".to_owned(), "v".to_owned())].into(), ..Attributes::default() };
        let promoted = attributes.promoted("a", &sha256);
        assert_eq!(promoted.custom.len(), 2);
        assert_eq!(promoted.custom[SHA256_METADATA], sha256.to_string());
    }
}
