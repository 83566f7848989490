//! A proxy that connects all requests to one server, and processes that send requests through it.

use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::server::read;

/// A proxy whose tunnels all lead to one server.
pub(crate) struct Proxy {
    port: u16,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that connects to the server at `address`.
    pub(crate) async fn start(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let targets = Arc::<Mutex<Vec<String>>>::default();
        let (log, address) = (Arc::clone(&targets), address.to_owned());
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (log, address) = (Arc::clone(&log), address.clone());
                tokio::spawn(async move {
                    let Some(received) = read(&mut client).await else { return };
                    let target = received.head.split(' ').nth(1).unwrap_or_default();
                    log.lock().unwrap().push(target.to_owned());
                    let mut server = TcpStream::connect(address).await.unwrap();
                    if received.head.starts_with("CONNECT ") {
                        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                    } else {
                        server.write_all(received.head.as_bytes()).await.unwrap();
                    }
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { port, targets }
    }

    /// Returns the requested targets: `host:port` for tunnels, URLs for plain HTTP.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }

    /// Sends a GET for a URL, following redirects, in a child process whose environment names this proxy by a private address,
    /// and returns the outcome. `variables` are added to the environment.
    pub(crate) async fn get(&self, url: &str, variables: &[(&str, &str)]) -> String {
        let proxy = format!("http://localhost:{}", self.port);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "proxies::child_process_sends_one_request", "--nocapture", "--include-ignored"])
            .env_clear()
            .envs([("HTTP_PROXY", proxy.as_str()), ("HTTPS_PROXY", &proxy), (URL, url)])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let Output { stdout, stderr, .. } = output.unwrap().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let outcome = stdout.lines().find_map(|line| line.split_once(OUTCOME));
        let Some((_, outcome)) = outcome else { panic!("no outcome: {stdout}{stderr}") };
        outcome.to_owned()
    }
}

/// The variable that contains the URL to request.
pub(crate) const URL: &str = "KPROMO_TEST_URL";
/// The variable that contains a host to configure.
pub(crate) const CONFIGURED: &str = "KPROMO_TEST_CONFIGURED";
/// The prefix of the outcome in the output of the child process.
pub(crate) const OUTCOME: &str = "outcome: ";
