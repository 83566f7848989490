//! An HTTP server of files.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The maximum time for reading a request, and for writing a response.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum size of a request, in bytes.
const LARGEST: u64 = 64 << 10;

/// Serves files from memory, one connection at a time, until it is dropped.
#[derive(Debug)]
pub(crate) struct FileServer {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    requests: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl FileServer {
    /// Starts a server without files.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(State::default());
        let answering = Arc::clone(&state);
        let thread = thread::spawn(move || answering.answer_all(&listener));
        Self { address, state, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces all files. The keys are paths without a leading slash.
    pub(crate) fn serve(&self, files: BTreeMap<String, Vec<u8>>) {
        *held(&self.state.files) = files;
    }

    /// Returns the requested paths, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        held(&self.state.requests).clone()
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread if it waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn answer_all(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            // A client may disconnect at any time; the server goes on.
            let _ = stream.and_then(|stream| self.answer(stream));
        }
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.try_clone()?.take(LARGEST)).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let file = held(&self.files).get(&path).cloned();
        held(&self.requests).push(path);
        let (status, body) = file.map_or(("404 Not Found", Vec::new()), |file| ("200 OK", file));
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        stream.write_all(&body)
    }
}

/// Locks a mutex. Its value is replaced as a whole, so it is valid even if a thread has panicked with the lock.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::get;

    #[test]
    fn files_are_served_and_requests_are_remembered() {
        let server = FileServer::start();
        server.serve(BTreeMap::from([("a/b".to_owned(), b"content".to_vec())]));
        assert_eq!(get(&format!("{}/a/b", server.url())), b"content");
        let absent = format!("{}/c", server.url());
        assert!(std::panic::catch_unwind(|| get(&absent)).is_err());
        assert_eq!(server.requests(), ["a/b", "c"]);
    }

    #[test]
    fn a_dropped_server_is_gone() {
        let server = FileServer::start();
        let address = server.address;
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
