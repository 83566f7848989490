//! The server of releases: its API, and the second origin that it redirects to.

#![allow(clippy::unwrap_used, reason = "tests report failures by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use testkit::{GitHub, GitHubAsset, GitHubQuirks, GitHubRelease};

/// Requests a URL with further header lines, and returns the response.
fn ask(url: &str, headers: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn releases_are_listed_in_pages_and_assets_are_on_another_origin() {
    let github = GitHub::start("hush");
    let release = |number: u64| GitHubRelease {
        tag: format!("v{number}"),
        is_draft: number == 2,
        assets: vec![GitHubAsset { id: number, content: b"content".to_vec(), ..GitHubAsset::default() }],
        ..GitHubRelease::default()
    };
    github.repository("a/b", false, (1..=40).map(release).collect());
    let list = format!("{}/repos/a/b/releases", github.api_url());
    let token = "Authorization: Bearer hush\r\n";
    let first = ask(&list, "");
    assert!(
        first.contains("rel=\"next\"") && first.contains("\"v31\"") && !first.contains("\"v32\""),
        "{first}"
    );
    assert!(
        !first.contains("\"v2\"") && ask(&list, token).contains("\"v2\""),
        "drafts are listed only with the token"
    );
    let second = ask(&format!("{list}?per_page=30&page=2"), "");
    assert!(second.contains("\"v40\"") && !second.contains("rel=\"next\""), "{second}");
    assert!(ask(&format!("{list}/tags/v2"), token).contains(" 404 "));
    let found = ask(&format!("{list}/assets/7"), "Accept: application/octet-stream\r\n");
    let to = found.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
    assert!(to.contains(&github.objects_host()) && github.objects_host() != github.host());
    assert!(ask(to, "").ends_with("\r\n\r\ncontent"));
    let rest = ask(to, "Range: bytes=3-\r\n");
    assert!(rest.contains("Content-Range: bytes 3-6/7") && rest.ends_with("\r\n\r\ntent"), "{rest}");
    assert!(ask(&list, "Authorization: Bearer wrong\r\n").contains(" 401 "));
    let requests = github.requests();
    assert_eq!(requests.iter().filter(|request| !request.is_api).count(), 2);
}

#[test]
fn an_exhausted_quota_refuses_requests_and_reports_its_renewal() {
    let github = GitHub::start("hush");
    github.repository("a/b", false, Vec::new());
    github.set(GitHubQuirks { quota: Some(1), quota_seconds: Some(1_000), ..GitHubQuirks::default() });
    let list = format!("{}/repos/a/b/releases", github.api_url());
    assert!(ask(&list, "").contains(" 200 "));
    for too_early in 0..2 {
        let refused = ask(&list, "");
        assert!(refused.contains(" 403 ") && refused.contains("X-RateLimit-Reset: "), "{refused}");
        assert_eq!(github.too_early(), too_early);
    }
}
