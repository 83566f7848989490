//! The official conformance suite of the OCI distribution specification, run against this registry.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test helpers report failures by panicking")]

use std::process::{Command, Output};

use registry::{Access, Account, Authentication, Config, Server, Storage, Tokens};

/// The results of one run of the suite.
struct Report {
    output: Output,
    junit: String,
}

impl Report {
    /// Returns a count from the head of the JUnit report: `tests`, `failures`, `errors`, `skipped` or `disabled`. The suite omits
    /// the last two if they are 0.
    fn count(&self, name: &str) -> usize {
        let head = self.junit.split("<testsuite ").nth(1).and_then(|rest| rest.split('>').next());
        let head = head.expect("the suite wrote a JUnit report with a test suite");
        let value = head.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split('"').next());
        value.map_or(0, |value| value.parse().unwrap())
    }
}

async fn run(config: Config, account: Option<&Account>) -> Report {
    let server = Server::start(config).await.unwrap();
    let results = tempfile::tempdir().unwrap();
    let mut command = Command::new(testkit::tool("conformance"));
    command
        .current_dir(results.path())
        .env_clear()
        .env("OCI_RESULTS_DIR", results.path())
        // The development version also tests tags as parameters of a push by digest.
        .env("OCI_VERSION", "dev")
        .env("OCI_REGISTRY", server.host().as_str())
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", "conformance/repo1")
        .env("OCI_REPO2", "conformance/repo2")
        // Optional features, which the suite tests only if they are enabled here.
        .env("OCI_API_BLOBS_DIGEST_HEADER", "true")
        .env("OCI_API_MANIFESTS_DIGEST_HEADER", "true")
        .env("OCI_API_BLOBS_UPLOAD_CANCEL", "true");
    if let Some(account) = account {
        command.env("OCI_USERNAME", &account.name).env("OCI_PASSWORD", &account.password);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let junit = std::fs::read_to_string(results.path().join("junit.xml")).unwrap_or_default();
    server.stop().await;
    Report { output, junit }
}

/// Asserts that every test ran and passed. The suite exits with 0 even if it cannot start, so the report is checked as well.
fn assert_conformant(report: &Report) {
    let shown = String::from_utf8_lossy(&report.output.stdout);
    let errors = String::from_utf8_lossy(&report.output.stderr);
    assert!(report.output.status.success(), "{shown}\n{errors}");
    assert_eq!(report.count("failures") + report.count("errors"), 0, "{shown}");
    assert_eq!(report.count("skipped") + report.count("disabled"), 0, "{shown}");
    assert!(report.count("tests") > 300, "the suite has hundreds of tests, not {}", report.count("tests"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_registry_in_memory_is_conformant() {
    assert_conformant(&run(Config::default(), None).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_registry_on_disk_is_conformant() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(directory.path().to_owned());
    assert_conformant(&run(Config { storage, ..Config::default() }, None).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_registry_with_tokens_is_conformant() {
    let account = Account { name: "suite".into(), password: "p:ss".into(), access: Access::Full };
    let tokens = Tokens {
        accounts: vec![account.clone()],
        anonymous_pull: false,
        lifetime: std::time::Duration::from_secs(300),
        service: "registry.example".into(),
    };
    let config = Config { authentication: Authentication::Token(tokens), ..Config::default() };
    assert_conformant(&run(config, Some(&account)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn a_registry_with_basic_credentials_is_conformant() {
    let account = Account { name: "suite".into(), password: "pass".into(), access: Access::Full };
    let config = Config { authentication: Authentication::Basic(vec![account.clone()]), ..Config::default() };
    assert_conformant(&run(config, Some(&account)).await);
}
