//! Checks that the answers to writes prove the write. A successful status does not suffice: the answer may come from a proxy, such
//! as a login page, and S3 reports failures of a completion with status 200.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::files::Sha256;
use sha2::Digest as _;
use transport::Answer;

use super::super::store::Written;
use super::wire::{element, refusal, text};
use crate::error::ErrorKind;

/// The header with the SHA-256 of what was stored.
const CHECKSUM: &str = "x-amz-checksum-sha256";

/// A part of an upload that the store has.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The entity tag.
    pub(super) etag: String,
    /// The SHA-256.
    pub(super) sha256: [u8; 32],
}

/// Checks the answer to `PutObject`. It must have the SHA-256 of the content, or the MD5 as entity tag: S3 returns the hash that was
/// sent, and stores that do not know SHA-256 return the MD5 of what they have stored.
pub(super) fn put(answer: &Answer, content: &[u8], sha256: &Sha256) -> Result<Written, ErrorKind> {
    let version = stored(answer, sha256.as_bytes())?;
    let is_md5 = || version.trim_matches('"') == format!("{:032x}", u128::from_be_bytes(md5(content)));
    if answer.header(CHECKSUM).is_some() || is_md5() {
        Ok(Written { version })
    } else {
        Err(unproven(answer))
    }
}

fn md5(content: &[u8]) -> [u8; 16] {
    md5::Md5::digest(content).into()
}

/// Checks the answer to `UploadPart`.
pub(super) fn part(answer: &Answer, sha256: [u8; 32]) -> Result<Part, ErrorKind> {
    let etag = stored(answer, &sha256)?;
    Ok(Part { etag, sha256 })
}

/// Returns the entity tag of stored content. The answer must have one, must have no body, and must not contradict the hash.
fn stored(answer: &Answer, sha256: &[u8; 32]) -> Result<String, ErrorKind> {
    if let Some(checksum) = answer.header(CHECKSUM)
        && checksum != STANDARD.encode(sha256)
    {
        return Err(contradiction(checksum, &STANDARD.encode(sha256)));
    }
    let etag = answer.header("etag").filter(|etag| !etag.is_empty());
    match etag {
        Some(etag) if answer.body().trim_ascii().is_empty() => Ok(etag.to_owned()),
        _ => Err(unproven(answer)),
    }
}

/// Checks the answer to `CompleteMultipartUpload` for a key. It must have the SHA-256 of the parts or of the content. It may begin with
/// white space, which keeps the connection alive.
pub(super) fn completion(
    answer: &Answer,
    key: &str,
    parts: &[Part],
    whole: &Sha256,
) -> Result<Written, ErrorKind> {
    let body = text(answer.body()).unwrap_or_default();
    let is_for_key = element(body, "Key").is_some_and(|found| found == key);
    if !body.contains("<CompleteMultipartUploadResult") || !is_for_key {
        return Err(unproven(answer));
    }
    let checksum = element(body, "ChecksumSHA256").unwrap_or_default();
    // S3 returns a hash of the hashes, with or without the number of parts; some stores return the hash of the content.
    let composite = STANDARD.encode(composite(parts));
    let found = checksum.split_once('-').map_or(checksum.as_str(), |(hash, _)| hash);
    if found.is_empty() {
        return Err(unproven(answer));
    }
    if found != composite && found != STANDARD.encode(whole.as_bytes()) {
        return Err(contradiction(&checksum, &composite));
    }
    match element(body, "ETag") {
        Some(version) if !version.is_empty() => Ok(Written { version }),
        _ => Err(unproven(answer)),
    }
}

/// Returns the composite checksum of a multipart upload: the hash of the hashes of the parts.
fn composite(parts: &[Part]) -> [u8; 32] {
    let mut hasher = sha2::Sha256::new();
    parts.iter().for_each(|part| hasher.update(part.sha256));
    hasher.finalize().into()
}

fn contradiction(found: &str, sent: &str) -> ErrorKind {
    let found = oci_types::text::printable(found, 100);
    ErrorKind::Corrupted(format!(
        "the SHA-256 of what was sent is {sent} in base64, that of what is stored {found}"
    ))
}

fn unproven(answer: &Answer) -> ErrorKind {
    let words = refusal(answer).words(answer);
    let separator = if words.is_empty() { "" } else { ": " };
    ErrorKind::Unproven(format!("{}{separator}{words}", answer.status()))
}
