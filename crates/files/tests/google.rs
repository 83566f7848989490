//! Access to Google Cloud Storage: tokens, missing and broken credentials.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::sync::Arc;

use files::{ErrorKind, GcsSettings, GoogleTokens, S3Settings, Settings, Store, Stores};
use futures_util::future::BoxFuture;
use testkit::{Fault, Relay};
use transport::{Door, Secret};

#[derive(Debug)]
struct Tokens(Result<Option<&'static str>, &'static str>);

impl GoogleTokens for Tokens {
    fn token(&self) -> BoxFuture<'_, Result<Option<Secret>, String>> {
        let token = self.0.map(|token| token.map(Secret::new)).map_err(str::to_owned);
        Box::pin(async { token })
    }
}

/// Starts a store with an empty listing, which it returns only for the right token.
fn guarded() -> Relay {
    Relay::start("127.0.0.1:1", |asked| match asked.headers.get("authorization").map(String::as_str) {
        Some("Bearer right") => Fault::Status(200, r#"{"kind":"storage#objects"}"#.to_owned()),
        Some(shown) => Fault::Status(401, format!(r#"{{"error":{{"message":"{shown} is not valid"}}}}"#)),
        None => {
            Fault::Status(401, r#"{"error":{"message":"Anonymous caller does not have access"}}"#.to_owned())
        }
    })
}

async fn store(relay: &Relay, tokens: Option<Tokens>) -> Store {
    let endpoint = format!("http://{}", relay.host()).parse().unwrap();
    let settings = Settings { gcs: GcsSettings { endpoint }, s3: S3Settings::default() };
    let stores = Stores::new(Door::open(transport::Settings::default()).unwrap(), settings);
    let tokens = tokens.map(|tokens| Arc::new(tokens) as Arc<dyn GoogleTokens>);
    stores.open(&"gs://bucket/sub".parse().unwrap(), tokens).await.unwrap()
}

#[tokio::test]
async fn a_token_is_sent_if_there_is_one_and_never_printed() {
    let relay = guarded();
    let right = store(&relay, Some(Tokens(Ok(Some("right"))))).await;
    assert!(right.reader().page("", "a", None).await.unwrap().unwrap().objects.is_empty());
    let wrong = store(&relay, Some(Tokens(Ok(Some("wrong-and-secret"))))).await;
    let error = wrong.reader().page("", "a", None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Forbidden(_)) && error.advice().is_some());
    assert!(!error.to_string().contains("wrong-and-secret"), "{error}");
}

#[tokio::test]
async fn requests_without_credentials_are_anonymous_and_broken_credentials_send_no_request() {
    let relay = guarded();
    for tokens in [None, Some(Tokens(Ok(None)))] {
        let error = store(&relay, tokens).await.reader().page("", "a", None).await.unwrap_err();
        assert!(error.to_string().contains("Anonymous caller"), "{error}");
    }
    let asked = relay.asked().len();
    let broken = store(&relay, Some(Tokens(Err("the key file is broken")))).await;
    let error = broken.reader().page("", "a", None).await.unwrap_err();
    assert!(error.to_string().contains("the key file is broken"), "{error}");
    assert_eq!(relay.asked().len(), asked);
}

/// The session of an upload is at the configured endpoint. The host in the answer is ignored.
#[tokio::test]
async fn parts_are_never_sent_to_a_host_from_an_answer() {
    let relay = Relay::start("127.0.0.1:1", |asked| match asked.method.as_str() {
        "POST" => Fault::Answer(
            200,
            "Location: http://127.0.0.1:9/upload/x?upload_id=u1".to_owned(),
            "{}".to_owned(),
        ),
        "DELETE" => Fault::Status(499, String::new()),
        _ => Fault::Answer(308, "Range: bytes=0-8388607".to_owned(), String::new()),
    });
    let store = store(&relay, None).await;
    let upload = files::Upload {
        size: 10 << 20,
        sha256: manifest::files::Sha256::new([0; 32]),
        crc32c: None,
        attributes: files::Attributes::default(),
        condition: files::Condition::Absent,
    };
    let mut parts = store.writer().begin("large", &upload, 8 << 20).await.unwrap();
    parts.part(vec![0; 8 << 20].into()).await.unwrap();
    parts.abort().await;
    let sent: Vec<String> =
        relay.asked().iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
    assert_eq!(sent[1..], ["PUT /upload/x?upload_id=u1", "DELETE /upload/x?upload_id=u1"], "{sent:?}");
}
