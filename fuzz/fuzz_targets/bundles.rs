//! Bundles. A bundle is refused, or it proves exactly what was signed. The kind that is read before verification agrees with the
//! verified content: no statement is accepted as a signature over bytes. Errors may be shown.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sigstore::{Rejection, Signatory, Statement, VerificationKey, Verified, Verifier};
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
use trust::fuzzing::{Peeked, peek};

/// The artifact of the seeds `statement.json` and `message.json`, which one key has signed.
const BY_KEY: &str = "6970ef51f54a3e4f7a5ccd707d95be3077298a0f68b1ebb25c124d38f6a78ad6";
/// The artifact of the seed `public-good.json`.
const BY_CERTIFICATE: &str = "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf";
/// An artifact without a signature.
const UNSIGNED: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
/// The maximum length of a refusal, in characters.
const REFUSAL_MAX: usize = 400;

static KEY: LazyLock<Verifier> = LazyLock::new(|| {
    let key = VerificationKey::from_pem(include_bytes!("data/key.pub")).unwrap();
    let verifier = Verifier::with_key(key, None).unwrap();
    verifier
        .statement(include_bytes!("../corpus-seeds/bundles/statement.json"), BY_KEY)
        .expect("the seed verifies");
    verifier
        .artifact(include_bytes!("../corpus-seeds/bundles/message.json"), BY_KEY)
        .expect("the seed verifies");
    verifier
});
static ROOT: LazyLock<Verifier> = LazyLock::new(|| {
    let verifier = Verifier::with_root(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()).unwrap();
    let seed = include_bytes!("../corpus-seeds/bundles/public-good.json");
    verifier.artifact(seed, BY_CERTIFICATE).expect("the seed verifies");
    verifier
});
static SIGNED: LazyLock<Statement> =
    LazyLock::new(|| Statement::parse(include_bytes!("data/statement.json")).unwrap());

/// Returns what a bundle proves, or `None` if it is refused.
fn proven<T>(outcome: Result<Verified<T>, Rejection>) -> Option<Verified<T>> {
    outcome.inspect_err(|refusal| fuzz::assert_presentable(&refusal.to_string(), REFUSAL_MAX)).ok()
}

fuzz_target!(|bundle: &[u8]| {
    let peeked = peek(bundle);
    if let Peeked::Statement(Some(kind)) = &peeked {
        assert!(kind.len() <= 1024);
    }
    let statement = proven(KEY.statement(bundle, BY_KEY));
    if let Some(statement) = &statement {
        assert_eq!(statement.content, *SIGNED, "an unsigned statement is accepted");
        assert_eq!(peeked, Peeked::Statement(Some(SIGNED.predicate_type.clone())));
    }
    // The path of a bundle that is read as a signature over bytes.
    if peeked == Peeked::Message && proven(KEY.artifact(bundle, BY_KEY)).is_some() {
        assert!(statement.is_none(), "a statement is accepted as a signature");
    }
    if let Some(by_certificate) = proven(ROOT.artifact(bundle, BY_CERTIFICATE)) {
        let Signatory::Certificate { issuer, .. } = &by_certificate.signatory else {
            panic!("signed by {:?}", by_certificate.signatory);
        };
        assert_eq!(issuer, "https://token.actions.githubusercontent.com");
        assert!(by_certificate.signed_at.is_some());
    }
    for verifier in [&*KEY, &*ROOT] {
        assert!(proven(verifier.artifact(bundle, UNSIGNED)).is_none(), "an unsigned artifact is accepted");
        assert!(
            proven(verifier.statement(bundle, UNSIGNED)).is_none(),
            "a statement about an unsigned artifact is accepted"
        );
    }
});
