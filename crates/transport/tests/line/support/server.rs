//! A server that returns its answers in turn and records its requests.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use transport::{Class, Request};
use url::Url;

use super::tls::Certificate;

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// Returns an answer without a body. Each header in `headers` ends with `\r\n`.
pub(crate) fn empty(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} Answer\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
}

/// Returns a redirect.
pub(crate) fn redirect(status: u16, to: &str) -> String {
    empty(status, &format!("location: {to}\r\n"))
}

/// A request that a server received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A server that returns its answers in turn, each on its own connection, and repeats the last one forever.
pub(crate) struct Server {
    pub(crate) address: String,
    scheme: &'static str,
    connections: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<Received>>>,
}

/// The speed of a server's answers.
#[derive(Clone, Copy)]
enum Pace {
    /// Immediately.
    Immediate,
    /// After this delay.
    After(Duration),
    /// Immediately, but the rest of the answer arrives very slowly and never ends.
    Dripping,
}

/// The answers of a server, and their speed.
#[derive(Clone)]
struct Script {
    answers: Vec<String>,
    pace: Pace,
    log: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Starts a server that speaks plain HTTP. It answers data that is not HTTP immediately.
    pub(crate) async fn plain<S: Into<String>>(answers: impl IntoIterator<Item = S>) -> Self {
        Self::start(None, Pace::Immediate, answers).await
    }

    /// Starts a server that speaks plain HTTP and delays its answers.
    pub(crate) async fn slow<S: Into<String>>(delay: Duration, answers: impl IntoIterator<Item = S>) -> Self {
        Self::start(None, Pace::After(delay), answers).await
    }

    /// Starts a server that speaks plain HTTP and whose answers never end: after the given text it sends a byte from time to
    /// time.
    pub(crate) async fn dripping<S: Into<String>>(answers: impl IntoIterator<Item = S>) -> Self {
        Self::start(None, Pace::Dripping, answers).await
    }

    /// Starts a server that speaks TLS.
    pub(crate) async fn tls<S: Into<String>>(
        certificate: Certificate,
        answers: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::start(Some(certificate), Pace::Immediate, answers).await
    }

    async fn start<S: Into<String>>(
        certificate: Option<Certificate>,
        pace: Pace,
        answers: impl IntoIterator<Item = S>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log = Arc::<Mutex<Vec<Received>>>::default();
        let answers = answers.into_iter().map(Into::into).collect();
        let script = Script { answers, pace, log: Arc::clone(&log) };
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        let acceptor = certificate.map(|certificate| certificate.acceptor("http/1.1"));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Relaxed);
                let (script, acceptor) = (script.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => script.serve(stream).await,
                        Some(acceptor) => {
                            // If the handshake fails, rustls has sent its alert.
                            if let Ok(stream) = acceptor.accept(stream).await {
                                script.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Self { address, scheme, connections, log }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        self.url_with_scheme(self.scheme, path)
    }

    /// Returns a URL with a scheme that the server may not support.
    pub(crate) fn url_with_scheme(&self, scheme: &str, path: &str) -> Url {
        Url::parse(&format!("{scheme}://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        Request::new(Method::GET, self.url(path), "get", Class::Read)
    }

    pub(crate) fn post(&self, path: &str) -> Request {
        Request::new(Method::POST, self.url(path), "post", Class::Write)
    }

    /// Returns the number of connections to the server.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Returns the requests that the server received.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.log.lock().unwrap().clone()
    }
}

impl Script {
    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(received) = read(&mut stream).await else { return };
        let answer = {
            let mut log = self.log.lock().unwrap();
            log.push(received);
            self.answers[(log.len() - 1).min(self.answers.len() - 1)].clone()
        };
        if let Pace::After(delay) = self.pace {
            tokio::time::sleep(delay).await;
        }
        let _ = stream.write_all(answer.as_bytes()).await;
        while matches!(self.pace, Pace::Dripping) && stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = stream.shutdown().await;
        // Reads the rest of the request: closing the connection earlier would reset it, and the client could lose the answer.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

/// Reads a request, or the start of data that is not HTTP. Returns `None` if the connection closes without a complete request.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if !bytes[0].is_ascii_alphabetic() {
            return Some(Received { head: "not HTTP".to_owned(), body: bytes });
        }
        let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let mut body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        while body.len() < length {
            if stream.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        return Some(Received { head, body });
    }
}
