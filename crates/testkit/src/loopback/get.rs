//! An HTTP client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// The maximum time for each read of a response.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum size of a response, in bytes.
const RESPONSE_MAX: u64 = 16 << 20;

/// Returns the content at an `http://` URL.
///
/// # Panics
/// If no server responds, or if the status is not 200. The message has the response.
pub(crate) fn get(url: &str) -> Vec<u8> {
    ask("GET", url, "")
}

/// Posts JSON to an `http://` URL and returns the response.
///
/// # Panics
/// If no server responds, or if the status is not 200. The message has the response.
pub(crate) fn post(url: &str, json: &str) -> Vec<u8> {
    ask("POST", url, json)
}

fn ask(method: &str, url: &str, body: &str) -> Vec<u8> {
    let (authority, path) = split(url);
    let ask = || {
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {authority}\r\n")?;
        if !body.is_empty() {
            write!(stream, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())?;
        }
        write!(stream, "\r\n{body}")?;
        let mut answer = Vec::new();
        stream.take(RESPONSE_MAX).read_to_end(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let mut answer = ask().unwrap_or_else(|error| panic!("a request to {authority}: {error}"));
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let good = answer.split(|byte| *byte == b' ').nth(1) == Some(b"200");
    match end {
        Some(end) if good => answer.split_off(end + 4),
        _ => panic!("{authority} has responded: {}", String::from_utf8_lossy(&answer)),
    }
}

fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").expect("parts on loopback have http:// URLs");
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}
