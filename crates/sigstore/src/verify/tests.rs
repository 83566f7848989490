//! Times, clocks and unknown signers. The tests control what the authorities and logs state.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sigstore_crypto::KeyPair;
use sigstore_types::TransparencyLogEntry;

use super::*;
use crate::key::SigningKey;
use crate::testing::{Authority, ISSUER, SIGNER, now, pem, seconds, trusted_root};

const MESSAGE: &[u8] = b"message";

/// The authorities for identities and times.
struct World {
    authority: Authority,
    /// A timestamp authority that is also a log.
    clock: OwnAuthority,
}

/// The content of a bundle to create.
struct Wanted {
    /// The validity of the certificate, in seconds from now.
    good: (i64, i64),
    /// The time of the log entry, in seconds from now.
    logged: Option<i64>,
    stamps: Vec<Stamp>,
}

/// A timestamp of a bundle.
enum Stamp {
    /// Over the signature, this many seconds from now.
    At(i64),
    /// Over other bytes.
    Elsewhere,
    /// By an authority that is not in the root, over the signature or other bytes.
    Unknown {
        is_over_signature: bool,
    },
    Garbage,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { good: (-5, 595), logged: Some(0), stamps: Vec::new() }
    }
}

impl World {
    fn new() -> Self {
        Self { authority: Authority::new("the authority"), clock: OwnAuthority::new().unwrap() }
    }

    fn root(&self) -> Vec<u8> {
        trusted_root(&self.authority, Some(&self.clock)).to_string().into_bytes()
    }

    fn verifier(&self) -> Verifier {
        Verifier::with_root(&self.root()).unwrap()
    }

    /// Returns a verifier for a root without logs, in which the timestamp authority is the only source of times.
    fn verifier_without_logs(&self) -> Verifier {
        let mut root: Value = serde_json::from_slice(&self.root()).unwrap();
        root["tlogs"] = json!([]);
        Verifier::with_root(root.to_string().as_bytes()).unwrap()
    }

    /// Returns a signed message with a certificate from this issuer, which may be the authority, an intermediate or another one.
    fn bundle_by(&self, issuer: &Authority, wanted: &Wanted, now: Timestamp) -> Value {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        let (from, until) = (now + seconds(wanted.good.0), now + seconds(wanted.good.1));
        let certificate = issuer.issue(key.public_key_der().unwrap().as_bytes(), from, until);
        let signature = key.sign(MESSAGE).unwrap();
        let entries = wanted
            .logged
            .map(|at| self.entry(&signature, &pem("CERTIFICATE", &certificate), now + seconds(at)));
        let stamps = wanted.stamps.iter().map(|stamp| {
            json!({ "signedTimestamp": STANDARD.encode(self.stamp(stamp, signature.as_bytes(), now)) })
        });
        let chain =
            [&certificate, &issuer.certificate].map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
        // Version 0.1 requires a promise, version 0.2 does not.
        let version = if wanted.logged.is_some() { "0.1" } else { "0.2" };
        json!({
            "mediaType": format!("application/vnd.dev.sigstore.bundle+json;version={version}"),
            "verificationMaterial": {
                "x509CertificateChain": { "certificates": chain },
                "tlogEntries": entries.into_iter().collect::<Vec<_>>(),
                "timestampVerificationData": { "rfc3161Timestamps": stamps.collect::<Vec<_>>() },
            },
            "messageSignature": { "signature": signature.to_base64() },
        })
    }

    fn bundle(&self, wanted: &Wanted, now: Timestamp) -> Bundle {
        parse(self.bundle_by(&self.authority, wanted, now).to_string().as_bytes()).unwrap()
    }

    fn entry(&self, signature: &sigstore_types::SignatureBytes, verifier: &str, at: Timestamp) -> Value {
        let hash = json!({ "algorithm": "sha256", "value": sigstore_crypto::sha256(MESSAGE).to_hex() });
        let signed = json!({ "content": signature.to_base64(), "publicKey": { "content": STANDARD.encode(verifier) } });
        let body = json!({
            "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": { "data": { "hash": hash }, "signature": signed },
        });
        let mut entry = json!({
            "logIndex": "1", "logId": { "keyId": STANDARD.encode(self.clock.id()) },
            "kindVersion": { "kind": "hashedrekord", "version": "0.0.1" },
            "integratedTime": at.as_second().to_string(), "canonicalizedBody": STANDARD.encode(body.to_string()),
        });
        let parsed: TransparencyLogEntry = serde_json::from_value(entry.clone()).unwrap();
        let promise = self.clock.promise(&parsed).unwrap();
        entry["inclusionPromise"] = serde_json::to_value(promise).unwrap();
        entry
    }

    fn stamp(&self, stamp: &Stamp, signature: &[u8], now: Timestamp) -> Vec<u8> {
        let over = |is_over_signature: bool| {
            sigstore_crypto::sha256(if is_over_signature { signature } else { b"something else" })
        };
        let unknown = OwnAuthority::new().unwrap();
        match stamp {
            Stamp::At(at) => self.clock.stamp(over(true).as_bytes(), now + seconds(*at)).unwrap(),
            Stamp::Elsewhere => self.clock.stamp(over(false).as_bytes(), now).unwrap(),
            Stamp::Unknown { is_over_signature } => {
                let stamp = unknown.stamp(over(*is_over_signature).as_bytes(), now).unwrap();
                // The timestamp names another authority than the one in the root.
                renamed(stamp)
            }
            Stamp::Garbage => b"garbage".to_vec(),
        }
    }
}

/// Replaces the signer's name in a timestamp. The name is not part of the signed content.
fn renamed(mut stamp: Vec<u8>) -> Vec<u8> {
    let name = b"a time that kpromo";
    let places: Vec<_> = (0..stamp.len()).filter(|place| stamp[*place..].starts_with(name)).collect();
    assert!(!places.is_empty());
    for place in places {
        stamp[place] = b'A';
    }
    stamp
}

/// Returns the result of a verifier with the clock at `now` for a bundle over the message.
fn judged(verifier: &Verifier, bundle: &Bundle, now: Timestamp) -> Result<Option<Timestamp>, Rejection> {
    let artifact = Artifact::Blob(MESSAGE);
    let verified = verifier.check_input(Input { bundle, artifact: &artifact, extra: None, now })?;
    let signer = Signatory::Certificate { issuer: ISSUER.to_owned(), subject: SIGNER.to_owned() };
    assert_eq!(verified.signatory, signer);
    Ok(verified.signed_at)
}

#[test]
fn times_at_most_a_minute_ahead_of_the_local_clock_are_accepted() {
    let (world, now) = (World::new(), now());
    let (logs, stamps) = (world.verifier(), world.verifier_without_logs());
    for ahead in [-3600, -60, -1, 0, 1, 59, 60, 61, 3600] {
        // The certificate is from the same clock, so it also begins in the local future.
        let good = (ahead - 1, ahead + 599);
        let logged = Wanted { good, logged: Some(ahead), stamps: vec![] };
        let stamped = Wanted { good, logged: None, stamps: vec![Stamp::At(ahead)] };
        for (verifier, wanted) in [(&logs, logged), (&stamps, stamped)] {
            let outcome = judged(verifier, &world.bundle(&wanted, now), now);
            if ahead <= 60 {
                assert_eq!(outcome.unwrap(), Some(now + seconds(ahead)), "{ahead}");
                continue;
            }
            let rejection = outcome.unwrap_err();
            assert!(matches!(rejection, Rejection::Clocks { .. }) && !rejection.is_someone_elses());
            let text = rejection.to_string();
            assert!(
                text.contains("the clocks differ") && text.contains(&format!("{ahead} s ahead")),
                "{text}"
            );
        }
    }
}

#[test]
fn the_tolerance_for_clocks_is_compared_with_fractions_of_a_second() {
    let (world, now) = (World::new(), now());
    let bundle = world.bundle(&Wanted { good: (50, 600), logged: Some(61), stamps: vec![] }, now);
    judged(&world.verifier(), &bundle, now + SignedDuration::from_millis(999)).unwrap_err();
    judged(&world.verifier(), &bundle, now + SignedDuration::from_secs(1)).unwrap();
}

#[test]
fn one_proven_time_within_the_validity_of_the_certificate_is_required() {
    let (world, now) = (World::new(), now());
    let verifier = world.verifier();
    for (logged, stamp, signed_at) in [
        (-30, -20, Some(-30)),
        // Logged too late and stamped in time, and the reverse.
        (-10, -40, Some(-40)),
        (-40, -10, Some(-40)),
        (-400, -40, Some(-40)),
        (-10, -5, None),
        (-400, -5, None),
        // A time that is too far ahead does not invalidate another one.
        (-40, 4000, Some(-40)),
    ] {
        let wanted = Wanted { good: (-120, -15), logged: Some(logged), stamps: vec![Stamp::At(stamp)] };
        let outcome = judged(&verifier, &world.bundle(&wanted, now), now);
        match signed_at {
            Some(at) => assert_eq!(outcome.unwrap(), Some(now + seconds(at)), "{logged} {stamp}"),
            None => assert!(matches!(outcome, Err(Rejection::Invalid(_))), "{logged} {stamp}: {outcome:?}"),
        }
    }
}

#[test]
fn timestamps_of_unknown_authorities_are_ignored_and_others_must_verify() {
    let (world, now) = (World::new(), now());
    let verifier = world.verifier();
    let with = |stamps| judged(&verifier, &world.bundle(&Wanted { stamps, ..Wanted::default() }, now), now);
    for is_over_signature in [true, false] {
        with(vec![Stamp::Unknown { is_over_signature }]).unwrap();
        with(vec![Stamp::Unknown { is_over_signature }, Stamp::At(0)]).unwrap();
    }
    for (stamps, kind) in [
        (vec![Stamp::Elsewhere], "forged"),
        (vec![Stamp::At(0), Stamp::Elsewhere], "forged"),
        (vec![Stamp::Unknown { is_over_signature: true }, Stamp::Elsewhere], "forged"),
        (vec![Stamp::Garbage], "malformed"),
    ] {
        let rejection = with(stamps).unwrap_err().to_string();
        assert!(rejection.starts_with(kind) && rejection.contains("timestamp"), "{rejection}");
    }
    // Such a timestamp does not count as a time either.
    let alone = Wanted {
        logged: None,
        stamps: vec![Stamp::Unknown { is_over_signature: true }],
        ..Wanted::default()
    };
    let rejection = judged(&world.verifier_without_logs(), &world.bundle(&alone, now), now).unwrap_err();
    assert!(rejection.to_string().contains("no verified timestamp"), "{rejection}");
}

#[test]
fn a_promise_that_does_not_match_the_log_entry_is_rejected() {
    let (world, now) = (World::new(), now());
    let good = world.bundle_by(&world.authority, &Wanted::default(), now);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed["verificationMaterial"]["tlogEntries"][0]);
        judged(&world.verifier(), &parse(changed.to_string().as_bytes()).unwrap(), now)
    };
    with(&|_| {}).unwrap();
    let earlier = with(&|entry| entry["integratedTime"] = json!((now.as_second() - 1).to_string()));
    let other_log = with(&|entry| entry["logId"]["keyId"] = json!(STANDARD.encode([1; 32])));
    let other_index = with(&|entry| entry["logIndex"] = json!("2"));
    for outcome in [earlier, other_log, other_index] {
        let rejection = outcome.unwrap_err();
        assert!(matches!(&rejection, Rejection::Invalid(why) if why.contains("promise")), "{rejection}");
    }
}

#[test]
fn only_certificates_of_unknown_authorities_are_someone_elses() {
    let (world, now) = (World::new(), now());
    let verifier = world.verifier();
    let by = |issuer: &Authority| world.bundle_by(issuer, &Wanted::default(), now);
    let judge = |bundle: &Value| judged(&verifier, &parse(bundle.to_string().as_bytes()).unwrap(), now);
    let between = world.authority.below("between");
    judge(&by(&world.authority)).unwrap();
    judge(&by(&between)).unwrap();
    // The result does not depend on the unknown signer's name, or on further defects.
    for name in ["the authority", "a stranger"] {
        let stranger = Authority::new(name);
        let mut unlogged = by(&stranger);
        unlogged["verificationMaterial"]["tlogEntries"] = json!([]);
        for bundle in [by(&stranger), by(&stranger.below("between")), unlogged] {
            let rejection = judge(&bundle).unwrap_err();
            assert!(rejection.is_someone_elses(), "{rejection}");
            assert!(rejection.to_string().starts_with("by someone else: its certificate"), "{rejection}");
        }
    }
    for issuer in [&world.authority, &between] {
        let mut unlogged = by(issuer);
        unlogged["verificationMaterial"]["tlogEntries"] = json!([]);
        let mut forged = by(issuer);
        forged["messageSignature"] = by(issuer)["messageSignature"].clone();
        let late = world.bundle_by(issuer, &Wanted { good: (-60, -30), ..Wanted::default() }, now);
        for bundle in [unlogged, forged, late] {
            let rejection = judge(&bundle).unwrap_err();
            assert!(!rejection.is_someone_elses(), "{rejection}");
        }
    }
    let other = verifier.message(by(&world.authority).to_string().as_bytes(), b"another").unwrap_err();
    assert!(!other.is_someone_elses(), "{other}");
    let other = verifier.message(by(&Authority::new("a")).to_string().as_bytes(), b"another").unwrap_err();
    assert!(other.is_someone_elses(), "{other}");
}

/// Returns a bundle signed with a key, with cosign's hint or another one.
fn keyed(key: &SigningKey, hint: Option<&str>) -> Value {
    let signature = key.pair().sign(MESSAGE).unwrap();
    let digest = sigstore_crypto::sha256(MESSAGE).to_base64();
    let own = sigstore_crypto::sha256(key.public().as_bytes()).to_base64();
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": hint.unwrap_or(&own) } },
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": digest }, "signature": signature.to_base64(),
        },
    })
}

#[test]
fn a_signature_that_is_not_by_the_trusted_key_and_does_not_name_it_is_someone_elses() {
    let (world, key, stranger) =
        (World::new(), SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let own_hint = sigstore_crypto::sha256(key.public().as_bytes()).to_base64();
    let judge = |verifier: &Verifier, bundle: &Value, message: &[u8]| {
        verifier.message(bundle.to_string().as_bytes(), message).map(drop)
    };
    // A bundle of another user's `cosign sign --key` where certificates are trusted.
    let rejection = judge(&world.verifier(), &keyed(&stranger, None), MESSAGE).unwrap_err();
    assert!(rejection.is_someone_elses(), "{rejection}");
    for root in [None, Some(world.root())] {
        let verifier = Verifier::with_key(key.verification_key(), root.as_deref()).unwrap();
        for hint in [None, Some(""), Some("anything")] {
            let rejection = judge(&verifier, &keyed(&stranger, hint), MESSAGE).unwrap_err();
            assert!(rejection.is_someone_elses(), "{hint:?}: {rejection}");
            // By the trusted key, about another artifact.
            let rejection = judge(&verifier, &keyed(&key, hint), b"another").unwrap_err();
            assert!(!rejection.is_someone_elses(), "{hint:?}: {rejection}");
        }
        // By another key, with a hint that names the trusted one.
        let rejection = judge(&verifier, &keyed(&stranger, Some(&own_hint)), MESSAGE).unwrap_err();
        assert!(!rejection.is_someone_elses(), "{rejection}");
        // By another key, with a log entry that names the trusted one.
        let mut logged = keyed(&stranger, Some(""));
        let signature = stranger.pair().sign(MESSAGE).unwrap();
        let entry = world.entry(&signature, &key.verification_key().to_pem(), now());
        logged["verificationMaterial"]["tlogEntries"] = json!([entry]);
        let rejection = judge(&verifier, &logged, MESSAGE).unwrap_err();
        assert!(!rejection.is_someone_elses(), "{rejection}");
        let certified = world.bundle_by(&world.authority, &Wanted::default(), now());
        assert!(judge(&verifier, &certified, MESSAGE).unwrap_err().is_someone_elses());
    }
    let verifier = Verifier::with_key(key.verification_key(), None).unwrap();
    judge(&verifier, &keyed(&key, Some("anything")), MESSAGE).unwrap();
}

#[test]
fn an_attestation_by_a_key_is_someone_elses_if_certificates_are_trusted() {
    let (world, key) = (World::new(), SigningKey::generate().unwrap());
    let about = sigstore_crypto::sha256(MESSAGE).to_hex();
    let payload = Statement::about("image", &about, "https://example.com/p", json!({})).to_json();
    let signature = key.pair().sign(&sigstore_types::pae(STATEMENT_TYPE, &payload)).unwrap();
    let envelope = json!({
        "payloadType": STATEMENT_TYPE, "payload": STANDARD.encode(&payload),
        "signatures": [{ "keyid": "", "sig": signature.to_base64() }],
    });
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": "" } }, "dsseEnvelope": envelope,
    });
    let by_key = Verifier::with_key(key.verification_key(), None).unwrap();
    by_key.statement(bundle.to_string().as_bytes(), &about).unwrap();
    let rejection = world.verifier().statement(bundle.to_string().as_bytes(), &about).unwrap_err();
    assert!(rejection.is_someone_elses(), "{rejection}");
    let (text, annotations) = (envelope.to_string(), [].into());
    let layer = CosignLayer { payload: text.as_bytes(), annotations: &annotations };
    by_key.cosign_attestation(&layer, &about).unwrap();
    assert!(world.verifier().cosign_attestation(&layer, &about).unwrap_err().is_someone_elses());
}

#[test]
fn a_bundle_with_a_repeated_name_at_any_position_is_malformed() {
    let key = SigningKey::generate().unwrap();
    let verifier = Verifier::with_key(key.verification_key(), None).unwrap();
    let good = keyed(&key, None).to_string();
    verifier.message(good.as_bytes(), MESSAGE).unwrap();
    for (name, twice) in [
        (r#""hint":"#, r#""hint":"x","hint":"#),
        (r#""mediaType":"#, r#""mediaType":"x","mediaType":"#),
        (r#""mediaType":"#, r#""unknown":{"a":1,"a":2},"mediaType":"#),
        (r#""algorithm":"#, r#""algorithm":"SHA2_256","algorithm":"#),
    ] {
        let changed = good.replace(name, twice);
        assert_ne!(changed, good);
        let rejection = verifier.message(changed.as_bytes(), MESSAGE).unwrap_err();
        assert!(
            matches!(&rejection, Rejection::Malformed(why) if why.contains("is repeated")),
            "{rejection}"
        );
    }
}
