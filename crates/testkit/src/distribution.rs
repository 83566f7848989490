//! The distribution project's registry, version 3.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::Host;

use crate::credential::Account;
use crate::service::{Extension, Service};
use crate::tool::tool;

/// How a registry authenticates users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Without credentials.
    None,
    /// Only [`Distribution::ACCOUNT`], with basic authentication and an htpasswd file.
    Htpasswd,
}

/// A running registry of version 3. It stops when it is dropped.
#[derive(Debug)]
pub struct Distribution {
    service: Service,
    auth: Auth,
}

/// [`Distribution::ACCOUNT`] as a line of an htpasswd file: bcrypt with cost 5, which is low because every request pays for it.
const HTPASSWD: &str = "kpromo:$2y$05$kpromotestkitsaltvaluuVx6o6v46O0veFmhNSIt/kharafgamji\n";

impl Distribution {
    /// The only account of registries with [`Auth::Htpasswd`].
    pub const ACCOUNT: Account = Account { user: "kpromo", password: "kpromo-test-password" };

    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// If the registry is not installed, or if it exits before it listens. The message has its log.
    pub fn start(auth: Auth) -> Self {
        let service = Service::start("distribution", |directory| match auth {
            Auth::None => Extension::default(),
            Auth::Htpasswd => htpasswd(directory),
        });
        Self { service, auth }
    }

    /// Starts an empty registry with TLS and without authentication. Returns it with its self-signed certificate, a PEM file.
    ///
    /// # Panics
    /// As [`Distribution::start`], and if `openssl` cannot make the certificate.
    pub fn start_with_tls() -> (Self, PathBuf) {
        let mut certificate = PathBuf::new();
        let service = Service::start("distribution", |directory| {
            let key = directory.join("key.pem");
            certificate = directory.join("certificate.pem");
            certify(&certificate, &key);
            let http = format!(", tls: {{certificate: {}, key: {}}}", quoted(&certificate), quoted(&key));
            Extension { http, ..Extension::default() }
        });
        (Self { service, auth: Auth::None }, certificate)
    }

    /// Returns the host that the registry listens on.
    pub fn host(&self) -> &Host {
        self.service.host()
    }

    /// Returns the directory with the registry's data.
    pub fn storage(&self) -> PathBuf {
        self.service.storage()
    }

    /// Returns the log so far, for the message of an assertion.
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Returns the registry's host and the account that it requires, in the form of
    /// [`DockerConfig::new`](crate::DockerConfig::new). Returns `None` if it requires no account.
    pub fn credential(&self) -> Option<(&Host, Account)> {
        match self.auth {
            Auth::None => None,
            Auth::Htpasswd => Some((self.host(), Self::ACCOUNT)),
        }
    }
}

/// Writes the htpasswd file and returns the section of the configuration that names it.
fn htpasswd(directory: &Path) -> Extension {
    let file = directory.join("htpasswd");
    fs::write(&file, HTPASSWD).expect("the registry's file of accounts can be written");
    let sections = format!("auth: {{htpasswd: {{realm: testkit, path: {}}}}}\n", quoted(&file));
    Extension { sections, ..Extension::default() }
}

/// Returns a path as a JSON string, which is a valid YAML string for every path.
fn quoted(path: &Path) -> serde_json::Value {
    path.to_str().expect("temporary directories have names in UTF-8").into()
}

/// Makes a self-signed certificate for this machine.
fn certify(certificate: &Path, key: &Path) {
    let made = Command::new(tool("openssl"))
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-noenc",
            "-days",
            "30",
        ])
        .args(["-subj", "/CN=kpromo test", "-addext", "subjectAltName=IP:127.0.0.1"])
        // A server certificate must not be able to sign other certificates.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
