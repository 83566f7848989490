//! Requests with a body.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// The maximum time for each read of a response.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The status line and the headers, unchanged.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends a request to `authority` and returns the response.
///
/// # Panics
/// If no server responds.
pub(crate) fn exchange(
    authority: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let ask = || {
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let length = body.len();
        write!(stream, "{method} {target} HTTP/1.0\r\nHost: {authority}\r\nContent-Length: {length}\r\n")?;
        headers.iter().try_for_each(|(name, value)| write!(stream, "{name}: {value}\r\n"))?;
        stream.write_all(b"\r\n")?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let mut answer = ask().unwrap_or_else(|error| panic!("a request to {authority}: {error}"));
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a response has a head");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).into_owned();
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a response has a status");
    Reply { status, head, body }
}
