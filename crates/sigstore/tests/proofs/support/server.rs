//! Servers on loopback with configurable answers, which may come from another server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use url::Url;

/// The time limit of an answer, which is generous because test machines may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method and path: `POST /api/v2/signingCert`.
    pub(crate) line: String,
    content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(line: &str, content_type: &str, body: Vec<u8>) -> Self {
        Self { line: line.to_owned(), content_type: content_type.to_owned(), body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A status and a body.
    Whole(u16, Vec<u8>),
    /// The unchanged answer of another server.
    AsIs(Vec<u8>),
    /// No answer until the client gives up.
    Silence,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(200, body.into())
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::Whole(status, body.into())
    }
}

type Respond = dyn Fn(&Request) -> Answer + Send + Sync;

/// A server that records its requests. It stops when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
    is_stopped: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server that answers all requests with this function.
    pub(crate) fn start(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, is_stopped) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<AtomicBool>::default());
        let (log, stopped, respond) = (Arc::clone(&asked), Arc::clone(&is_stopped), Arc::new(respond));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                // A client may close the connection early.
                thread::spawn(move || stream.and_then(|stream| serve(stream, &log, &*respond)));
            }
        });
        Self { address, asked, is_stopped }
    }

    /// Starts a proxy in front of another server that alters its answers with this function.
    pub(crate) fn before(
        url: &str,
        alter: impl Fn(&Request, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let url = Url::parse(url).unwrap();
        Self::start(move |asked| {
            let answer = forward(&url, asked);
            match status(&answer) {
                status @ 200..=299 => Answer::Whole(status, alter(asked, body(&answer).to_owned())),
                _ => Answer::AsIs(answer),
            }
        })
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the number of requests.
    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Request>>, respond: &Respond) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let asked = read(&stream)?;
    log.lock().unwrap().push(asked.clone());
    match respond(&asked) {
        Answer::Whole(status, body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            )?;
            stream.write_all(&body)
        }
        Answer::AsIs(answer) => stream.write_all(&answer),
        Answer::Silence => stream.read(&mut [0]).map(drop),
    }
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (mut length, mut content_type) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-type") => {
                value.clone_into(&mut content_type);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = line.rsplit_once(' ').map_or_else(String::new, |(line, _)| line.to_owned());
    Ok(Request { line, content_type, body })
}

/// Returns the complete answer of a server to a request. Uses HTTP/1.0, because such answers are not chunked.
pub(crate) fn forward(url: &Url, asked: &Request) -> Vec<u8> {
    let authority = url.authority();
    let (method, path) = asked.line.split_once(' ').unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    let (kind, length) = (&asked.content_type, asked.body.len());
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&asked.body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

pub(crate) fn status(answer: &[u8]) -> u16 {
    String::from_utf8_lossy(&answer[9..12]).parse().unwrap()
}

pub(crate) fn body(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    &answer[end + 4..]
}
