//! A timestamp authority and a log of this process, which pass a verified time on to the verification library.
//!
//! The library accepts no time that is ahead of the local clock, requires each time to be within the certificate's validity, and
//! rejects a bundle with a timestamp of an unknown authority. Specification 02 (*Time*) differs in all three points. Therefore
//! [`super::times`] verifies the times, and the library gets a copy of the bundle in which one verified time replaces all
//! others, as a timestamp by this authority. The authority's key is made for one [`super::Verifier`] and never leaves the
//! process. The library verifies everything else unchanged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sigstore_crypto::KeyPair;
use sigstore_types::bundle::{InclusionPromise, LogId, Rfc3161Timestamp, TimestampVerificationData};
use sigstore_types::{Bundle, DerPublicKey, LogKeyId, SignedTimestamp, TimestampToken, TransparencyLogEntry};

use super::times::promised;
use crate::der::{SET, identifier, sequence, value};
use crate::error::{Rejection, TrustError, bounded};

const ECDSA_WITH_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const SHA256: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
const TIME_STAMPING: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const CONTENT_TYPE: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const TIMESTAMP_INFO: [u8; 11] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
/// The policy that a timestamp must name. Its value is not used.
const POLICY: [u8; 3] = [0x2a, 0x03, 0x04];
/// The serial number of the certificate and of all timestamps.
const SERIAL: [u8; 3] = [0x02, 0x01, 0x01];

/// The timestamp authority and log of this process.
pub(crate) struct OwnAuthority {
    key: KeyPair,
    public: DerPublicKey,
}

impl OwnAuthority {
    /// Creates an authority with a new key.
    pub(crate) fn new() -> Result<Self, TrustError> {
        let fault = |error: sigstore_crypto::Error| TrustError::unusable("the trusted root", error);
        let key = KeyPair::generate_ecdsa_p256().map_err(fault)?;
        let public = key.public_key_der().map_err(fault)?;
        Ok(Self { key, public })
    }

    /// Returns a `trusted_root.json` with this authority and this log added.
    pub(crate) fn added_to(&self, root: &[u8]) -> Result<Vec<u8>, TrustError> {
        let unusable = |error: &dyn std::fmt::Display| TrustError::unusable("the trusted root", error);
        let mut root: Value = serde_json::from_slice(root).map_err(|error| unusable(&error))?;
        let certificate = self.certificate().map_err(|error| unusable(&error))?;
        add(
            &mut root["timestampAuthorities"],
            json!({
                "uri": "", "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(certificate) }] },
            }),
        );
        add(
            &mut root["tlogs"],
            json!({
                "baseUrl": "", "hashAlgorithm": "SHA2_256", "logId": { "keyId": STANDARD.encode(self.id()) },
                "publicKey": { "rawBytes": self.public.to_base64(), "keyDetails": "PKIX_ECDSA_P256_SHA_256" },
            }),
        );
        Ok(root.to_string().into_bytes())
    }

    /// Returns the copy of a bundle for the library, in which one verified time replaces all times. Promises of logs contain
    /// times too, so this log replaces each of them by one without a time.
    pub(super) fn rewritten(
        &self,
        bundle: &Bundle,
        signature: &[u8],
        time: Option<Timestamp>,
    ) -> Result<Bundle, Rejection> {
        let fault = |error: sigstore_crypto::Error| Rejection::Invalid(bounded(&error.to_string()));
        let mut rewritten = bundle.clone();
        for entry in &mut rewritten.verification_material.tlog_entries {
            entry.integrated_time = None;
            if entry.inclusion_promise.is_some() {
                entry.log_id = LogId::new(LogKeyId::new(self.id().to_vec()));
                entry.inclusion_promise = Some(self.promise(entry).map_err(fault)?);
            }
        }
        let digest = sigstore_crypto::sha256(signature);
        let stamps = time.map(|time| self.stamp(digest.as_bytes(), time)).transpose().map_err(fault)?;
        let stamps = stamps.into_iter().map(|stamp| Rfc3161Timestamp::new(TimestampToken::new(stamp)));
        rewritten.verification_material.timestamp_verification_data =
            TimestampVerificationData::new(stamps.collect());
        Ok(rewritten)
    }

    /// Returns the identifier of the log.
    pub(crate) fn id(&self) -> [u8; 32] {
        *sigstore_crypto::sha256(self.public.as_bytes()).as_bytes()
    }

    pub(crate) fn promise(
        &self,
        entry: &TransparencyLogEntry,
    ) -> Result<InclusionPromise, sigstore_crypto::Error> {
        let promise = self.key.sign(promised(entry).as_bytes())?;
        Ok(InclusionPromise::new(SignedTimestamp::new(promise.as_bytes().to_vec())))
    }

    /// Returns the authority's self-signed certificate (RFC 5280; RFC 3161, 2.3).
    fn certificate(&self) -> Result<Vec<u8>, sigstore_crypto::Error> {
        let algorithm = sequence(&[&identifier(&ECDSA_WITH_SHA256)]);
        let validity = sequence(&[&value(0x17, &[b"700101000000Z"]), &value(0x18, &[b"99991231235959Z"])]);
        let purpose = sequence(&[&identifier(&TIME_STAMPING)]);
        let is_critical = [0x01, 0x01, 0xff];
        let usage = sequence(&[&identifier(&EXTENDED_KEY_USAGE), &is_critical, &value(0x04, &[&purpose])]);
        let content = sequence(&[
            &value(0xa0, &[&[0x02, 0x01, 0x02]]),
            &SERIAL,
            &algorithm,
            &name(),
            &validity,
            &name(),
            self.public.as_bytes(),
            &value(0xa3, &[&sequence(&[&usage])]),
        ]);
        let signature = self.key.sign(&content)?;
        Ok(sequence(&[&content, &algorithm, &value(0x03, &[&[0], signature.as_bytes()])]))
    }

    /// Issues a timestamp over bytes with this SHA-256 digest (RFC 3161, 2.4.2; RFC 5652, section 5).
    pub(crate) fn stamp(&self, sha256: &[u8], time: Timestamp) -> Result<Vec<u8>, sigstore_crypto::Error> {
        let algorithm = sequence(&[&identifier(&SHA256)]);
        let said = time.strftime("%Y%m%d%H%M%SZ").to_string();
        let info = sequence(&[
            &[0x02, 0x01, 0x01],
            &identifier(&POLICY),
            &sequence(&[&algorithm, &value(0x04, &[sha256])]),
            &SERIAL,
            &value(0x18, &[said.as_bytes()]),
        ]);
        let attribute = |kind: &[u8], content: &[u8]| sequence(&[&identifier(kind), &value(SET, &[content])]);
        let attributes = [
            attribute(&CONTENT_TYPE, &identifier(&TIMESTAMP_INFO)),
            attribute(&MESSAGE_DIGEST, &value(0x04, &[sigstore_crypto::sha256(&info).as_bytes()])),
        ]
        .concat();
        let signature = self.key.sign(&value(SET, &[&attributes]))?;
        let signer = sequence(&[
            &[0x02, 0x01, 0x01],
            &sequence(&[&name(), &SERIAL]),
            &algorithm,
            &value(0xa0, &[&attributes]),
            &sequence(&[&identifier(&ECDSA_WITH_SHA256)]),
            &value(0x04, &[signature.as_bytes()]),
        ]);
        let content = sequence(&[&identifier(&TIMESTAMP_INFO), &value(0xa0, &[&value(0x04, &[&info])])]);
        let signed =
            sequence(&[&[0x02, 0x01, 0x03], &value(SET, &[&algorithm]), &content, &value(SET, &[&signer])]);
        Ok(sequence(&[&identifier(&SIGNED_DATA), &value(0xa0, &[&signed])]))
    }
}

/// Returns the authority's name.
fn name() -> Vec<u8> {
    let name = sequence(&[&identifier(&COMMON_NAME), &value(0x0c, &[b"a time that kpromo has verified"])]);
    sequence(&[&value(SET, &[&name])])
}

/// Appends an item to a list, which may be absent.
fn add(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = Value::Array(vec![item]),
    }
}
