//! Signatures that our tools would not make: with any certificate, with or without a timestamp, and with promises of a log of the
//! test.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sigstore::STATEMENT_TYPE;
use testkit::Rekor;

use super::authority::{Authority, Wanted, to_pem};
use super::bundle::Good;
use super::der::{identifier, sequence, value};
use super::server::{body, forward};
use super::stack::{log_of, root_with, sha256, sigstore, statement};

const SHA256: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

/// A key.
pub(crate) struct Key(EcdsaKeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// Returns its public key, as *SubjectPublicKeyInfo*.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_owned()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_owned()
    }
}

/// Removes the logs from a trusted root, so that only its authorities are trusted.
pub(crate) fn without_logs(root: &mut Value) {
    root["tlogs"] = json!([]);
    root["ctlogs"] = json!([]);
}

/// A timestamp over bytes by the authority of the tests' Sigstore, as DER (RFC 3161).
pub(crate) fn stamp(message: &[u8]) -> Vec<u8> {
    let digest = STANDARD.decode(base64_digest(message)).unwrap();
    let algorithm = sequence(&[&identifier(&SHA256), &[0x05, 0x00]]);
    let imprint = sequence(&[&algorithm, &value(0x04, &[&digest])]);
    let query = sequence(&[&value(0x02, &[&[1]]), &imprint, &[0x01, 0x01, 0xff]]);
    let url = sigstore().timestamps().parse().unwrap();
    let asked = super::server::Request::new("POST ", "application/timestamp-query", query);
    body(&forward(&url, &asked)).to_owned()
}

fn base64_digest(message: &[u8]) -> String {
    STANDARD.encode(hex::decode(sha256(message)).unwrap())
}

/// A signed message with a certificate of an authority, with or without a timestamp, and not logged.
pub(crate) fn message(authority: &Authority, wanted: &Wanted, is_stamped: bool) -> Good {
    let (key, artifact) = (Key::new(), b"made by hand".as_slice());
    let (certificate, signature) = (authority.issue(&key.public(), wanted), key.sign(artifact));
    let stamps = is_stamped.then(|| json!({ "signedTimestamp": STANDARD.encode(stamp(&signature)) }));
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": { "rawBytes": STANDARD.encode(certificate) },
            "timestampVerificationData": { "rfc3161Timestamps": stamps.into_iter().collect::<Vec<_>>() },
        },
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": base64_digest(artifact) },
            "signature": STANDARD.encode(signature),
        },
    });
    Good { bundle, artifact: artifact.to_owned() }
}

/// A transparency log of the test that makes a promise for any entry.
pub(crate) struct Log(Key);

impl Log {
    pub(crate) fn new() -> Self {
        Self(Key::new())
    }

    /// The trusted root with this log and without certificate logs.
    pub(crate) fn root(&self) -> Vec<u8> {
        root_with(|root| {
            root["ctlogs"] = json!([]);
            let log = log_of(root, Rekor::V1);
            log["publicKey"]["rawBytes"] = STANDARD.encode(self.0.public()).into();
            log["logId"]["keyId"] = base64_digest(&self.0.public()).into();
        })
    }

    /// A promise in the form of cosign's annotation: the entry was integrated at this time.
    fn promise(&self, entry: &Value, at: Timestamp) -> String {
        let (body, time) = (STANDARD.encode(entry.to_string()), at.as_second());
        let id = sha256(&self.0.public());
        // The content that a log signs: sorted by name, without spaces (RFC 8785).
        let signed = format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":1}}"#);
        let promise = STANDARD.encode(self.0.sign(signed.as_bytes()));
        let payload: Value = serde_json::from_str(&signed).unwrap();
        json!({ "SignedEntryTimestamp": promise, "Payload": payload }).to_string()
    }
}

/// A handmade layer of a `.att` manifest: a statement about [`Attestation::ARTIFACT`].
pub(crate) struct Attestation {
    pub(crate) envelope: Vec<u8>,
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

impl Attestation {
    pub(crate) const ARTIFACT: &[u8] = b"attested by hand";

    /// Creates a layer with this certificate and the log's promise for this time.
    pub(crate) fn new(log: &Log, wanted: &Wanted, at: Timestamp) -> Self {
        let key = Key::new();
        let certificate = to_pem("CERTIFICATE", &Authority::trusted().issue(&key.public(), wanted));
        let payload = statement(Self::ARTIFACT).to_json();
        let head = format!("DSSEv1 {} {STATEMENT_TYPE} {} ", STATEMENT_TYPE.len(), payload.len());
        let signature = STANDARD.encode(key.sign(&[head.as_bytes(), &payload].concat()));
        let envelope = json!({
            "payloadType": STATEMENT_TYPE, "payload": STANDARD.encode(&payload),
            "signatures": [{ "keyid": "", "sig": signature }],
        })
        .to_string();
        let hash = |bytes: &[u8]| json!({ "algorithm": "sha256", "value": sha256(bytes) });
        let entry = json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": hash(envelope.as_bytes()), "payloadHash": hash(&payload),
            "signatures": [{ "signature": signature, "verifier": STANDARD.encode(&certificate) }],
        } });
        let annotations = [
            ("dev.sigstore.cosign/certificate", certificate),
            ("dev.sigstore.cosign/bundle", log.promise(&entry, at)),
        ];
        let annotations = annotations.map(|(name, text)| (name.to_owned(), text)).into();
        Self { envelope: envelope.into_bytes(), annotations }
    }

    /// Creates the same layer with a timestamp over these bytes.
    pub(crate) fn stamped_over(mut self, bytes: &[u8]) -> Self {
        let stamp = json!({ "SignedRFC3161Timestamp": STANDARD.encode(stamp(bytes)) });
        self.annotations.insert("dev.sigstore.cosign/rfc3161timestamp".to_owned(), stamp.to_string());
        self
    }
}
