//! The Sigstore of the tests, and signers that use it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use manifest::policy::SignerPattern;
use serde_json::Value;
use sigstore::{
    Identity, RekorVersion, Services, Signatory, Signer, SigningKey, Sources, Statement, Verifier,
};
use testkit::{Issuer, Rekor, Sigstore};
use transport::{Door, HostSettings, Retry, Secret, Settings, Timeouts};
use url::Url;

/// The default identity.
pub(crate) const SIGNER: &str = "promoter@example.com";
pub(crate) const PREDICATE: &str = "https://example.com/predicate/v1";

pub(crate) fn sigstore() -> &'static Sigstore {
    Sigstore::shared()
}

/// The default issuer.
pub(crate) fn issuer() -> &'static str {
    sigstore().issuer(Issuer::Usual)
}

/// A door with three attempts and short pauses. Its patience is too short for the retries of a signer.
pub(crate) fn door() -> Door {
    let retry = Retry { attempts: 3, first_pause: Duration::from_millis(5), ..Retry::default() };
    Door::open(Settings { retry, other_hosts: impatient(), ..Settings::default() }).unwrap()
}

fn impatient() -> HostSettings {
    HostSettings { patience: Duration::from_millis(900), ..HostSettings::default() }
}

/// A door with one attempt and a short timeout that still tolerates a busy machine.
pub(crate) fn impatient_door() -> Door {
    let retry = Retry { attempts: 1, ..Retry::default() };
    let short = Duration::from_secs(3);
    let timeouts = Timeouts { answer: short, idle: short, ..Timeouts::default() };
    Door::open(Settings { retry, timeouts, other_hosts: impatient(), ..Settings::default() }).unwrap()
}

/// The trusted root of the tests' Sigstore.
pub(crate) fn root() -> Vec<u8> {
    fs::read(sigstore().trusted_root()).unwrap()
}

/// The trusted root with a change.
pub(crate) fn root_with(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(&root()).unwrap();
    change(&mut root);
    root.to_string().into_bytes()
}

/// The entry of this log in a trusted root. `cosign trusted-root create` writes the logs in any order, so a test must not
/// depend on their position.
pub(crate) fn log_of(root: &mut Value, rekor: Rekor) -> &mut Value {
    let url = sigstore().rekor(rekor);
    let mut logs = root["tlogs"].as_array_mut().unwrap().iter_mut();
    logs.find(|log| log["baseUrl"] == url).expect("the trusted root contains each log")
}

pub(crate) fn verifier() -> Arc<Verifier> {
    Arc::new(Verifier::with_root(&root()).unwrap())
}

pub(crate) fn verifier_with(change: impl FnOnce(&mut Value)) -> Arc<Verifier> {
    Arc::new(Verifier::with_root(&root_with(change)).unwrap())
}

/// Fulcio, this log, and the timestamp authority.
pub(crate) fn services(rekor: Rekor) -> Services {
    let url = |text: &str| Url::parse(text).unwrap();
    let version = match rekor {
        Rekor::V1 => RekorVersion::V1,
        Rekor::V2 => RekorVersion::V2,
    };
    Services {
        fulcio: Some(url(sigstore().fulcio())),
        rekor: vec![(url(sigstore().rekor(rekor)), version)],
        timestamp_authorities: vec![url(sigstore().timestamps())],
    }
}

pub(crate) fn identity(email: &str) -> Identity {
    identity_of(&sigstore().token(email))
}

pub(crate) fn identity_of(token: &str) -> Identity {
    let sources = Sources { value: Some(Secret::new(token)), ..Sources::default() };
    Identity::new(sources, door())
}

/// A signer with the usual identity.
pub(crate) fn signer(rekor: Rekor) -> Signer {
    signer_at(services(rekor), verifier())
}

pub(crate) fn signer_at(services: Services, verifier: Arc<Verifier>) -> Signer {
    Signer::with_identity(door(), identity(SIGNER), services, verifier)
}

/// A signer with a new key that logs its signatures; also returns the key.
pub(crate) fn key_signer(rekor: Rekor) -> (Signer, sigstore::VerificationKey) {
    let key = SigningKey::generate().unwrap();
    let public = key.verification_key();
    (Signer::with_key(door(), key, services(rekor), Some(&root())).unwrap(), public)
}

pub(crate) fn usual_signatory() -> Signatory {
    Signatory::Certificate { issuer: issuer().to_owned(), subject: SIGNER.to_owned() }
}

pub(crate) fn pattern(issuer: &str, subject: &str) -> SignerPattern {
    format!("sigstore::{issuer}::{subject}").parse().unwrap()
}

/// The SHA-256 digest of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    oci::Digest::of(bytes).hex()
}

/// A statement about bytes.
pub(crate) fn statement(about: &[u8]) -> Statement {
    Statement::about("artifact", &sha256(about), PREDICATE, serde_json::json!({ "by": "us" }))
}
