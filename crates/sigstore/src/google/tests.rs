//! Every type of credentials, tested against services on loopback.

use std::collections::HashMap;
use std::fs;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use transport::{Retry, Settings};

use super::metadata::Times;
use super::token::SCOPE;
use super::*;
use crate::identity::service::Service;

const FLAVOR: &str = "metadata-flavor: Google\r\n";

fn door() -> Door {
    let retry = Retry { attempts: 1, ..Retry::default() };
    Door::open(Settings { retry, ..Settings::default() }).unwrap()
}

/// The answer of a token endpoint.
fn answer() -> String {
    json!({ "access_token": "token-of-google", "expires_in": 3600, "token_type": "Bearer" }).to_string()
}

async fn token_service() -> Service {
    Service::start(vec![("200 OK", FLAVOR, answer())]).await
}

fn form(request: &str) -> HashMap<String, String> {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn has_header(request: &str, header: &str) -> bool {
    request.split("\r\n\r\n").next().unwrap().lines().any(|line| line == header)
}

/// Returns credentials from a file with this content.
fn with_file(content: &impl ToString) -> (GoogleCredentials, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials.json");
    fs::write(&file, content.to_string()).unwrap();
    let places = GooglePlaces { file: Some(file), is_file_named: true, ..GooglePlaces::default() };
    (GoogleCredentials::new(places, door()), directory)
}

fn of_machine(host: &str) -> GoogleCredentials {
    let places = GooglePlaces { metadata_host: Some(host.to_owned()), ..GooglePlaces::default() };
    GoogleCredentials::new(places, door())
}

async fn token(google: &GoogleCredentials) -> String {
    google.access_token().await.unwrap().unwrap().reveal().to_owned()
}

/// Returns the error of credentials, and asserts that it contains no secret.
async fn error(content: &impl ToString) -> String {
    let (google, _directory) = with_file(content);
    let error = google.token().await.unwrap_err();
    assert!(!error.contains("hush") && error.contains("credentials.json"), "{error}");
    error
}

fn user(service: &Service) -> Value {
    json!({
        "type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "hush-again",
        "token_uri": format!("http://{}/token", service.address),
    })
}

#[tokio::test]
async fn concurrent_callers_share_one_access_token_of_a_user() {
    let service = token_service().await;
    let (google, _directory) = with_file(&user(&service));
    assert_eq!(tokio::join!(token(&google), token(&google)).0, "token-of-google");
    let (_, origin) = google.token().await.unwrap().unwrap();
    assert!(origin.starts_with("application default credentials in /"), "{origin}");
    assert!(origin.ends_with("/credentials.json"), "{origin}");
    assert_eq!(service.asked().len(), 1);
    let form = form(&service.asked()[0]);
    assert_eq!(
        (form["grant_type"].as_str(), form["refresh_token"].as_str()),
        ("refresh_token", "hush-again")
    );
}

#[tokio::test]
async fn a_service_account_signs_its_assertion() {
    let service = token_service().await;
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let uri = format!("http://{}/token", service.address);
    let (google, _directory) = with_file(&json!({
        "type": "service_account", "client_email": "promoter@example.com", "private_key": pem,
        "private_key_id": "key-1", "token_uri": uri,
    }));
    assert_eq!(token(&google).await, "token-of-google");
    let form = form(&service.asked()[0]);
    let (text, signature) = form["assertion"].rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let [head, claims] = [0, 1].map(|part| -> Value {
        let part = URL_SAFE_NO_PAD.decode(text.split('.').nth(part).unwrap()).unwrap();
        serde_json::from_slice(&part).unwrap()
    });
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(head, json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    let now = jiff::Timestamp::now().as_second();
    assert!(now - issued < 60 && expires - issued == 3600, "{claims}");
    assert_eq!(
        (claims["iss"].as_str(), claims["aud"].as_str(), claims["scope"].as_str()),
        (Some("promoter@example.com"), Some(uri.as_str()), Some(SCOPE))
    );
}

/// Returns a federation file that exchanges at this service and reads the subject token from this source.
fn federation(service: &Service, source: &Value) -> Value {
    json!({
        "type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "universe_domain": "googleapis.com",
        "token_url": format!("http://{}/v1/token", service.address), "credential_source": source,
    })
}

#[tokio::test]
async fn a_subject_token_in_a_file_is_exchanged_for_a_google_token() {
    let service = token_service().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("subject");
    for (content, format) in [
        (" hush-subject\n", None),
        (" hush-subject\n", Some(json!({ "type": "text" }))),
        (
            r#"{"id_token": "hush-subject"}"#,
            Some(json!({ "type": "json", "subject_token_field_name": "id_token" })),
        ),
    ] {
        fs::write(&path, content).unwrap();
        let mut source = json!({ "file": path });
        if let Some(format) = format {
            source["format"] = format;
        }
        let (google, _directory) = with_file(&federation(&service, &source));
        assert_eq!(token(&google).await, "token-of-google");
        let asked = service.asked();
        let request = asked.last().unwrap();
        assert!(request.starts_with("POST /v1/token HTTP/1.1\r\n"), "{request}");
        let form = form(request);
        let expected = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("subject_token", "hush-subject"),
            ("scope", SCOPE),
        ];
        for (name, value) in expected {
            assert_eq!(form[name], value, "{name}");
        }
        assert!(form["audience"].starts_with("//iam.googleapis.com/") && !form.contains_key("options"));
    }
}

#[tokio::test]
async fn a_subject_token_at_a_url_is_requested_with_the_headers_of_the_file() {
    let provider = Service::answering("200 OK", json!({ "value": "hush-subject" })).await;
    let service = token_service().await;
    let mut content = federation(
        &service,
        &json!({
            "url": format!("http://{}/token?audience=x", provider.address),
            "headers": { "Authorization": "Bearer hush-runner" },
            "format": { "type": "json", "subject_token_field_name": "value" },
        }),
    );
    content["client_id"] = json!("me");
    content["client_secret"] = json!("hush");
    content["workforce_pool_user_project"] = json!("42");
    let (google, _directory) = with_file(&content);
    assert_eq!(token(&google).await, "token-of-google");
    let asked = provider.asked();
    assert!(asked[0].starts_with("GET /token?audience=x HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(has_header(&asked[0], "authorization: Bearer hush-runner"));
    let asked = service.asked();
    assert!(has_header(&asked[0], &format!("authorization: Basic {}", STANDARD.encode("me:hush"))));
    let form = form(&asked[0]);
    assert_eq!(
        (form["subject_token"].as_str(), form["options"].as_str()),
        ("hush-subject", r#"{"userProject":"42"}"#)
    );
}

/// Returns an answer of IAM Credentials.
fn generated() -> String {
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(30);
    json!({ "accessToken": "token-of-account", "expireTime": later.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() }).to_string()
}

const ACCOUNT_PATH: &str = "/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken";

#[tokio::test]
async fn a_service_account_is_impersonated_with_the_source_credentials() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("subject");
    fs::write(&path, "hush-subject").unwrap();
    let service = token_service().await;
    let iam = Service::answering("200 OK", generated()).await;
    let url = format!("http://{}{ACCOUNT_PATH}", iam.address);
    let mut federated = federation(&service, &json!({ "file": path }));
    federated["service_account_impersonation_url"] = json!(url);
    federated["service_account_impersonation"] = json!({ "token_lifetime_seconds": 600 });
    let of = |source: Value| {
        json!({
            "type": "impersonated_service_account", "service_account_impersonation_url": url,
            "source_credentials": source, "delegates": ["d@p.iam.gserviceaccount.com"],
        })
    };
    let cases = [
        (federated.clone(), json!({ "delegates": [], "scope": [SCOPE], "lifetime": "600s" })),
        (
            of(user(&service)),
            json!({ "delegates": ["d@p.iam.gserviceaccount.com"], "scope": [SCOPE], "lifetime": "3600s" }),
        ),
    ];
    for (content, expected) in cases {
        let (google, _directory) = with_file(&content);
        assert_eq!(token(&google).await, "token-of-account");
        let asked = iam.asked();
        let request = asked.last().unwrap();
        assert!(request.starts_with(&format!("POST {ACCOUNT_PATH} HTTP/1.1\r\n")), "{request}");
        assert!(has_header(request, "authorization: Bearer token-of-google"), "{request}");
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body, expected);
        let State::Token { renew_at, .. } = &*google.state.lock().await else { panic!("no token is kept") };
        let left = *renew_at - Instant::now();
        assert!(left > Duration::from_secs(1600) && left < Duration::from_secs(1800), "{left:?}");
    }
    let nested = error(&of(of(user(&service)))).await;
    assert!(nested.contains("delegates"), "{nested}");
}

#[tokio::test]
async fn programs_are_not_run_and_unsupported_sources_are_named() {
    let service = token_service().await;
    for (source, part) in [
        (json!({ "executable": { "command": "touch /tmp/hush" } }), "which kpromo does not run"),
        (json!({ "environment_id": "aws1", "url": "http://169.254.169.254/hush" }), "AWS"),
        (json!({ "certificate": { "use_default_certificate_config": true } }), "certificate"),
        (json!({}), "neither a file nor a URL"),
        (json!({ "file": "/no/such/subject" }), "/no/such/subject: there is no such file"),
    ] {
        let error = error(&federation(&service, &source)).await;
        assert!(error.contains(part), "{part}: {error}");
    }
    let mut elsewhere = federation(&service, &json!({ "file": "/dev/null" }));
    elsewhere["universe_domain"] = json!("example.com");
    assert!(error(&elsewhere).await.contains("universe_domain"));
    assert_eq!(service.asked(), [""; 0]);
}

#[tokio::test]
async fn credentials_are_never_sent_to_an_arbitrary_host_in_a_file() {
    let evil = "https://evil.example/v1/token";
    let service = token_service().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("subject");
    fs::write(&path, "hush-subject").unwrap();
    let good = federation(&service, &json!({ "file": path }));
    let with = |base: &Value, name: &str| {
        let mut content = base.clone();
        content[name] = json!(evil);
        content
    };
    let by_url = json!({ "url": evil, "headers": { "authorization": "hush" } });
    let impersonated = json!({
        "type": "impersonated_service_account", "service_account_impersonation_url": evil,
        "source_credentials": user(&service),
    });
    let key =
        json!({ "type": "service_account", "client_email": "a@b", "private_key": "hush", "token_uri": evil });
    for content in [
        with(&good, "token_url"),
        with(&good, "service_account_impersonation_url"),
        federation(&service, &by_url),
        impersonated,
        with(&user(&service), "token_uri"),
        key,
    ] {
        let error = error(&content).await;
        assert!(error.contains("evil.example") && error.contains("hosts of googleapis.com"), "{error}");
    }
    assert_eq!(service.asked(), [""; 0], "nothing is sent if one of the URLs is not acceptable");
}

#[tokio::test]
async fn without_a_file_the_token_is_from_the_metadata_service() {
    let service = token_service().await;
    let google = of_machine(&service.address);
    assert_eq!(google.token().await.unwrap().unwrap().1, "the metadata server");
    assert_eq!(token(&google).await, "token-of-google");
    let asked = service.asked();
    assert!(has_header(&asked[0], "metadata-flavor: Google") && asked.len() == 1);
    assert!(asked[0].starts_with("GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1"));
}

#[tokio::test]
async fn the_absence_of_credentials_is_remembered() {
    let unused = Service::unused_address().await;
    let google = of_machine(&unused);
    assert!(google.token().await.unwrap().is_none());
    let asked = google.door.tally()[&unused].total();
    assert!(google.token().await.unwrap().is_none());
    assert_eq!(google.door.tally()[&unused].total(), asked);
}

#[tokio::test]
async fn answers_of_other_clouds_and_proxies_are_ignored() {
    for status in ["401 Unauthorized", "400 Bad Request", "200 OK"] {
        let service = Service::answering(status, answer()).await;
        assert!(of_machine(&service.address).token().await.unwrap().is_none(), "{status}");
        assert_eq!(service.asked().len(), 1);
    }
}

#[tokio::test]
async fn temporary_errors_of_the_metadata_service_are_retried() {
    let away = ("503 Service Unavailable", FLAVOR, String::new());
    let service = Service::start(vec![away.clone(), away, ("200 OK", FLAVOR, answer())]).await;
    let mut google = of_machine(&service.address);
    google.metadata.as_mut().unwrap().times = Times { pause: Duration::from_millis(5), ..Times::default() };
    assert_eq!(token(&google).await, "token-of-google");
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test]
async fn server_errors_of_a_token_service_are_temporary_and_refusals_are_permanent() {
    for (status, is_temporary) in
        [("503 Service Unavailable", true), ("500 Internal Server Error", true), ("403 Forbidden", false)]
    {
        let service = Service::answering(status, "").await;
        let (google, _directory) = with_file(&user(&service));
        let error = google.try_access_token().await.unwrap_err();
        assert_eq!(error.is_temporary, is_temporary, "{status}: {error}");
        assert!(error.to_string().contains("credentials.json"), "{error}");
        let State::Failed { retry_at, .. } = &*google.state.lock().await else {
            panic!("no failure is remembered")
        };
        assert_eq!(*retry_at - Instant::now() > TEMPORARY_FAILURE_LIFE, !is_temporary, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_is_remembered() {
    let service = Service::answering("403 Forbidden", "").await;
    let (google, _directory) = with_file(&user(&service));
    for _ in 0..3 {
        assert!(google.token().await.unwrap_err().contains("403"));
    }
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn a_token_is_kept_until_a_minute_before_it_expires_and_then_renewed() {
    let service = token_service().await;
    let google = of_machine(&service.address);
    token(&google).await;
    token(&google).await;
    assert_eq!(service.asked().len(), 1);
    {
        let mut state = google.state.lock().await;
        let State::Token { renew_at, .. } = &mut *state else { panic!("{state:?}") };
        let left = *renew_at - Instant::now();
        assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3540), "{left:?}");
        *renew_at = Instant::now();
    }
    token(&google).await;
    assert_eq!(service.asked().len(), 2);
}

/// A machine that had a token does not lose its credentials because its metadata service is away for a moment.
#[tokio::test]
async fn credentials_that_were_there_are_not_absent_later() {
    let (there, foreign) = (("200 OK", FLAVOR, answer()), ("200 OK", "", answer()));
    let service = Service::start(vec![there.clone(), foreign, there]).await;
    let google = of_machine(&service.address);
    assert_eq!(token(&google).await, "token-of-google");
    match &mut *google.state.lock().await {
        State::Token { renew_at, .. } => *renew_at = Instant::now(),
        state => panic!("{state:?}"),
    }
    let error = google.try_access_token().await.unwrap_err();
    assert!(error.is_temporary && error.to_string().contains("no longer"), "{error}");
    match &mut *google.state.lock().await {
        State::Failed { retry_at, .. } => *retry_at = Instant::now(),
        state => panic!("{state:?}"),
    }
    assert_eq!(token(&google).await, "token-of-google");
}

#[tokio::test]
async fn a_refusal_contains_its_code_and_advice_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("subject");
    fs::write(&path, "hush-subject").unwrap();
    let body = json!({ "error": "invalid_grant", "error_description": "hush" });
    let service = Service::answering("400 Bad Request", &body).await;
    for (content, advice) in [
        (user(&service), "gcloud auth application-default login"),
        (federation(&service, &json!({ "file": path })), "the pool, the provider"),
    ] {
        let error = error(&content).await;
        for part in ["400", "invalid_grant", advice] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let denied = json!({ "error": { "code": 403, "message": "hush", "status": "PERMISSION_DENIED" } });
    let (service, iam) = (token_service().await, Service::answering("403 Forbidden", &denied).await);
    let url = format!("http://{}{ACCOUNT_PATH}", iam.address);
    let error = error(&json!({
        "type": "impersonated_service_account", "service_account_impersonation_url": url,
        "source_credentials": user(&service),
    }))
    .await;
    for part in ["403", "PERMISSION_DENIED", "serviceAccountTokenCreator"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn unusable_credentials_are_reported_without_their_secrets() {
    for (content, expected) in [
        (r#"{"type": "gdch_service_account"}"#, "supported types are authorized_user"),
        (r#"{"type": "service_account", "client_email": "x", "private_key": "hush"}"#, "private_key"),
        (r#"{"type": "authorized_user", "client_secret": "hush"}"#, "not a file of credentials"),
        (r#"{"type": "external_account", "audience": "hush"}"#, "not a file of credentials"),
        ("hush", "not a file of credentials"),
    ] {
        let error = error(&content).await;
        assert!(error.contains(expected), "{error}");
    }
    let named = |is_file_named| {
        let places =
            GooglePlaces { file: Some("/no/such/file".into()), is_file_named, ..GooglePlaces::default() };
        GoogleCredentials::new(places, door())
    };
    assert!(named(true).token().await.unwrap_err().contains("/no/such/file"), "a named file must exist");
    assert!(named(false).token().await.unwrap().is_none());
    assert_eq!(named(true).looked_in(), "application default credentials in /no/such/file (does not exist)");
}
