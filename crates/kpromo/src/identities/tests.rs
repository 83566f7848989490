//! Choices about trust and signing, and the errors for invalid ones.

use std::fs;
use std::path::PathBuf;

use manifest::{Destination, Image, Manifest};
use serde_json::json;
use transport::{HostSettings, Settings};
use trust::SignatureFormat;

use super::*;

/// Returns a door that allows plain HTTP for one host other than this machine.
fn door() -> Door {
    let host = HostSettings { plain_http: true, ..HostSettings::default() };
    let hosts = [("plain.example:8080".to_owned(), host)].into();
    Door::open(Settings { hosts, ..Settings::default() }).unwrap()
}

fn refused(args: &TrustArgs) -> String {
    trust(args, &Environment::default(), &door()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn urls_that_cannot_be_asked_are_refused_and_plain_http_is_for_this_machine_or_where_it_is_configured() {
    let (door, refused) = (door(), |text: &str| speakable(text, &door()).unwrap_err());
    for good in [
        "https://tuf.example/root",
        "http://127.0.0.1:8080",
        "http://[::1]:80/x",
        "http://tuf.localhost:9/",
        "http://plain.example:8080/tuf",
    ] {
        assert!(speakable(good, &door).is_ok(), "{good}");
    }
    for plain in ["http://tuf.example", "http://plain.example", "http://127.0.0.1.evil.example"] {
        assert!(refused(plain).contains("plainHttp"), "{plain}");
    }
    assert!(refused("ftp://tuf.example").contains("neither https nor http"));
    assert!(refused("tuf.example").contains("not a URL"));
    assert!(!refused("http://me:hush@tuf.example?hush").contains("hush"));
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        Some(path)
    };
    let config = |url: &str| {
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [{ "url": url, "majorApiVersion": 1, "operator": "a", "validFor": { "start": "2024-01-01T00:00:00Z" } }],
            "rekorTlogConfig": { "selector": "ANY" }, "tsaConfig": { "selector": "ANY" },
        })
        .to_string()
    };
    let default = TrustArgs::default;
    let cases = [
        (TrustArgs { trusted_root: file("root", "{}"), ..default() }, "root: the trusted root"),
        (
            TrustArgs { trusted_root: Some(directory.path().join("absent")), ..default() },
            "absent: cannot be read",
        ),
        (TrustArgs { trusted_root: Some(directory.path().to_owned()), ..default() }, "is a directory"),
        (TrustArgs { signing_config: file("config", "{"), ..default() }, "config: the signing configuration"),
        (
            TrustArgs { signing_config: file("plain", &config("http://ca.example")), ..default() },
            "plain: plain HTTP",
        ),
        (TrustArgs { verification_key: file("key", "nothing"), ..default() }, "key: the verification key"),
        (TrustArgs { tuf_root: file("tuf", "{\"signed\": {}}"), ..default() }, "tuf: not the root.json"),
        (TrustArgs { tuf_mirror: Some("x".into()), ..default() }, "TUF mirror: `x` is not a URL"),
    ];
    for (args, expected) in cases {
        let error = refused(&args);
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let good = TrustArgs { signing_config: file("good", &config("http://127.0.0.1:5555")), ..default() };
    assert!(trust(&good, &Environment::default(), &door()).is_ok());
}

#[test]
fn an_invalid_expression_is_told_with_its_flag() {
    let identity = PatternText::Regex { place: "--certificate-identity-regexp", text: "(".to_owned() };
    let args = TrustArgs { identity: Some(identity), ..TrustArgs::default() };
    let error = signer_pattern(&args, Defaults::None).unwrap_err();
    assert!(error.to_string().starts_with("--certificate-identity-regexp: "), "{error}");
}

#[test]
fn without_a_choice_kubernetes_account_counts_in_kubernetes_and_any_identity_elsewhere() {
    let counts = |args: &TrustArgs, defaults| {
        let pattern = signer_pattern(args, defaults).unwrap();
        [ACCOUNT, "a\nb"].map(|subject| pattern.matches(ISSUER, subject))
    };
    let nothing = TrustArgs::default();
    assert_eq!(counts(&nothing, Defaults::Kubernetes), [true, false]);
    assert_eq!(counts(&nothing, Defaults::None), [true, true]);
    let issuer = Some(PatternText::Exact("https://other.example".to_owned()));
    let other = TrustArgs { issuer, ..TrustArgs::default() };
    assert_eq!(counts(&other, Defaults::None), [false, false], "what is chosen is required");
}

/// Configures a promotion of nothing with these choices.
fn notary_of(signing: SigningArgs) -> Result<TrustConfig, String> {
    notary_to(&[], signing, TrustArgs::default())
}

/// Configures a promotion to these destinations.
fn notary_to(destinations: &[&str], signing: SigningArgs, trust: TrustArgs) -> Result<TrustConfig, String> {
    let (environment, config) = (Environment::default(), Config::default());
    let connection = crate::connect::connect(&config, &environment).unwrap();
    let manifest = Manifest {
        name: "p".into(),
        images_file: "f".into(),
        source: "s.io/staging".parse().unwrap(),
        destinations: destinations
            .iter()
            .map(|root| Destination { root: root.parse().unwrap(), service_account: None })
            .collect(),
        unchanged: Vec::new(),
        images: vec![Image { name: "app".parse().unwrap(), digests: Vec::new() }],
    };
    let manifests = Manifests { manifests: vec![manifest], ..Manifests::default() };
    let source = ManifestSource::Plain("/no/such/manifest.yaml".into());
    let args = CipArgs { signing: Some(signing), trust, ..CipArgs::of(source) };
    trust_config(&args, &config, &manifests, &environment, &connection).map_err(|error| error.to_string())
}

fn account(name: &str) -> Option<Account> {
    Some(Account::from(name.to_owned()))
}

#[tokio::test]
async fn outside_of_kubernetes_one_sentence_asks_who_signs_and_any_choice_is_an_answer() {
    let (kubernetes, outside) = ("a.io/k8s-artifacts-prod/images", "b.io/prod");
    let nothing = SigningArgs::default;
    assert!(notary_to(&[kubernetes], nothing(), TrustArgs::default()).is_ok());
    assert!(notary_to(&[], nothing(), TrustArgs::default()).is_ok(), "nothing is promoted");
    let asked = notary_to(&[kubernetes, outside], nothing(), TrustArgs::default()).unwrap_err();
    for flag in ["--signer-account", "--signing-key", "--sign=false"] {
        assert!(asked.contains(flag), "{asked}");
    }
    assert_eq!((asked.lines().count(), asked.matches(". ").count()), (1, 0), "{asked}");
    let many = SigningArgs { at_once: Some(7), ..nothing() };
    assert!(notary_to(&[outside], many, TrustArgs::default()).is_err(), "a number does not name a signer");
    for account in [account(""), account("a@b.c")] {
        let chosen = SigningArgs { account, ..nothing() };
        assert!(notary_to(&[outside], chosen, TrustArgs::default()).is_ok());
    }
}

#[tokio::test]
async fn a_trusted_root_needs_a_signing_configuration_where_certificates_sign() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("signing.key");
    fs::write(&key, SigningKey::generate_pem().unwrap().reveal()).unwrap();
    let root = directory.path().join("root.json");
    fs::write(&root, sigstore_root()).unwrap();
    let trust = || TrustArgs { trusted_root: Some(root.clone()), ..TrustArgs::default() };
    let keyed = || SigningArgs { key: Some(key.clone()), ..SigningArgs::default() };
    let summarized = SigningArgs { summaries: Some(true), summary_account: account("a@b.c"), ..keyed() };
    assert!(notary_to(&[], keyed(), trust()).is_ok());
    for signing in [SigningArgs::default(), summarized] {
        assert!(notary_to(&[], signing, trust()).unwrap_err().contains("--signing-config"));
    }
}

/// Returns a trusted root of an instance without any service.
fn sigstore_root() -> String {
    json!({ "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1" }).to_string()
}

#[tokio::test]
async fn a_key_signs_where_one_is_chosen_and_summaries_have_another_signer_where_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("signing.key");
    fs::write(&path, SigningKey::generate_pem().unwrap().reveal()).unwrap();
    let expected = SigningKey::from_pem(&fs::read(&path).unwrap(), None).unwrap().verification_key();
    let keyed = || SigningArgs {
        key: Some(path.clone()),
        account: account(""),
        format: Some(SignatureFormat::Both),
        at_once: Some(7),
        summaries: Some(true),
        ..SigningArgs::default()
    };
    let signing = notary_of(keyed()).unwrap().signing.unwrap();
    assert!(signing.signer.owner().await.unwrap().is(&expected.signatory()));
    assert_eq!((signing.format, signing.at_once), (SignatureFormat::Both, 7));
    assert!(matches!(signing.summaries, Some(SummarySigner::Same)));
    assert_eq!(signing.promoter.version, env!("CARGO_PKG_VERSION"));

    let summaries = |summary_account, signing: SigningArgs| {
        let signing = SigningArgs { summary_account, ..signing };
        notary_of(signing).unwrap().signing.unwrap().summaries
    };
    let other = |summaries| matches!(summaries, Some(SummarySigner::Other(_)));
    assert!(other(summaries(account(ACCOUNT), keyed())), "the key is of no account");
    assert!(!other(summaries(account(""), keyed())));
    let identity =
        || SigningArgs { account: account("a@b.c"), summaries: Some(true), ..SigningArgs::default() };
    assert!(other(summaries(account("d@e.f"), identity())));
    assert!(!other(summaries(account("a@b.c"), identity())), "it is the same account");
    let none = SigningArgs { summaries: None, ..identity() };
    assert!(summaries(account("d@e.f"), none).is_none(), "there are no summaries");
}

#[tokio::test]
async fn a_key_or_a_token_that_is_missing_is_told_before_anything_is_begun() {
    let absent = PathBuf::from("/no/such/file");
    let token = Some(TokenFile::File(absent.clone()));
    for signing in [
        SigningArgs { key: Some(absent), ..SigningArgs::default() },
        SigningArgs { token, ..SigningArgs::default() },
    ] {
        let error = notary_of(signing).unwrap_err();
        assert!(error.contains("/no/such/file: cannot be read"), "{error}");
    }
}
