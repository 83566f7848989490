//! The memory that a snapshot of Kubernetes' production needs.

use std::io::Read as _;
use std::process::Stdio;

use registry::{Config, Kind, Server};

use crate::snapshot::scene::image;
use crate::support::{kpromo, put};

/// The most memory that a snapshot may need, in KiB.
const MEMORY_MAX: u64 = 100 << 10;
const REPOSITORIES: u64 = 1_350;
const TAGS: usize = 34;

/// 1,350 repositories with 45,000 tags. The process is looked at while it waits for the reader of its output, when it has read
/// everything and written the first page.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_45_000_tags_needs_less_than_100_mb_and_one_request_a_repository() {
    let server = Server::start(Config { google_listing: true, ..Config::default() }).await.unwrap();
    let image = image(1);
    let tags: Vec<String> = (0..TAGS).map(|n| format!("v1.{n}.0-with-a-long-suffix")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    for n in 0..REPOSITORIES {
        put(&server, &format!("prod/project-{}/image-{n}", n / 12), &image, &tags).await;
    }
    let mut command = kpromo(None);
    command.args(["cip", "--output=csv", "--snapshot", &format!("{}/prod", server.host())]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let read = move || {
        let mut first = [0];
        stdout.read_exact(&mut first).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        (status, rest, child.wait().unwrap().code())
    };
    let (status, rest, code) = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!((code, rest.lines().count()), (Some(0), REPOSITORIES as usize * TAGS + 1));
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MEMORY_MAX, "{peak} KiB");
    let (requests, projects) = (server.tally().snapshot(), REPOSITORIES.div_ceil(12));
    assert_eq!(requests.requests(Kind::TagList), 1 + projects + REPOSITORIES);
    assert_eq!(requests.total(), requests.requests(Kind::TagList));
}
