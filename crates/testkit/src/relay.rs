//! An HTTP relay in front of a server, which injects faults and records requests.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::loopback::{Listening, locked};

/// The maximum time for each read and write.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A request that the relay has received.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The number of requests before it.
    pub number: usize,
    /// The method.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The length of the body, in bytes.
    pub length: usize,
}

/// What the relay does with a request.
pub enum Fault {
    /// Forwards it.
    None,
    /// Responds with this status and body, without the server.
    Status(u16, String),
    /// Responds with this status, header line and body, without the server.
    Answer(u16, String, String),
    /// Closes the connection without forwarding it.
    Reset,
    /// Forwards it, and closes the connection instead of responding.
    LoseAnswer,
    /// Forwards it, and cuts the response body in the middle.
    CutBody,
    /// Forwards it, and rewrites the response body.
    Rewrite(Box<dyn Fn(String) -> String + Send>),
    /// Forwards it, and sends the response body in pieces of this many bytes, one every 10 ms.
    Drip(usize),
    /// Never responds. The connection closes when the relay is dropped.
    Hang,
}

type Decide = dyn Fn(&Asked) -> Fault + Send + Sync;

/// A relay. It stops when it is dropped.
pub struct Relay {
    listening: Listening,
    state: Arc<State>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("address", &self.listening.address()).finish_non_exhaustive()
    }
}

struct State {
    upstream: String,
    decide: Box<Decide>,
    asked: Mutex<Vec<Asked>>,
    /// The uploads of Google Cloud Storage, if the relay keeps their state.
    uploads: Option<Mutex<BTreeMap<String, Session>>>,
}

/// A resumable upload.
#[derive(Clone, Default)]
struct Session {
    persisted: u64,
    /// The response that completed it.
    done: Option<Vec<u8>>,
}

/// Returns the faults of an unreliable connection: about one request in 20 is answered with 503, and about one in 40 each is not
/// forwarded, loses its response, or has its response body cut.
pub fn flaky() -> impl Fn(&Asked) -> Fault + Send + Sync + 'static {
    let seed = AtomicUsize::new(0);
    move |_| {
        let number = seed.fetch_add(1, Ordering::SeqCst) as u64;
        let mixed =
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xff51_afd7_ed55_8ccd)
                >> 40;
        match mixed % 80 {
            0..4 => Fault::Status(503, String::new()),
            4..6 => Fault::Reset,
            6..8 => Fault::LoseAnswer,
            8..10 => Fault::CutBody,
            _ => Fault::None,
        }
    }
}

impl Relay {
    /// Starts a relay in front of `upstream`, which is `host:port`.
    pub fn start(upstream: &str, decide: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Self {
        Self::new(upstream, Box::new(decide), None)
    }

    /// As [`Relay::start`], for an emulator of Google Cloud Storage: resumable uploads behave as documented. The relay answers
    /// status queries of uploads, and it does not forward bytes again that the store already has.
    pub fn like_google(upstream: &str, decide: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Self {
        Self::new(upstream, Box::new(decide), Some(Mutex::default()))
    }

    fn new(upstream: &str, decide: Box<Decide>, uploads: Option<Mutex<BTreeMap<String, Session>>>) -> Self {
        let asked = Mutex::default();
        let state = Arc::new(State { upstream: upstream.to_owned(), decide, asked, uploads });
        let serving = Arc::clone(&state);
        let listening = Listening::start(move |stream, is_over| {
            let (state, is_over) = (Arc::clone(&serving), Arc::clone(is_over));
            thread::spawn(move || drop(state.serve(stream, &is_over)));
        });
        Self { listening, state }
    }

    /// Returns `host:port`.
    pub fn host(&self) -> String {
        self.listening.address().to_string()
    }

    /// Returns the requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.state.asked).clone()
    }

    /// Returns the number of requests so far with this method whose target contains a text.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let asked = locked(&self.state.asked);
        asked.iter().filter(|asked| asked.method == method && asked.target.contains(part)).count()
    }
}

impl State {
    /// Serves the one request of a connection.
    fn serve(&self, mut client: TcpStream, is_over: &AtomicBool) -> std::io::Result<()> {
        client.set_read_timeout(Some(TIMEOUT))?;
        client.set_write_timeout(Some(TIMEOUT))?;
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client.try_clone()?);
        let Some((head, mut asked)) = read_head(&mut reader)? else { return Ok(()) };
        if asked.headers.get("expect").is_some_and(|expect| expect.contains("100")) {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = read_body(&mut reader, &asked.headers)?;
        asked.length = body.len();
        {
            let mut all = locked(&self.asked);
            asked.number = all.len();
            all.push(asked.clone());
        }
        let fault = (self.decide)(&asked);
        match &fault {
            Fault::Status(status, text) => return answer_with(&mut client, *status, "X-Relay: fault", text),
            Fault::Answer(status, header, text) => return answer_with(&mut client, *status, header, text),
            Fault::Reset => return reset(&client),
            Fault::Hang => {
                while !is_over.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(50));
                }
                return Ok(());
            }
            _ => {}
        }
        let answer = self.answer(&head, &asked, &body)?;
        let at = find(&answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let (head, body) = answer.split_at(at);
        match fault {
            Fault::LoseAnswer => reset(&client),
            Fault::CutBody => {
                client.write_all(head)?;
                client.write_all(&body[..body.len() / 2])?;
                reset(&client)
            }
            Fault::Rewrite(rewrite) => {
                let head = String::from_utf8_lossy(head);
                let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
                let body = if is_chunked { unchunked(body) } else { body.to_vec() };
                let body = rewrite(String::from_utf8_lossy(&body).into_owned());
                let kept = head.lines().filter(|line| {
                    let line = line.to_ascii_lowercase();
                    !line.is_empty()
                        && !line.starts_with("content-length")
                        && !line.starts_with("transfer-encoding")
                });
                let head: String = kept.map(|line| format!("{line}\r\n")).collect();
                client.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
            }
            Fault::Drip(bytes) => {
                client.write_all(head)?;
                for piece in body.chunks(bytes.max(1)) {
                    client.write_all(piece)?;
                    thread::sleep(Duration::from_millis(10));
                }
                Ok(())
            }
            _ => client.write_all(&answer),
        }
    }

    /// Returns the response to a request: that of the server, or that of the relay if it keeps the state of the upload.
    fn answer(&self, head: &str, asked: &Asked, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let session =
            asked.target.split_once("upload_id=").map(|(_, id)| id.split('&').next().unwrap_or_default());
        let (Some(uploads), Some(id), "PUT") = (&self.uploads, session, asked.method.as_str()) else {
            return self.forward(head, body);
        };
        let range = asked.headers.get("content-range").cloned().unwrap_or_default();
        let known = locked(uploads).get(id).cloned().unwrap_or_default();
        if let Some(done) = known.done {
            return Ok(done);
        }
        let start: Option<u64> =
            range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok());
        let Some(start) = start else { return Ok(incomplete(known.persisted)) };
        if start != known.persisted {
            return Ok(incomplete(known.persisted));
        }
        let answer = self.forward(head, body)?;
        let persisted = known.persisted + body.len() as u64;
        let is_done = answer.starts_with(b"HTTP/1.1 200");
        if is_done || answer.starts_with(b"HTTP/1.1 308") {
            let done = is_done.then(|| answer.clone());
            locked(uploads).insert(id.to_owned(), Session { persisted, done });
        }
        Ok(answer)
    }

    /// Sends a request to the server, with the length of its body, and returns the response.
    fn forward(&self, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(&self.upstream)?;
        server.set_read_timeout(Some(TIMEOUT))?;
        server.write_all(head.as_bytes())?;
        server
            .write_all(format!("Connection: close\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())?;
        server.write_all(body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Returns the response to a status query of an incomplete upload.
fn incomplete(persisted: u64) -> Vec<u8> {
    let range = if persisted > 0 { format!("Range: bytes=0-{}\r\n", persisted - 1) } else { String::new() };
    format!("HTTP/1.1 308 Resume Incomplete\r\n{range}Content-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

fn answer_with(client: &mut TcpStream, status: u16, header: &str, text: &str) -> std::io::Result<()> {
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status} Relayed\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    );
    client.write_all(answer.as_bytes())
}

/// Closes a connection before the response is complete.
fn reset(client: &TcpStream) -> std::io::Result<()> {
    client.shutdown(Shutdown::Both)
}

/// Reads the head of a request. Returns it without the headers about the connection and the body.
fn read_head(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, Asked)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let (mut head, mut headers) = (line.clone(), BTreeMap::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let name = name.to_ascii_lowercase();
        headers.insert(name.clone(), value.trim().to_owned());
        if !matches!(name.as_str(), "connection" | "content-length" | "transfer-encoding" | "expect") {
            head.push_str(&line);
        }
    }
    Ok(Some((head, Asked { number: 0, method, target, headers, length: 0 })))
}

fn read_body(
    reader: &mut BufReader<TcpStream>,
    headers: &BTreeMap<String, String>,
) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            reader.take(size).read_to_end(&mut body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut body)?;
    Ok(body)
}

/// Decodes a chunked body.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = find(body, b"\r\n") {
        let size = std::str::from_utf8(&body[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let (Some(size), rest) = (size, &body[end + 2..]) else { break };
        if size == 0 || rest.len() < size {
            break;
        }
        whole.extend_from_slice(&rest[..size]);
        body = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
