//! Redirects behind a proxy. `docs/design/transport.md` describes which checks apply.

use std::io::Write;
use std::net::{IpAddr, ToSocketAddrs};
use std::process::Command;

use http::Method;
use transport::{Class, Door, ErrorKind, HostSettings, Request, Retry, Settings};
use url::Url;

use crate::support::proxy::{CONFIGURED, OUTCOME, Proxy, URL};
use crate::support::server::{OK, Server, redirect};
use crate::support::settings;
use crate::support::tls::Certificate;

const BLOB: &str = "https://registry.example/blob";
const REGISTRY: &str = "registry.example:443";

/// The child process of [`Proxy::get`]. The environment of a process must not be changed while it has several threads.
#[tokio::test]
#[ignore = "the other tests of this file run it in a child process"]
#[expect(clippy::disallowed_methods, reason = "the parent test passes its parameters in variables")]
async fn child_process_sends_one_request() {
    let Ok(url) = std::env::var(URL) else { return };
    let hosts = std::env::var(CONFIGURED).map(|host| (host, HostSettings::default())).into_iter().collect();
    let retry = Retry { attempts: 1, ..Retry::default() };
    let door = Door::open(Settings { hosts, retry, ..settings() }).unwrap();
    let request = Request::new(Method::GET, Url::parse(&url).unwrap(), "get", Class::Read).follow();
    let outcome = match door.send(request).await {
        Ok(answer) => format!("{} {}", answer.status().as_u16(), String::from_utf8_lossy(answer.body())),
        Err(error) => match error.kind() {
            ErrorKind::Forbidden(_) => format!("forbidden: {error}"),
            ErrorKind::Certificate(_) => format!("certificate: {error}"),
            _ => format!("failed: {error}"),
        },
    };
    // Written to stdout directly, since the test runner captures the output of `println!`.
    std::io::stdout().write_all(format!("\n{OUTCOME}{outcome}\n").as_bytes()).unwrap();
}

/// Starts a registry that redirects to `target`, and a proxy in front of it. After the redirect, the registry, to which all
/// tunnels of the proxy lead, answers with 200.
async fn registry_redirecting_to(target: &str) -> (Server, Proxy) {
    let server = Server::tls(Certificate::Host, [redirect(307, target), OK.to_owned()]).await;
    let proxy = Proxy::start(&server.address).await;
    (server, proxy)
}

/// Returns a name, with or without a dot, that this machine resolves to a non-public address.
pub(crate) fn private_name() -> String {
    let own = Command::new("uname").arg("-n").output().unwrap();
    let own = String::from_utf8(own.stdout).unwrap().trim().to_lowercase();
    let is_private = |name: &String| {
        let found = (name.as_str(), 0).to_socket_addrs();
        let private = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        };
        found.is_ok_and(|found| found.map(|address| address.ip()).any(private))
    };
    let others = ["ip6-localhost", "ip6-loopback", "localhost.localdomain"].map(str::to_owned);
    let name = [own].into_iter().chain(others).find(is_private);
    name.expect("this machine resolves its own name or a loopback name to a non-public address")
}

#[tokio::test]
async fn a_redirect_is_followed_through_a_proxy_with_a_private_address() {
    let (server, proxy) = registry_redirecting_to("https://storage.example/signed").await;
    assert_eq!(proxy.get(BLOB, &[]).await, "200 ok");
    assert_eq!(proxy.targets(), [REGISTRY, "storage.example:443"]);
    assert!(server.received()[1].head.starts_with("GET /signed "));
}

#[tokio::test]
async fn a_redirect_to_a_non_public_address_is_refused_behind_a_proxy() {
    for target in [
        "https://10.0.0.1/",
        "https://192.168.0.1:8443/",
        "https://[fd00::1]/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://localhost./",
        "https://registry.localhost./",
        "https://169.254.169.254/latest/",
        "https://metadata.google.internal/computeMetadata/v1/",
    ] {
        let (_server, proxy) = registry_redirecting_to(target).await;
        let outcome = proxy.get(BLOB, &[]).await;
        assert!(outcome.starts_with("forbidden: "), "{target}: {outcome}");
        assert_eq!(proxy.targets(), [REGISTRY], "{target}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_name_that_resolves_to_a_private_address_is_refused_behind_a_proxy() {
    let name = private_name();
    let (_server, proxy) = registry_redirecting_to(&format!("https://{name}/")).await;
    let outcome = proxy.get(BLOB, &[]).await;
    assert!(outcome.starts_with("forbidden: "), "{name}: {outcome}");
    assert_eq!(proxy.targets(), [REGISTRY], "{name}");
}

#[tokio::test]
async fn a_redirect_to_a_configured_private_host_is_followed_behind_a_proxy() {
    let name = private_name();
    let (_server, proxy) = registry_redirecting_to(&format!("https://{name}/")).await;
    let outcome = proxy.get(BLOB, &[(CONFIGURED, &name)]).await;
    // The tunnel leads to a server with the certificate of another name.
    assert!(outcome.starts_with("certificate: "), "{name}: {outcome}");
    assert_eq!(proxy.targets(), [REGISTRY.to_owned(), format!("{name}:443")]);
}

#[tokio::test]
async fn a_redirect_to_a_configured_metadata_service_is_refused_behind_a_proxy() {
    for host in ["169.254.169.254", "metadata.google.internal"] {
        let (_server, proxy) = registry_redirecting_to(&format!("https://{host}/")).await;
        let outcome = proxy.get(BLOB, &[(CONFIGURED, host)]).await;
        assert!(outcome.starts_with("forbidden: "), "{host}: {outcome}");
        assert_eq!(proxy.targets(), [REGISTRY], "{host}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_host_in_no_proxy_bypasses_the_proxy() {
    let (_server, proxy) = registry_redirecting_to("https://storage.example/signed").await;
    let outcome = proxy.get(BLOB, &[("NO_PROXY", "storage.example")]).await;
    // The host does not exist.
    assert!(outcome.starts_with("failed: "), "{outcome}");
    assert_eq!(proxy.targets(), [REGISTRY]);
}

#[tokio::test]
async fn loopback_hosts_bypass_the_proxy() {
    let storage = Server::plain([OK]).await;
    let registry = Server::plain([redirect(307, storage.url("/signed").as_str())]).await;
    let proxy = Proxy::start(&storage.address).await;
    assert_eq!(proxy.get(registry.url("/blob").as_str(), &[]).await, "200 ok");
    assert_eq!((registry.received().len(), storage.received().len()), (1, 1));
    assert!(proxy.targets().is_empty(), "{:?}", proxy.targets());
}

#[tokio::test]
async fn a_rejected_certificate_is_reported_behind_a_proxy() {
    for certificate in [Certificate::Expired, Certificate::Misnamed] {
        let server = Server::tls(certificate, [OK]).await;
        let proxy = Proxy::start(&server.address).await;
        let outcome = proxy.get(BLOB, &[]).await;
        assert!(outcome.starts_with("certificate: "), "{certificate:?}: {outcome}");
    }
}
