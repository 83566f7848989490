use std::fs;
use std::sync::Arc;

use sigstore::AccessTokens;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::credentials::Keychain;

const ANSWER: &str = r#"{"access_token": "token-of-google", "expires_in": 3600, "token_type": "Bearer"}"#;

/// Starts a token service that answers every request with a token, and records the requests.
async fn service() -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            // A request ends with its body, which is a form, or with its head if it has no body.
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

fn google(places: &Places) -> Google {
    Google::new(places, Door::open(transport::Settings::default()).unwrap())
}

async fn found(google: &Google) -> (String, String) {
    let FoundCredential { credential, origin } = google.credential().await.unwrap().unwrap();
    match credential {
        Credential::Bearer(token) => (token.reveal().to_owned(), origin),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_named_comes_before_the_metadata_service_and_its_token_is_shown_as_it_is() {
    let ((token_service, asked), (metadata, machine_asked)) = (service().await, service().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials.json");
    let content = serde_json::json!({
        "type": "authorized_user", "client_id": "me", "client_secret": "hush", "refresh_token": "again",
        "token_uri": format!("http://{token_service}/token"),
    });
    fs::write(&file, content.to_string()).unwrap();
    let places =
        Places { google_credentials: Some(file), metadata_host: Some(metadata), ..Places::default() };
    let google = google(&places);
    let (token, origin) = found(&google).await;
    assert_eq!(token, "token-of-google");
    assert!(origin.starts_with("application default credentials in /"), "{origin}");
    assert!(origin.ends_with("/credentials.json"), "{origin}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(machine_asked.lock().unwrap().is_empty());
    assert!(google.looked_in().ends_with("/credentials.json and the metadata server"));
}

#[tokio::test]
async fn the_well_known_file_of_gcloud_need_not_be_there() {
    let (metadata, asked) = service().await;
    let directory = tempfile::tempdir().unwrap();
    let places = Places {
        home: Some(directory.path().to_owned()),
        metadata_host: Some(metadata),
        ..Places::default()
    };
    assert_eq!(found(&google(&places)).await, ("token-of-google".into(), "the metadata server".into()));
    assert!(asked.lock().unwrap()[0].contains("metadata-flavor: Google"));
    let places = Places { google_credentials: Some("/no/such/file".into()), ..places };
    let error = google(&places).credential().await.unwrap_err();
    assert!(error.contains("/no/such/file"), "what is asked for must be there: {error}");
}

/// An `auths` entry for a Google registry is not an access token, so it has no effect here.
#[tokio::test]
async fn requests_for_identities_use_the_same_access_token() {
    let (address, asked) = service().await;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.json"), r#"{"auths": {"gcr.io": {"auth": "dTpw"}}}"#).unwrap();
    let docker_config = Some(directory.path().to_owned());
    let places = Places { docker_config, metadata_host: Some(address), ..Places::default() };
    let keychain = Keychain::new(places, Door::open(transport::Settings::default()).unwrap());
    for _ in 0..2 {
        assert_eq!(keychain.access_token().await.unwrap().unwrap().reveal(), "token-of-google");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn only_google_s_registries_are_google_s() {
    let is = |host: &str| is_google(&host.parse().unwrap());
    assert!(is("gcr.io") && is("eu.gcr.io") && is("us-central1-docker.pkg.dev"));
    assert!(!is("gcr.io.evil.example") && !is("notgcr.io") && !is("pkg.dev.example"));
}
