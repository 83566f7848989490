//! The OpenTelemetry trace of a run.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Ran, kpromo, run};
use crate::world::World;

/// What a collector does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Accept,
    Fail,
    Hang,
}

/// The received requests: the head as text, and the body.
type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector. It keeps the requests that it has received.
struct Collector {
    url: String,
    requests: Requests,
}

impl Collector {
    fn start(manner: Manner) -> Self {
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
    fn received(&self) -> (Vec<String>, String) {
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

/// Runs a confirmed promotion with a credential for the collector.
fn traced(world: &World, endpoint: &str, flags: &[&str]) -> Ran {
    let mut command = kpromo(None);
    command.args(["cip", "--sign=false", "--confirm", "--manifest"]).arg(world.desk.path("manifest.yaml"));
    command.args(["--report", &world.path("report.json")]).args(flags);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush,x-team=releng");
    run(command)
}

/// Returns the lines about the trace.
fn warnings(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().filter(|line| line.contains("the trace") || line.contains("not traced")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_receives_the_run_its_phases_and_its_images() {
    let (world, collector) = (World::new().await, Collector::start(Manner::Accept));
    world.refuse("prod/two", "not you");
    let ran = traced(&world, &collector.url, &["--log-level", "trace"]);
    assert_eq!((ran.code, warnings(&ran)), (30, Vec::new()), "{}", ran.stderr);
    let (heads, spans) = collector.received();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with("post /v1/traces "), "{head}");
        for header in ["content-type: application/x-protobuf", "authorization: bearer hush", "x-team: releng"]
        {
            assert!(head.contains(header), "{header}: {head}");
        }
    }
    let report = world.desk.json("report.json");
    let promoted = report["promoted"][0]["source"].as_str().unwrap();
    let failed = report["failed"][0]["source"].as_str().unwrap();
    for text in
        ["kpromo cip", "setup", "plan", "promote", "promote image", promoted, failed, "not you", "exit.code"]
    {
        assert!(spans.contains(text), "{text}: {spans}");
    }
    assert_eq!(spans.matches("promote image").count(), 2, "a span for each image");
    let host = collector.url.strip_prefix("http://").unwrap();
    assert!(report["registries"].get(host).is_none(), "a collector is not a registry");
    assert!(!ran.stderr.contains("hush") && !ran.stdout.contains("hush"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_is_one_warning_and_changes_nothing_else() {
    for manner in [Manner::Fail, Manner::Hang] {
        let (world, collector) = (World::new().await, Collector::start(manner));
        let ran = traced(&world, &collector.url, &[]);
        assert_eq!((ran.code, warnings(&ran).len()), (0, 1), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
        assert_eq!(world.desk.json("report.json")["outcome"], "done");
        assert!(!collector.received().0.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_cannot_be_used_is_one_warning() {
    for endpoint in ["http://127.0.0.1:1", "127.0.0.1:4317", "https://user:hush@127.0.0.1:1"] {
        let world = World::new().await;
        let ran = traced(&world, endpoint, &[]);
        assert_eq!((ran.code, warnings(&ran).len()), (0, 1), "{endpoint}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
}
