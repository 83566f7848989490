//! For tests: a service on loopback with scripted answers, and tokens whose signature is not valid.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A service that records its requests.
pub(crate) struct Service {
    /// The host and the port.
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// One answer: the status, further headers and the body.
pub(crate) type Answer = (&'static str, &'static str, String);

impl Service {
    /// Starts a service that returns the answers in order and repeats the last one.
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut piece = [0; 4096];
                    let read = stream.read(&mut piece).await.unwrap();
                    assert!(read > 0, "the request ended early");
                    request.extend_from_slice(&piece[..read]);
                }
                log.lock().unwrap().push(String::from_utf8(request).unwrap());
                let (status, headers, body) = &answers[number.min(answers.len() - 1)];
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}");
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                // A client that has read enough may close the connection.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, asked }
    }

    /// Starts a service that answers every request with this status and body.
    pub(crate) async fn answering(status: &'static str, body: impl ToString) -> Self {
        Self::start(vec![(status, "", body.to_string())]).await
    }

    /// Returns the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns an address at which nothing listens.
    pub(crate) async fn unused_address() -> String {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// Returns a token with these claims.
pub(crate) fn jwt(claims: &Value) -> String {
    let head = json!({"alg": "RS256", "typ": "JWT"});
    let parts = [head.to_string(), claims.to_string(), "not a signature".to_owned()];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

/// Returns a valid token for this address that expires in this many seconds.
pub(crate) fn token_of(email: &str, seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    jwt(&json!({
        "iss": "https://accounts.google.com", "sub": "1234", "aud": "sigstore", "iat": now, "exp": now + seconds,
        "email": email, "email_verified": true,
    }))
}
