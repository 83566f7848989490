//! The distribution project's registry, version 3.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::Host;

use crate::credential::Account;
use crate::service::{Extension, Service};
use crate::tool::tool;

/// Who may use a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    None,
    /// [`Distribution::ACCOUNT`] alone, by basic authentication against an htpasswd file.
    Htpasswd,
}

/// A running registry of version 3. It ends when this is dropped.
#[derive(Debug)]
pub struct Distribution {
    service: Service,
    auth: Auth,
}

/// [`Distribution::ACCOUNT`] as a line of an htpasswd file: bcrypt with cost 5, low because every request pays for it.
const HTPASSWD: &str = "kpromo:$2y$05$kpromotestkitsaltvaluuVx6o6v46O0veFmhNSIt/kharafgamji\n";

impl Distribution {
    /// The one account of registries with [`Auth::Htpasswd`].
    pub const ACCOUNT: Account = Account { user: "kpromo", password: "kpromo-test-password" };

    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// When it is not installed, or ends instead of listening; with what it logged.
    pub fn start(auth: Auth) -> Self {
        let service = Service::start("distribution", |folder| match auth {
            Auth::None => Extension::default(),
            Auth::Htpasswd => htpasswd(folder),
        });
        Self { service, auth }
    }

    /// Starts an empty registry that speaks TLS and is open to everybody. Gives with it the certificate that it shows, as a
    /// PEM file, which is its own authority.
    ///
    /// # Panics
    /// As [`Distribution::start`], and when `openssl` cannot make the certificate.
    pub fn start_with_tls() -> (Self, PathBuf) {
        let mut certificate = PathBuf::new();
        let service = Service::start("distribution", |folder| {
            let key = folder.join("key.pem");
            certificate = folder.join("certificate.pem");
            certify(&certificate, &key);
            let http = format!(", tls: {{certificate: {}, key: {}}}", quoted(&certificate), quoted(&key));
            Extension { http, ..Extension::default() }
        });
        (Self { service, auth: Auth::None }, certificate)
    }

    /// Where it listens.
    pub fn host(&self) -> &Host {
        self.service.host()
    }

    /// The folder that it keeps its data in.
    pub fn storage(&self) -> PathBuf {
        self.service.storage()
    }

    /// What it has logged so far, for the message of an assertion.
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Its host with the account it wants to see, as [`DockerConfig::new`](crate::DockerConfig::new) takes them; `None`
    /// where it wants to see none.
    pub fn credential(&self) -> Option<(&Host, Account)> {
        match self.auth {
            Auth::None => None,
            Auth::Htpasswd => Some((self.host(), Self::ACCOUNT)),
        }
    }
}

/// Writes the file of accounts and gives the section of the configuration that names it.
fn htpasswd(folder: &Path) -> Extension {
    let file = folder.join("htpasswd");
    fs::write(&file, HTPASSWD).expect("the registry's file of accounts can be written");
    let sections = format!("auth: {{htpasswd: {{realm: testkit, path: {}}}}}\n", quoted(&file));
    Extension { sections, ..Extension::default() }
}

/// A path as a JSON string, which is a YAML string whatever the path has in it.
fn quoted(path: &Path) -> serde_json::Value {
    path.to_str().expect("temporary folders have names in UTF-8").into()
}

/// Makes a certificate for this machine that is its own authority.
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
        // What speaks for itself must not claim to speak for others.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
