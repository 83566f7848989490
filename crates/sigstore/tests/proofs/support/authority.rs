//! Certificate authorities for certificates that Fulcio would not issue: the authority of the tests' Sigstore, whose key is in
//! its directory, and unknown authorities with the same name.

use std::fs;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::der::{identifier, parts, sequence, time, value};
use super::server::{Answer, Request, Server};
use super::stack::{SIGNER, issuer, sigstore};

const ECDSA_WITH_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
const CODE_SIGNING: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
/// Fulcio's *Issuer (V2)*: 1.3.6.1.4.1.57264.1.8.
const FULCIO_ISSUER: [u8; 10] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x08];

/// The content of a certificate, without a timestamp of a certificate log.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) email: String,
    pub(crate) issuer: String,
    /// The start of its validity, relative to now.
    pub(crate) from: SignedDuration,
    /// The end of its validity, relative to now.
    pub(crate) until: SignedDuration,
}

impl Default for Wanted {
    /// As issued by Fulcio: for the usual signer, valid for ten minutes from now.
    fn default() -> Self {
        let (from, until) = (SignedDuration::from_secs(-1), SignedDuration::from_mins(10));
        Self { email: SIGNER.to_owned(), issuer: issuer().to_owned(), from, until }
    }
}

impl Wanted {
    pub(crate) fn good_for(until: SignedDuration) -> Self {
        Self { until, from: until - SignedDuration::from_mins(10), ..Self::default() }
    }
}

/// An authority.
pub(crate) struct Authority {
    key: EcdsaKeyPair,
    /// Its own certificate.
    certificate: Vec<u8>,
}

impl Authority {
    /// The authority that the tests' Sigstore trusts.
    pub(crate) fn trusted() -> Self {
        let key = pem(&fs::read_to_string(sigstore().directory().join("ca.plain")).unwrap());
        let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &key).unwrap();
        let certificate = pem(&fs::read_to_string(sigstore().certificate_authority()).unwrap());
        Self { key, certificate }
    }

    /// Another authority with the same name.
    pub(crate) fn stranger() -> Self {
        Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(), ..Self::trusted() }
    }

    /// A certificate for a key (*SubjectPublicKeyInfo*), as DER.
    pub(crate) fn issue(&self, key: &[u8], wanted: &Wanted) -> Vec<u8> {
        let now = Timestamp::now();
        let own = parts(parts(&self.certificate)[0]);
        let algorithm = sequence(&[&identifier(&ECDSA_WITH_SHA256)]);
        let validity = sequence(&[&time(now + wanted.from), &time(now + wanted.until)]);
        let version = value(0xa0, &[&value(0x02, &[&[2]])]);
        let serial = value(0x02, &[&now.as_nanosecond().to_be_bytes()[8..]]);
        let extensions = value(0xa3, &[&extensions(wanted)]);
        // The subject is the sixth part of its own certificate.
        let content =
            sequence(&[&version, &serial, &algorithm, own[5], &validity, &sequence(&[]), key, &extensions]);
        let signature = self.key.sign(&SystemRandom::new(), &content).unwrap();
        sequence(&[&content, &algorithm, &value(0x03, &[&[0], signature.as_ref()])])
    }

    /// Starts a Fulcio of this authority, which issues these certificates in turn and then repeats the last one.
    pub(crate) fn serve(self, wanted: Vec<Wanted>) -> Server {
        let issued = std::sync::atomic::AtomicUsize::new(0);
        Server::start(move |asked| {
            let number = issued.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let wanted = &wanted[number.min(wanted.len() - 1)];
            answer([self.issue(&key_of(asked), wanted), self.certificate.clone()])
        })
    }
}

/// The key in a certificate request.
pub(crate) fn key_of(asked: &Request) -> Vec<u8> {
    pem(asked.json()["publicKeyRequest"]["publicKey"]["content"].as_str().unwrap())
}

/// The answer of Fulcio.
pub(crate) fn answer(chain: impl IntoIterator<Item = Vec<u8>>) -> Answer {
    let chain: Vec<_> = chain.into_iter().map(|der| to_pem("CERTIFICATE", &der)).collect();
    Answer::ok(json!({ "signedCertificateEmbeddedSct": { "chain": { "certificates": chain } } }).to_string())
}

fn extensions(wanted: &Wanted) -> Vec<u8> {
    let extension = |name: &[u8], content: &[u8]| sequence(&[&identifier(name), &value(0x04, &[content])]);
    let name = value(0x81, &[wanted.email.as_bytes()]);
    sequence(&[
        // Digital signature.
        &extension(&KEY_USAGE, &value(0x03, &[&[7, 0x80]])),
        &extension(&EXTENDED_KEY_USAGE, &sequence(&[&identifier(&CODE_SIGNING)])),
        &extension(&SUBJECT_ALT_NAME, &sequence(&[&name])),
        &extension(&FULCIO_ISSUER, &value(0x0c, &[wanted.issuer.as_bytes()])),
    ])
}

/// The content of a PEM text.
pub(crate) fn pem(text: &str) -> Vec<u8> {
    let content: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(content).unwrap()
}

pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
