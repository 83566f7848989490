//! An HTTP server for files.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::listening::{Listening, locked};

/// The maximum time for each read and write.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of a request, in bytes.
const REQUEST_MAX: u64 = 64 << 10;

/// Serves files from memory, one connection at a time, until it is dropped.
#[derive(Debug)]
pub(crate) struct FileServer {
    listening: Listening,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    requests: Mutex<Vec<String>>,
}

impl FileServer {
    /// Starts a server without files.
    pub(crate) fn start() -> Self {
        let state = Arc::new(State::default());
        let answering = Arc::clone(&state);
        let listening = Listening::start(move |stream, _| drop(answering.answer(stream)));
        Self { listening, state }
    }

    pub(crate) fn url(&self) -> String {
        self.listening.url()
    }

    /// Replaces all files. The keys are paths without a leading slash.
    pub(crate) fn serve(&self, files: BTreeMap<String, Vec<u8>>) {
        *locked(&self.state.files) = files;
    }

    /// Returns the requested paths, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        locked(&self.state.requests).clone()
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut lines = BufReader::new(stream.try_clone()?.take(REQUEST_MAX)).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let file = locked(&self.files).get(&path).cloned();
        locked(&self.requests).push(path);
        let (status, body) = file.map_or(("404 Not Found", Vec::new()), |file| ("200 OK", file));
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        stream.write_all(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::get;

    #[test]
    fn files_are_served_and_requests_are_recorded() {
        let server = FileServer::start();
        server.serve(BTreeMap::from([("a/b".to_owned(), b"content".to_vec())]));
        assert_eq!(get(&format!("{}/a/b", server.url())), b"content");
        let absent = format!("{}/c", server.url());
        assert!(std::panic::catch_unwind(|| get(&absent)).is_err());
        assert_eq!(server.requests(), ["a/b", "c"]);
    }

    #[test]
    fn a_dropped_server_stops_listening() {
        let server = FileServer::start();
        let address = server.listening.address();
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
