use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use sigstore::AccessTokens;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::credentials::Keychain;

const ANSWER: &str = r#"{"access_token": "token-of-google", "expires_in": 3600, "token_type": "Bearer"}"#;

/// A token service that answers everything with a token, and remembers what it was asked.
async fn service() -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    answering(&format!("200 OK\r\nmetadata-flavor: Google\r\ncontent-length: {}", ANSWER.len()), ANSWER).await
}

/// A service that gives everything the same answer, of this head and body, and remembers what it was asked.
async fn answering(head: &str, body: &str) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            // A request of this client ends with its body, which is a form, or with its head.
            while !is_whole(&request) {
                let read = stream.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            log.lock().unwrap().push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, asked)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn form(request: &str) -> HashMap<String, String> {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

/// Google's credentials with a file of this content.
fn with_file(content: &str) -> (Google, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    fs::write(&file, content).unwrap();
    let places = Places { google_credentials: Some(file), ..Places::default() };
    (Google::new(&places, Door::open(transport::Settings::default()).unwrap()), folder)
}

async fn token(google: &Google) -> String {
    match google.credential().await.unwrap().map(|found| found.credential) {
        Some(Credential::Bearer(token)) => token.reveal().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn origin(google: &Google) -> String {
    google.credential().await.unwrap().unwrap().origin
}

#[tokio::test]
async fn a_user_s_refresh_token_gets_one_access_token_for_all_who_ask() {
    let (address, asked) = service().await;
    let (google, _folder) = with_file(&format!(
        r#"{{"type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "again",
            "token_uri": "http://{address}/token"}}"#
    ));
    assert_eq!(
        tokio::join!(token(&google), token(&google)),
        ("token-of-google".into(), "token-of-google".into())
    );
    assert!(origin(&google).await.starts_with("application default credentials in /"));
    assert!(origin(&google).await.ends_with("/credentials.json"));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    let form = form(&asked[0]);
    assert_eq!((form["grant_type"].as_str(), form["refresh_token"].as_str()), ("refresh_token", "again"));
}

#[tokio::test]
async fn a_service_account_signs_its_assertion() {
    let (address, asked) = service().await;
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let uri = format!("http://{address}/token");
    let (google, _folder) = with_file(
        &serde_json::json!({
            "type": "service_account", "client_email": "promoter@example.com", "private_key": pem,
            "private_key_id": "key-1", "token_uri": uri,
        })
        .to_string(),
    );
    assert_eq!(token(&google).await, "token-of-google");
    let form = form(&asked.lock().unwrap()[0]);
    let (text, signature) = form["assertion"].rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let [head, claims] = [0, 1].map(|part| -> serde_json::Value {
        let part = URL_SAFE_NO_PAD.decode(text.split('.').nth(part).unwrap()).unwrap();
        serde_json::from_slice(&part).unwrap()
    });
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(head, serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now - issued < 60 && expires - issued == 3600, "{claims}");
    assert_eq!(
        (claims["iss"].as_str(), claims["aud"].as_str(), claims["scope"].as_str()),
        (Some("promoter@example.com"), Some(uri.as_str()), Some(SCOPE))
    );
}

#[tokio::test]
async fn the_metadata_service_is_asked_where_there_is_no_file() {
    let (address, asked) = service().await;
    let places = Places { metadata_host: Some(address), ..Places::default() };
    let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
    assert_eq!(token(&google).await, "token-of-google");
    assert_eq!(origin(&google).await, "the metadata server");
    assert!(asked.lock().unwrap()[0].contains("metadata-flavor: Google"));
}

/// Whatever files say of Google's registries: that is no access token.
#[tokio::test]
async fn requests_for_identities_use_the_same_access_token() {
    let (address, asked) = service().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), r#"{"auths": {"gcr.io": {"auth": "dTpw"}}}"#).unwrap();
    let docker_config = Some(folder.path().to_owned());
    let places = Places { docker_config, metadata_host: Some(address), ..Places::default() };
    let keychain = Keychain::new(places, Door::open(transport::Settings::default()).unwrap());
    for _ in 0..2 {
        assert_eq!(keychain.access_token().await.unwrap().unwrap().reveal(), "token-of-google");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_credentials_and_a_metadata_service_nothing_is_asked_a_second_time() {
    // A port that was free a moment ago: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let places = Places { metadata_host: Some(free.clone()), ..Places::default() };
    let door = Door::open(transport::Settings::default()).unwrap();
    let google = Google::new(&places, door.clone());
    for _ in 0..2 {
        assert!(google.credential().await.unwrap().is_none());
    }
    assert_eq!(door.tally()[&free].total(), 1);
}

#[tokio::test]
async fn what_another_cloud_or_a_proxy_answers_at_that_address_is_no_credential_and_no_error() {
    for head in ["401 Unauthorized", "400 Bad Request", "200 OK"] {
        let (address, _) = answering(&format!("{head}\r\ncontent-length: {}", ANSWER.len()), ANSWER).await;
        let places = Places { metadata_host: Some(address), ..Places::default() };
        let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
        assert!(google.credential().await.unwrap().is_none(), "{head}");
    }
}

#[tokio::test]
async fn a_service_that_refuses_is_not_asked_again_for_every_request() {
    let (address, asked) = answering("403 Forbidden\r\ncontent-length: 0", "").await;
    let (google, _folder) = with_file(&format!(
        r#"{{"type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "again",
            "token_uri": "http://{address}/token"}}"#
    ));
    for _ in 0..3 {
        assert!(google.credential().await.unwrap_err().contains("403"));
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_metadata_service_that_hangs_is_waited_for_once_and_two_seconds() {
    for head in ["", "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-length: 9\r\n\r\n{"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let places =
            Places { metadata_host: Some(listener.local_addr().unwrap().to_string()), ..Places::default() };
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(head.as_bytes()).await.unwrap();
            // Held open, and never finished.
            std::future::pending::<()>().await;
        });
        let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
        let started = Instant::now();
        let answers = [google.credential().await, google.credential().await];
        assert!(started.elapsed() < METADATA_TIME * 2, "{head}: {:?}", started.elapsed());
        for answer in answers {
            match answer {
                Ok(found) => assert!(found.is_none() && head.is_empty(), "{head}"),
                Err(error) => assert!(error.contains("within 2 s") && !head.is_empty(), "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_token_is_kept_until_a_minute_before_it_expires_and_then_renewed() {
    let (address, asked) = service().await;
    let places = Places { metadata_host: Some(address), ..Places::default() };
    let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
    token(&google).await;
    token(&google).await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    {
        let mut state = google.state.lock().await;
        let State::Token { renew_at, .. } = &mut *state else { panic!("{state:?}") };
        let left = *renew_at - Instant::now();
        assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3540), "{left:?}");
        *renew_at = Instant::now();
    }
    token(&google).await;
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_grant_says_why_and_what_to_do_and_no_more() {
    let body = r#"{"error": "invalid_grant", "error_description": "hush"}"#;
    let (address, _) = answering(&format!("400 Bad Request\r\ncontent-length: {}", body.len()), body).await;
    let (google, _folder) = with_file(&format!(
        r#"{{"type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "hush",
            "token_uri": "http://{address}/token"}}"#
    ));
    let error = google.credential().await.unwrap_err();
    for part in ["credentials.json", "400", "invalid_grant", "gcloud auth application-default login"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_used_is_named_without_its_secrets() {
    for (content, expected) in [
        (r#"{"type": "external_account"}"#, "gcloud"),
        (r#"{"type": "service_account", "client_email": "x", "private_key": "hush"}"#, "private_key"),
        (r#"{"type": "authorized_user", "client_secret": "hush"}"#, "not a file of credentials"),
        ("hush", "not a file of credentials"),
    ] {
        let (google, _folder) = with_file(content);
        let error = google.credential().await.unwrap_err();
        assert!(
            error.contains(expected) && error.contains("credentials.json") && !error.contains("hush"),
            "{error}"
        );
    }
    let places = Places { google_credentials: Some("/no/such/file".into()), ..Places::default() };
    let google = Google::new(&places, Door::open(transport::Settings::default()).unwrap());
    assert!(
        google.credential().await.unwrap_err().contains("/no/such/file"),
        "what is asked for must be there"
    );
}

#[test]
fn only_google_s_registries_are_google_s() {
    let is = |host: &str| is_google(&host.parse().unwrap());
    assert!(is("gcr.io") && is("eu.gcr.io") && is("us-central1-docker.pkg.dev"));
    assert!(!is("gcr.io.evil.example") && !is("notgcr.io") && !is("pkg.dev.example"));
}
