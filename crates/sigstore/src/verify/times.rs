//! Verified times of signatures (specification 02, *Time*).

use jiff::Timestamp;
use sigstore_types::{
    Bundle, KindVersion, Sha256Hash, SignatureBytes, TimestampToken, TransparencyLogEntry, TsaAuthority,
};

use super::certificate::Certificate;
use super::material::TrustedMaterial;
use crate::clocks::CLOCKS_APART;
use crate::der::{SEQUENCE, SET, Value};
use crate::error::{Rejection, bounded};

/// A timestamp that is not over the signature: the timestamp of a `.att` layer is over the envelope.
#[derive(Clone, Copy)]
pub(crate) struct ExtraTimestamp<'a> {
    pub(crate) token: &'a TimestampToken,
    pub(crate) message: &'a [u8],
}

/// Returns all verified times: of logs' promises, and of timestamps by authorities in the root. A timestamp by any other
/// authority is ignored.
///
/// # Errors
/// Returns an error if a promise, or a timestamp that names an authority of the root, does not verify.
pub(super) fn proven(
    trusted: &TrustedMaterial,
    bundle: &Bundle,
    signature: &[u8],
    extra: Option<ExtraTimestamp<'_>>,
    now: Timestamp,
) -> Result<Vec<Timestamp>, Rejection> {
    let material = &bundle.verification_material;
    let mut times = Vec::new();
    for entry in &material.tlog_entries {
        times.extend(promised_time(trusted, entry, now)?);
    }
    for stamp in &material.timestamp_verification_data.rfc3161_timestamps {
        times.extend(stamped(trusted, &stamp.signed_timestamp, signature)?);
    }
    if let Some(ExtraTimestamp { token, message }) = extra {
        times.extend(stamped(trusted, token, message)?);
    }
    Ok(times)
}

/// Returns the times that are at most [`CLOCKS_APART`] ahead of `now`.
///
/// # Errors
/// Returns an error if there are times and all of them are further ahead.
pub(super) fn not_ahead(times: &[Timestamp], now: Timestamp) -> Result<Vec<Timestamp>, Rejection> {
    let good: Vec<_> = times.iter().copied().filter(|time| check_clocks(*time, now).is_ok()).collect();
    match times.iter().min() {
        Some(earliest) if good.is_empty() => check_clocks(*earliest, now).map(|()| good),
        _ => Ok(good),
    }
}

/// Checks that a time of another clock is at most [`CLOCKS_APART`] ahead of the local one.
///
/// # Errors
/// Returns an error with the difference if the time is further ahead.
pub(crate) fn check_clocks(theirs: Timestamp, ours: Timestamp) -> Result<(), Rejection> {
    if theirs.duration_since(ours) > CLOCKS_APART { Err(Rejection::Clocks { theirs, ours }) } else { Ok(()) }
}

/// Returns the bytes that Rekor v1 signs as its promise to include an entry: JSON by RFC 8785.
pub(super) fn promised(entry: &TransparencyLogEntry) -> String {
    let body = entry.canonicalized_body.to_base64();
    let time = entry.integrated_time.map_or(0, Timestamp::as_second);
    let (log, index) = (hex::encode(entry.log_id.key_id.as_bytes()), entry.log_index.as_i64());
    format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{log}","logIndex":{index}}}"#)
}

/// Returns the integrated time of an entry, verified by the log's promise. Returns `None` if the entry has no promise, or if its
/// kind has no meaningful time.
fn promised_time(
    trusted: &TrustedMaterial,
    entry: &TransparencyLogEntry,
    now: Timestamp,
) -> Result<Option<Timestamp>, Rejection> {
    let Some(promise) = &entry.inclusion_promise else { return Ok(None) };
    let invalid = |why: &str| Rejection::Invalid(bounded(&format!("invalid inclusion promise: {why}")));
    let id = Sha256Hash::try_from(entry.log_id.key_id.as_bytes())
        .map_err(|error| Rejection::Malformed(bounded(&error.to_string())))?;
    let key = match entry.integrated_time {
        Some(time) => trusted.logs.key_at(&id, time),
        None => trusted.logs.key_started_by(&id, now),
    };
    let key = key.ok_or_else(|| invalid("the trusted root knows no such log at that time"))?;
    let signature = SignatureBytes::new(promise.signed_entry_timestamp.as_bytes().to_vec());
    key.verify(promised(entry), &signature).map_err(|error| invalid(&error.to_string()))?;
    let tells_time = matches!(
        entry.kind_version,
        KindVersion::HashedRekordV001 | KindVersion::DsseV001 | KindVersion::IntotoV002
    );
    Ok(entry.integrated_time.filter(|_| tells_time))
}

/// Returns the time of a timestamp over `message`, or `None` if its authority is not in the root.
///
/// # Errors
/// Returns an error if the timestamp names an authority of the root and does not verify, or if it cannot be read.
pub(super) fn stamped(
    trusted: &TrustedMaterial,
    token: &TimestampToken,
    message: &[u8],
) -> Result<Option<Timestamp>, Rejection> {
    let signature = SignatureBytes::from_bytes(message);
    let issuer = Issuer::of_token(token.as_bytes())
        .ok_or_else(|| Rejection::Malformed("the timestamp: it cannot be read".to_owned()))?;
    let mut claimed = None;
    for authority in &trusted.root.tsa_authorities() {
        match sigstore_verify::tsa::verify_timestamp_for_authority(token, &signature, authority) {
            Ok(time) => return Ok(Some(time)),
            Err(error) if issuer.is(authority) => claimed = Some(error.to_string()),
            Err(_) => {}
        }
    }
    match claimed {
        Some(why) => Err(Rejection::Invalid(bounded(&format!("the timestamp: {why}")))),
        None => {
            tracing::debug!("a timestamp of an authority that the trusted root does not know is ignored");
            Ok(None)
        }
    }
}

/// The issuer that a timestamp names (RFC 5652, 5.3, *SignerIdentifier*).
enum Issuer<'a> {
    /// The holder of the certificate of this issuer and serial number.
    Certificate { issuer: &'a [u8], serial: &'a [u8] },
    /// The holder of the key of this identifier.
    Key(&'a [u8]),
}

impl<'a> Issuer<'a> {
    fn of_token(token: &'a [u8]) -> Option<Self> {
        let parts = Value::only(token)?.parts()?;
        // An authority's answer begins with a status, a bare token with its type.
        let content = match parts.first()?.tag {
            SEQUENCE => parts.get(1)?.parts()?,
            _ => parts,
        };
        let signed = Value::only(content.get(1)?.content)?.parts()?;
        let signers = signed.last().filter(|last| last.tag == SET)?.parts()?;
        let identifier = *signers.first()?.parts()?.get(1)?;
        if identifier.tag != SEQUENCE {
            return Some(Self::Key(identifier.content));
        }
        match identifier.parts()?.as_slice() {
            [issuer, serial] => Some(Self::Certificate { issuer: issuer.whole, serial: serial.whole }),
            _ => None,
        }
    }

    /// Returns whether this is an authority of the root.
    fn is(&self, authority: &TsaAuthority) -> bool {
        let leaf = authority.leaf.as_bytes();
        match self {
            Self::Key(identifier) => {
                !identifier.is_empty() && leaf.windows(identifier.len()).any(|part| part == *identifier)
            }
            Self::Certificate { issuer, serial } => Certificate::read(leaf)
                .is_some_and(|known| (known.issuer, known.serial) == (*issuer, *serial)),
        }
    }
}
