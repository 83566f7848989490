//! Repositories over HTTP: `git http-backend` as a CGI program (RFC 3875).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Received, Reply};
use crate::tool::tool;

/// Answers a request of git. Pushes require the token; reads do not.
pub(super) fn answer(received: &Received, root: &Path, token: &str) -> Reply {
    let is_push = received.path.ends_with("/git-receive-pack") || received.query.contains("git-receive-pack");
    let authorization = received.header("authorization");
    let expected = format!("Basic {}", STANDARD.encode(format!("x-access-token:{token}")));
    if is_push && authorization != Some(&expected) {
        let headers = vec![("WWW-Authenticate".to_owned(), "Basic realm=\"forge\"".to_owned())];
        return Reply { status: 401, headers, body: b"a token is required".to_vec() };
    }
    let mut command = Command::new(tool("git"));
    command
        .arg("http-backend")
        .env_clear()
        .env("GIT_PROJECT_ROOT", root)
        .env("HOME", root)
        .envs([("GIT_HTTP_EXPORT_ALL", "1"), ("PATH", "/usr/local/bin:/usr/bin:/bin")])
        .envs([
            ("REQUEST_METHOD", received.method.as_str()),
            ("PATH_INFO", &received.path),
            ("QUERY_STRING", &received.query),
            ("CONTENT_TYPE", received.header("content-type").unwrap_or_default()),
            ("HTTP_CONTENT_ENCODING", received.header("content-encoding").unwrap_or_default()),
            ("GIT_PROTOCOL", received.header("git-protocol").unwrap_or_default()),
            ("CONTENT_LENGTH", &received.body.len().to_string()),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if is_push {
        command.env("REMOTE_USER", "x-access-token");
    }
    let mut child = command.spawn().expect("git is installed");
    let mut input = child.stdin.take().expect("a pipe");
    let body = received.body.clone();
    let writing = std::thread::spawn(move || {
        // The backend may exit before it has read everything.
        let _ = input.write_all(&body);
    });
    let output = child.wait_with_output().expect("git http-backend exits");
    let _ = writing.join();
    reply(&output.stdout)
}

/// Parses the output of a CGI program.
fn reply(output: &[u8]) -> Reply {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = match end {
        Some(end) => (&output[..end], &output[end + 4..]),
        None => (&output[..0], output),
    };
    let head = String::from_utf8_lossy(head);
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let status = headers.iter().find(|(name, _)| name == "Status");
    let status = status.and_then(|(_, value)| value.split(' ').next()?.parse().ok()).unwrap_or(200);
    let headers = headers.into_iter().filter(|(name, _)| name != "Status").collect();
    Reply { status, headers, body: body.to_vec() }
}
