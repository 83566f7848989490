//! An HTTP/2 server that sends individual frames, so that it can stop at any point that a test requires.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::tls::Certificate;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
/// Flags of frames. The first value means `ACK` for frames of a connection.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` in the static table of HPACK (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// Error codes (RFC 9113, section 7).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Code {
    NoError = 0,
    InternalError = 2,
    RefusedStream = 7,
    Cancel = 8,
    EnhanceYourCalm = 11,
}

/// A frame that the server sends for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Send {
    /// The head of a 200 answer.
    Head,
    /// A piece of the body, and whether it is the last one.
    Piece(&'static [u8], bool),
    /// Ends the stream of the request.
    Reset(Code),
    /// Announces the end of the connection. The request may have been served.
    GoAway(Code),
    /// Announces the end of the connection. The request was not served.
    GoAwayUnserved(Code),
    /// Announces that the connection accepts no further requests.
    GracefulGoAway,
    /// Closes the connection.
    Close,
    /// Leaves the connection open, but reads and sends nothing more on it.
    Hang,
}

/// The frames of a successful answer.
pub(crate) const SERVED: &[Send] = &[Send::Head, Send::Piece(b"ok", true)];

/// A server with one reaction for each request in turn. It repeats the last one forever.
pub(crate) struct Server {
    pub(crate) url: Url,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Clone)]
struct Script {
    reactions: Arc<[&'static [Send]]>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    pub(crate) async fn start(reactions: &[&'static [Send]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
        let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let script = Script { reactions: reactions.into(), bodies: Arc::clone(&bodies) };
        let acceptor = Certificate::Host.acceptor("h2");
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, acceptor) = (script.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    // An error means that the client has closed the connection.
                    let _ = script.serve(stream).await;
                });
            }
        });
        Self { url, bodies }
    }

    /// Returns the bodies of all requests that were sent completely.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }
}

impl Script {
    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await?;
        assert_eq!(preface, PREFACE);
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        let mut unfinished = HashMap::<u32, Vec<u8>>::new();
        loop {
            let Frame { kind, flags, id, payload } = Frame::read(&mut stream).await?;
            match kind {
                SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
                PING if flags & ACK == 0 => stream.write_all(&frame(PING, ACK, 0, &payload)).await?,
                HEADERS => drop(unfinished.insert(id, Vec::new())),
                DATA => unfinished.entry(id).or_default().extend(payload),
                _ => {}
            }
            if !matches!(kind, HEADERS | DATA) || flags & END_STREAM == 0 {
                continue;
            }
            for send in self.reaction(unfinished.remove(&id).unwrap_or_default()) {
                match send {
                    Send::Close => return stream.shutdown().await,
                    Send::Hang => std::future::pending().await,
                    _ => {}
                }
                stream.write_all(&send.frame(id)).await?;
                stream.flush().await?;
            }
        }
    }

    /// Records the body of a request, and returns the frames to send.
    fn reaction(&self, body: Vec<u8>) -> &'static [Send] {
        let mut bodies = self.bodies.lock().unwrap();
        bodies.push(body);
        self.reactions[(bodies.len() - 1).min(self.reactions.len() - 1)]
    }
}

impl Send {
    fn frame(self, id: u32) -> Vec<u8> {
        let go_away = |last: u32, code: Code| {
            frame(GOAWAY, 0, 0, &[last.to_be_bytes(), (code as u32).to_be_bytes()].concat())
        };
        match self {
            Self::Head => frame(HEADERS, END_HEADERS, id, &[STATUS_200]),
            Self::Piece(bytes, is_last) => frame(DATA, if is_last { END_STREAM } else { 0 }, id, bytes),
            Self::Reset(code) => frame(RST_STREAM, 0, id, &(code as u32).to_be_bytes()),
            Self::GoAway(code) => go_away(id, code),
            Self::GoAwayUnserved(code) => go_away(0, code),
            Self::GracefulGoAway => go_away(i32::MAX.unsigned_abs(), Code::NoError),
            Self::Close | Self::Hang => Vec::new(),
        }
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    id: u32,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [l0, l1, l2, kind, flags, i0, i1, i2, i3] = head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        Ok(Self { kind, flags, id: u32::from_be_bytes([i0, i1, i2, i3]), payload })
    }
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(id.to_be_bytes());
    bytes.extend(payload);
    bytes
}
