//! A collector of traces.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use super::Ran;

/// What a collector does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    Accept,
    Fail,
    Hang,
}

/// The received requests: the head as text, and the body.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector. It keeps the requests that it has received.
pub(crate) struct Collector {
    pub(crate) url: String,
    requests: Requests,
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, stream) = (Arc::clone(&kept), stream.unwrap());
                thread::spawn(move || serve(stream, manner, &kept));
            }
        });
        Self { url, requests }
    }

    /// Returns all heads, and all bodies as one text.
    pub(crate) fn received(&self) -> (Vec<String>, String) {
        let requests = self.requests.lock().unwrap();
        let bodies: Vec<u8> = requests.iter().flat_map(|(_, body)| body.clone()).collect();
        let heads = requests.iter().map(|(head, _)| head.clone()).collect();
        (heads, String::from_utf8_lossy(&bodies).into_owned())
    }
}

fn serve(mut stream: TcpStream, manner: Manner, kept: &Requests) {
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        read.extend_from_slice(&piece[..length]);
        let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(read[..end].to_vec()).unwrap().to_ascii_lowercase();
        let body: usize =
            head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        if read.len() < end + 4 + body {
            continue;
        }
        let rest = read.split_off(end + 4 + body);
        kept.lock().unwrap().push((head, read.split_off(end + 4)));
        read = rest;
        let status = match manner {
            Manner::Accept => "200 OK",
            Manner::Fail => "400 Bad Request",
            Manner::Hang => return thread::park(),
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    }
}

/// Sends the trace of a command to a collector, with a credential.
pub(crate) fn trace(command: &mut Command, endpoint: &str) {
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush,x-team=releng");
}

/// Returns the lines about the trace.
pub(crate) fn warnings(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().filter(|line| line.contains("the trace") || line.contains("not traced")).collect()
}
