//! The distribution project's registry, version 3.

use std::fs;
use std::path::{Path, PathBuf};

use oci::Host;

use crate::credential::Account;
use crate::service::Service;

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
            Auth::None => String::new(),
            Auth::Htpasswd => htpasswd(folder),
        });
        Self { service, auth }
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
fn htpasswd(folder: &Path) -> String {
    let file = folder.join("htpasswd");
    fs::write(&file, HTPASSWD).expect("the registry's file of accounts can be written");
    let file = serde_json::Value::from(file.to_str().expect("temporary folders have names in UTF-8"));
    format!("auth: {{htpasswd: {{realm: testkit, path: {file}}}}}\n")
}
