//! Every source, tested against a service on loopback that speaks the source's protocol.

mod over_time;

use std::fs;
use std::path::Path;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use transport::{Retry, Settings};

use super::service::{Service, jwt, token_of};
use super::*;

const SIGNER: &str = "signer@project.iam.gserviceaccount.com";
const FLAVOR: &str = "metadata-flavor: Google\r\n";
const HOUR: i64 = 3600;

fn door() -> Door {
    let retry = Retry { attempts: 1, ..Retry::default() };
    Door::open(Settings { retry, ..Settings::default() }).unwrap()
}

fn identity(sources: Sources) -> Identity {
    Identity::new(sources, door())
}

/// Returns the error for these sources, and asserts that it contains no secret.
async fn error(sources: Sources) -> String {
    let error = identity(sources).token().await.unwrap_err().to_string();
    assert!(!error.contains("hush") && !error.contains("eyJ"), "{error}");
    error
}

/// Access tokens of the caller.
struct Access(Result<Option<&'static str>, &'static str>);

impl AccessTokens for Access {
    fn access_token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        Box::pin(async { self.0.map(|token| token.map(Secret::new)).map_err(ToOwned::to_owned) })
    }
}

fn github(service: &Service) -> Sources {
    Sources {
        github_url: Some(format!("http://{}/oidc/token?api-version=2.0", service.address)),
        github_token: Some(Secret::new("hush-runner")),
        ..Sources::default()
    }
}

/// Returns the sources of a caller that may impersonate [`SIGNER`].
fn google(service: &Service) -> Sources {
    Sources {
        account: Some(SIGNER.to_owned()),
        access_tokens: Some(Arc::new(Access(Ok(Some("hush-access"))))),
        iam_credentials: format!("http://{}", service.address),
        ..Sources::default()
    }
}

fn machine(host: &str) -> Sources {
    Sources { metadata_host: Some(host.to_owned()), ..Sources::default() }
}

fn value(text: impl Into<String>) -> Sources {
    Sources { value: Some(Secret::new(text)), ..Sources::default() }
}

fn given(given: Given) -> Sources {
    Sources { given: Some(given), ..Sources::default() }
}

/// Returns a token of a workflow, with these claims replaced.
fn of_workflow(overrides: &Value) -> String {
    let now = Timestamp::now().as_second();
    let mut claims = json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:org/repo:ref:refs/heads/main",
        "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 600,
        "job_workflow_ref": "org/repo/.github/workflows/promote.yml@refs/heads/main",
    });
    for (name, value) in overrides.as_object().unwrap() {
        claims[name] = value.clone();
    }
    jwt(&claims)
}

/// Writes a file with this content, and returns it with the directory that owns it.
fn written(content: &str) -> (PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, content).unwrap();
    (file, directory)
}

fn head(request: &str) -> (&str, Vec<&str>) {
    let (line, headers) = request.split_once("\r\n").unwrap();
    (line, headers.split("\r\n\r\n").next().unwrap().lines().collect())
}

#[tokio::test]
async fn a_github_token_is_requested_as_documented() {
    let service = Service::answering("200 OK", json!({"count": 1, "value": of_workflow(&json!({}))})).await;
    let token = identity(github(&service)).token().await.unwrap();
    assert_eq!(token.identity(), "https://github.com/org/repo/.github/workflows/promote.yml@refs/heads/main");
    assert_eq!(token.proof_subject(), "repo:org/repo:ref:refs/heads/main");
    let asked = service.asked();
    let (line, headers) = head(&asked[0]);
    assert_eq!(line, "GET /oidc/token?api-version=2.0&audience=sigstore HTTP/1.1");
    assert!(headers.contains(&"authorization: Bearer hush-runner"), "{headers:?}");
}

#[tokio::test]
async fn a_google_token_is_requested_for_the_account_with_its_email_address() {
    let service = Service::answering("200 OK", json!({"token": token_of(SIGNER, HOUR)})).await;
    let token = identity(google(&service)).token().await.unwrap();
    assert_eq!((token.identity(), token.proof_subject()), (SIGNER, SIGNER));
    let asked = service.asked();
    let (line, headers) = head(&asked[0]);
    assert_eq!(line, format!("POST /v1/projects/-/serviceAccounts/{SIGNER}:generateIdToken HTTP/1.1"));
    assert!(headers.contains(&"authorization: Bearer hush-access"), "{headers:?}");
    assert!(headers.contains(&"content-type: application/json"), "{headers:?}");
    let body: Value = serde_json::from_str(asked[0].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body, json!({"audience": "sigstore", "includeEmail": true}));
}

#[tokio::test]
async fn the_account_of_the_machine_signs_if_no_account_is_requested() {
    let service = Service::start(vec![("200 OK", FLAVOR, token_of("machine@example.com", HOUR))]).await;
    let token = identity(machine(&service.address)).token().await.unwrap();
    assert_eq!(token.identity(), "machine@example.com");
    let asked = service.asked();
    let (line, headers) = head(&asked[0]);
    let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
    assert_eq!(line, format!("GET {path}?audience=sigstore&format=full HTTP/1.1"));
    assert!(headers.contains(&"metadata-flavor: Google"), "{headers:?}");
}

#[tokio::test]
async fn the_configured_audience_is_requested() {
    let answer = of_workflow(&json!({"aud": "private sigstore"}));
    let service = Service::answering("200 OK", json!({"value": answer})).await;
    let sources = Sources { audience: "private sigstore".to_owned(), ..github(&service) };
    identity(sources).token().await.unwrap();
    assert!(service.asked()[0].contains("&audience=private+sigstore HTTP"), "{}", service.asked()[0]);
}

#[tokio::test]
async fn a_refusal_names_the_source_and_advice_and_contains_no_secret() {
    let refusal = |status: &str| json!({"error": {"code": 0, "message": "hush", "status": status}});
    for (status, body, parts) in [
        ("400 Bad Request", refusal("INVALID_ARGUMENT"), ["400", "INVALID_ARGUMENT", "service account?"]),
        ("401 Unauthorized", refusal("UNAUTHENTICATED"), ["401", "UNAUTHENTICATED", "gcloud auth"]),
        ("403 Forbidden", refusal("PERMISSION_DENIED"), ["403", "PERMISSION_DENIED", "OpenIdTokenCreator"]),
        ("404 Not Found", refusal("NOT_FOUND"), ["404", "NOT_FOUND", "no service account"]),
        ("403 Forbidden", refusal("hush"), ["403", "Google (acting as", ":generateIdToken"]),
        ("302 Found", json!("hush"), ["302", "Google (acting as", ":generateIdToken"]),
    ] {
        let service = Service::answering(status, body).await;
        let error = error(google(&service)).await;
        for part in parts.into_iter().chain([SIGNER]) {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found"] {
        let service = Service::answering(status, "hush").await;
        let error = error(github(&service)).await;
        assert!(error.contains("GitHub Actions") && error.contains("id-token: write"), "{error}");
    }
    let service = Service::start(vec![("403 Forbidden", FLAVOR, "hush".to_owned())]).await;
    let error = error(machine(&service.address)).await;
    assert!(error.contains("the account of this machine") && error.contains("403"), "{error}");
}

#[tokio::test]
async fn malformed_and_oversized_answers_are_errors() {
    let huge = "hush".repeat(100_000);
    for body in ["", "hush", "{\"value\": [\"hush\"], \"token\": 1}", "\u{fffd}", &huge] {
        let service = Service::start(vec![("200 OK", FLAVOR, body.to_owned())]).await;
        for (sources, name) in [
            (github(&service), "GitHub Actions"),
            (google(&service), "acting as"),
            (machine(&service.address), "this machine"),
        ] {
            let error = error(sources).await;
            assert!(error.contains(name), "{error}");
            assert_eq!(error.contains("larger than the"), body.len() > 10_000, "{error}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_host_is_named_in_the_error() {
    let unused = Service::unused_address().await;
    let sources = Sources {
        github_url: Some(format!("http://{unused}/?hush")),
        github_token: Some(Secret::new("hush")),
        ..Sources::default()
    };
    let error = error(sources).await;
    assert!(error.contains("GitHub Actions") && error.contains(&unused), "{error}");
}

#[tokio::test]
async fn missing_and_invalid_settings_of_a_source_are_named() {
    let service = Service::answering("200 OK", "").await;
    for (sources, part) in [
        (Sources { github_token: None, ..github(&service) }, "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        (Sources { github_url: Some("hush".to_owned()), ..github(&service) }, "ACTIONS_ID_TOKEN_REQUEST_URL"),
        (Sources { github_token: Some(Secret::new("hush\n")), ..github(&service) }, "characters"),
        (Sources { iam_credentials: "iam".to_owned(), ..google(&service) }, "iam is not a URL"),
        (
            Sources { access_tokens: Some(Arc::new(Access(Err("no such key")))), ..google(&service) },
            "no such key",
        ),
    ] {
        let error = error(sources).await;
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(service.asked().is_empty(), "no request is sent with invalid settings");
}

#[tokio::test]
async fn a_token_of_another_identity_than_the_requested_one_is_rejected() {
    let other = "other@project.iam.gserviceaccount.com";
    let iam = Service::answering("200 OK", json!({"token": token_of(other, HOUR)})).await;
    let runner = Service::answering("200 OK", json!({"value": of_workflow(&json!({}))})).await;
    let (file, _directory) = written(&token_of(other, HOUR));
    let account = || Some(SIGNER.to_owned());
    let workflow = "https://github.com/org/other/.github/workflows/x.yml@refs/heads/main";
    for (sources, parts) in [
        (google(&iam), [SIGNER, other]),
        (Sources { account: account(), ..value(token_of(other, HOUR)) }, [SIGNER, other]),
        (Sources { account: account(), ..given(Given::file(&file)) }, [SIGNER, other]),
        (
            Sources { account: account(), projected: Some(file.clone()), ..Sources::default() },
            [SIGNER, other],
        ),
        (Sources { account: Some(workflow.to_owned()), ..github(&runner) }, [workflow, "org/repo/"]),
    ] {
        let error = error(sources).await;
        assert!(
            parts.iter().all(|part| error.contains(part)) && error.contains("nothing is signed"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_account_of_the_machine_is_not_used_if_an_account_is_requested() {
    let service = Service::start(vec![("200 OK", FLAVOR, token_of("machine@example.com", HOUR))]).await;
    for access in [None, Some(Arc::new(Access(Ok(None))) as Arc<dyn AccessTokens>)] {
        let sources =
            Sources { account: Some(SIGNER.to_owned()), access_tokens: access, ..machine(&service.address) };
        let error = error(sources).await;
        assert!(error.contains("application default credentials"), "{error}");
    }
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn tokens_of_all_sources_are_checked() {
    let now = Timestamp::now().as_second();
    for (overrides, part) in [
        (json!({"exp": now + 30}), "get a new token"),
        (json!({"exp": now - 30}), "get a new token"),
        (json!({"aud": "https://github.com/org"}), "audience `sigstore`"),
        (json!({"nbf": now + HOUR}), "correct the clock"),
        (json!({"email": "a@b.c", "email_verified": false}), "has not verified"),
    ] {
        let text = of_workflow(&overrides);
        let (file, _directory) = written(&text);
        let service =
            Service::start(vec![("200 OK", FLAVOR, json!({"value": text, "token": text}).to_string())]).await;
        let plain = Service::start(vec![("200 OK", FLAVOR, text.clone())]).await;
        for sources in [
            github(&service),
            google(&service),
            machine(&plain.address),
            value(text.clone()),
            given(Given::file(&file)),
            given(Given::input(std::io::Cursor::new(text.clone()))),
            Sources { projected: Some(file), ..Sources::default() },
        ] {
            let error = error(sources).await;
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

/// All sources are present at first. Each round removes the source that answered, and the next one answers.
#[tokio::test]
async fn sources_are_asked_in_order_until_one_applies() {
    let runner = Service::answering("200 OK", json!({"value": of_workflow(&json!({}))})).await;
    let metadata = Service::start(vec![("200 OK", FLAVOR, token_of("machine@x.y", HOUR))]).await;
    let (file, _directory) = written(&token_of("given@x.y", HOUR));
    let (projected, _other) = written(&token_of("projected@x.y", HOUR));
    let everything = |left: usize| Sources {
        given: (left > 4).then(|| Given::file(&file)),
        value: (left > 3).then(|| Secret::new(token_of("value@x.y", HOUR))),
        github_url: if left > 2 { github(&runner).github_url } else { None },
        github_token: Some(Secret::new("hush-runner")),
        metadata_host: (left > 1).then(|| metadata.address.clone()),
        projected: Some(projected.clone()),
        ..Sources::default()
    };
    for (left, name, asked) in [
        (5, "given@x.y", (0, 0)),
        (4, "value@x.y", (0, 0)),
        (3, "https://github.com/org/repo/.github/workflows/promote.yml@refs/heads/main", (1, 0)),
        (2, "machine@x.y", (1, 1)),
        (1, "projected@x.y", (1, 1)),
    ] {
        assert_eq!(identity(everything(left)).token().await.unwrap().identity(), name);
        assert_eq!((runner.asked().len(), metadata.asked().len()), asked, "{name}");
    }
}

#[tokio::test]
async fn github_is_not_asked_for_a_token_of_a_google_account() {
    let runner = Service::answering("200 OK", json!({"value": of_workflow(&json!({}))})).await;
    let iam = Service::answering("200 OK", json!({"token": token_of(SIGNER, HOUR)})).await;
    let Sources { github_url, github_token, .. } = github(&runner);
    let token = identity(Sources { github_url, github_token, ..google(&iam) }).token().await.unwrap();
    assert_eq!(token.identity(), SIGNER);
    assert!(runner.asked().is_empty());
}

/// A source that applies is the intended one. The next source could be of another identity.
#[tokio::test]
async fn a_source_that_fails_is_not_skipped() {
    let runner = Service::answering("403 Forbidden", "").await;
    let (projected, _directory) = written(&token_of("projected@x.y", HOUR));
    let sources = Sources { projected: Some(projected.clone()), ..github(&runner) };
    assert!(error(sources).await.contains("GitHub Actions"));
    let missing = projected.with_file_name("missing");
    let sources = Sources { projected: Some(projected.clone()), ..given(Given::file(&missing)) };
    assert!(error(sources).await.contains("missing: there is no such file"));
    let sources = Sources { projected: Some(projected), ..value("hush") };
    assert!(error(sources).await.contains("SIGSTORE_ID_TOKEN"));
}

#[tokio::test]
async fn if_no_source_applies_the_error_has_the_reason_for_each() {
    let sources =
        Sources { projected: Some("/no/such/token".into()), ..machine(&Service::unused_address().await) };
    let error = error(sources).await;
    for part in [
        "--identity-token: not given",
        "SIGSTORE_ID_TOKEN: not given",
        "id-token: write",
        "`--signer-account` is not given",
        "no metadata service answers",
        "there is no /no/such/token",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn other_clouds_and_proxies_are_not_google() {
    let (projected, _directory) = written(&token_of("projected@x.y", HOUR));
    for (status, headers) in [
        ("401 Unauthorized", ""),
        ("200 OK", ""),
        ("200 OK", "metadata-flavor: Other\r\n"),
        ("404 Not Found", FLAVOR),
    ] {
        let service = Service::start(vec![(status, headers, token_of("machine@x.y", HOUR))]).await;
        let sources = Sources { projected: Some(projected.clone()), ..machine(&service.address) };
        let token = identity(sources).token().await.unwrap();
        assert_eq!(token.identity(), "projected@x.y", "{status}");
        assert_eq!(service.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_file_is_read_for_each_token_and_standard_input_once() {
    let (file, _directory) = written(&format!("{}\n", token_of("me@x.y", 600)));
    let from_file = identity(given(Given::file(&file)));
    let first = from_file.token().await.unwrap();
    fs::write(&file, token_of("me@x.y", HOUR)).unwrap();
    assert!(from_file.token().await.unwrap().expires() > first.expires(), "a renewed file takes effect");
    let from_input = identity(given(Given::input(std::io::Cursor::new(token_of("me@x.y", 600)))));
    for _ in 0..2 {
        assert_eq!(from_input.token().await.unwrap().identity(), "me@x.y");
    }
}

#[tokio::test]
async fn an_invalid_given_token_is_named_by_its_location() {
    let (large, _directory) = written(&"hush".repeat(10_000));
    let directory = large.parent().map(Path::to_owned).unwrap();
    let empty = directory.join("empty");
    fs::write(&empty, "").unwrap();
    for (from, parts) in [
        (Given::file(&large), ["token: larger", "bytes"]),
        (Given::file(&empty), ["empty: it is empty", ""]),
        (Given::file(&directory), ["not a regular file", "with `-`"]),
        (Given::input(&b""[..]), ["standard input", "empty"]),
        (Given::input(&b"\xff\xfe"[..]), ["standard input", "not text"]),
        (Given::input(tokio::io::repeat(b'h')), ["standard input", "larger"]),
        (Given::input(&b"hush"[..]), ["--identity-token", "not an ID token"]),
    ] {
        let error = error(given(from)).await;
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
}

/// The paused clock advances only while all tasks wait, so the test does not wait.
#[tokio::test(start_paused = true)]
async fn reading_standard_input_times_out() {
    let (input, _held_open) = tokio::io::duplex(1);
    assert!(error(given(Given::input(input))).await.contains("within 60 s; pipe the token in"));
}

#[tokio::test]
async fn an_expired_value_is_reported_with_a_renewable_alternative() {
    let error = error(value(token_of("me@x.y", 30))).await;
    assert!(error.contains("--identity-token FILE"), "{error}");
}

#[test]
fn only_email_addresses_may_be_google_accounts() {
    assert!(google::may_be_account(SIGNER));
    for odd in [
        "",
        "me",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a/../b@c",
        "a@b:c",
        "a@b?c",
        "a b@c",
        "a%2f@b",
        "a@b#",
        "https://github.com/o/r/.github/workflows/x.yml@refs/heads/main",
        "spiffe://x/y",
    ] {
        assert!(!google::may_be_account(odd), "{odd}");
    }
}
