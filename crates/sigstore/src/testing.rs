//! For tests: a Sigstore in this process, without other programs. Tests control what its certificate authority, its log and its
//! timestamp authority state, independently of the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sigstore_crypto::KeyPair;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::der::{SET, identifier, sequence, value};
use crate::verify::OwnAuthority;

pub(crate) const SIGNER: &str = "promoter@example.com";
pub(crate) const ISSUER: &str = "https://accounts.google.com";

const ECDSA_WITH_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
const CODE_SIGNING: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
/// Fulcio's *Issuer (V2)*: 1.3.6.1.4.1.57264.1.8.
const FULCIO_ISSUER: [u8; 10] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x08];

pub(crate) fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// Returns the local time, to the second, as in certificates and log entries.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}

/// A certificate authority.
pub(crate) struct Authority {
    key: KeyPair,
    name: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
}

impl Authority {
    /// Creates a root authority with this name.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        let name = named(name);
        let public = key.public_key_der().unwrap();
        let certificate = issued(&key, &name, &name, public.as_bytes(), (now(), now()), &[constraints()]);
        Self { key, name, certificate }
    }

    /// Creates an intermediate authority with this name, issued by this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        let (name, public) = (named(name), key.public_key_der().unwrap());
        let validity = (now() - seconds(3600), now() + seconds(3600));
        let extensions = [constraints(), code_signing()];
        let certificate = issued(&self.key, &self.name, &name, public.as_bytes(), validity, &extensions);
        Self { key, name, certificate }
    }

    /// Issues a certificate for the signer's key (*SubjectPublicKeyInfo*), valid from one time until another.
    pub(crate) fn issue(&self, key: &[u8], from: Timestamp, until: Timestamp) -> Vec<u8> {
        let identity = value(0x81, &[SIGNER.as_bytes()]);
        let extensions = [
            code_signing(),
            extension(&SUBJECT_ALT_NAME, &sequence(&[&identity])),
            extension(&FULCIO_ISSUER, &value(0x0c, &[ISSUER.as_bytes()])),
        ];
        issued(&self.key, &self.name, &sequence(&[]), key, (from, until), &extensions)
    }
}

fn named(name: &str) -> Vec<u8> {
    let name = sequence(&[&identifier(&COMMON_NAME), &value(0x0c, &[name.as_bytes()])]);
    sequence(&[&value(SET, &[&name])])
}

fn extension(name: &[u8], content: &[u8]) -> Vec<u8> {
    sequence(&[&identifier(name), &value(0x04, &[content])])
}

fn constraints() -> Vec<u8> {
    extension(&BASIC_CONSTRAINTS, &sequence(&[&[0x01, 0x01, 0xff]]))
}

fn code_signing() -> Vec<u8> {
    extension(&EXTENDED_KEY_USAGE, &sequence(&[&identifier(&CODE_SIGNING)]))
}

fn issued(
    by: &KeyPair,
    issuer: &[u8],
    subject: &[u8],
    key: &[u8],
    (from, until): (Timestamp, Timestamp),
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let time = |at: Timestamp| value(0x17, &[at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()]);
    let algorithm = sequence(&[&identifier(&ECDSA_WITH_SHA256)]);
    let validity = sequence(&[&time(from), &time(until)]);
    let version = value(0xa0, &[&[0x02, 0x01, 0x02]]);
    let extensions = value(0xa3, &[&sequence(&[&extensions.concat()])]);
    let parts = [&version, &[0x02, 0x01, 0x07][..], &algorithm, issuer, &validity, subject, key, &extensions];
    let content = sequence(&parts);
    let signature = by.sign(&content).unwrap();
    sequence(&[&content, &algorithm, &value(0x03, &[&[0], signature.as_bytes()])])
}

/// Returns a `trusted_root.json` with a certificate authority and, if given, a timestamp authority that is also a log.
pub(crate) fn trusted_root(authority: &Authority, clock: Option<&OwnAuthority>) -> Value {
    let root = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [], "ctlogs": [], "timestampAuthorities": [],
        "certificateAuthorities": [{
            "subject": {}, "uri": "https://fulcio.test", "validFor": { "start": "2020-01-01T00:00:00Z" },
            "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(&authority.certificate) }] },
        }],
    });
    match clock {
        Some(clock) => serde_json::from_slice(&clock.added_to(root.to_string().as_bytes()).unwrap()).unwrap(),
        None => root,
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// Returns the content of a PEM text.
pub(crate) fn from_pem(text: &str) -> Vec<u8> {
    let content: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(content).unwrap()
}

/// The answer of a server: a status and a body. With `None` the server never answers.
pub(crate) type Answer = Option<(u16, Vec<u8>)>;

type Respond = dyn Fn(usize, &[u8]) -> Answer + Send + Sync;

/// A server on loopback. A function of the number of previous requests and of the request's body returns its answers.
pub(crate) struct Server {
    pub(crate) url: Url,
    asked: Arc<Mutex<usize>>,
}

impl Server {
    pub(crate) async fn start(respond: impl Fn(usize, &[u8]) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (asked, respond) = (Arc::<Mutex<usize>>::default(), Arc::new(respond));
        let number = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&number), Arc::<_>::clone(&respond) as Arc<Respond>));
            }
        });
        Self { url, asked }
    }

    /// Returns the number of requests so far.
    pub(crate) fn count(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

async fn serve(mut stream: TcpStream, number: Arc<Mutex<usize>>, respond: Arc<Respond>) {
    let mut request = Vec::new();
    let body = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap_or_default();
        if read == 0 {
            return;
        }
        request.extend_from_slice(&piece[..read]);
        if let Some(body) = whole(&request) {
            break body.to_owned();
        }
    };
    let before = {
        let mut number = number.lock().unwrap();
        *number += 1;
        *number - 1
    };
    match respond(before, &body) {
        Some((status, body)) => {
            let head = format!(
                "HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
        None => drop(stream.read(&mut [0]).await),
    }
}

/// Returns the body of a request that has arrived completely.
fn whole(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&request[..end]);
    let headers: BTreeMap<_, _> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    (request.len() >= end + length).then(|| &request[end..])
}
