//! Credentials, and Docker's configuration file for them.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::Host;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A user of a registry that exists only during a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub user: &'static str,
    /// The user's password.
    pub password: &'static str,
}

/// A directory with a `config.json` in Docker's format, for a program's `DOCKER_CONFIG`.
#[derive(Debug)]
pub struct DockerConfig {
    directory: TempDir,
}

impl DockerConfig {
    /// Makes a configuration with exactly these credentials. Its directory is removed when it is dropped.
    ///
    /// # Panics
    /// If no temporary directory can be created.
    pub fn new<'a>(credentials: impl IntoIterator<Item = (&'a Host, Account)>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory for docker's configuration");
        let config = Self { directory };
        fs::write(config.file(), document(credentials).to_string()).expect("config.json can be written");
        config
    }

    /// Makes a configuration without credentials.
    ///
    /// # Panics
    /// If no temporary directory can be created.
    pub fn anonymous() -> Self {
        Self::new(None)
    }

    /// Returns the directory, for `DOCKER_CONFIG`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the `config.json` in the directory, which podman and skopeo also accept as `--authfile`.
    pub fn file(&self) -> PathBuf {
        self.directory().join("config.json")
    }
}

fn document<'a>(credentials: impl IntoIterator<Item = (&'a Host, Account)>) -> Value {
    let entry = |(host, account): (&Host, Account)| {
        let auth = STANDARD.encode(format!("{}:{}", account.user, account.password));
        (host.to_string(), json!({ "auth": auth }))
    };
    json!({ "auths": credentials.into_iter().map(entry).collect::<Map<_, _>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(config: &DockerConfig) -> Value {
        serde_json::from_slice(&fs::read(config.directory().join("config.json")).unwrap()).unwrap()
    }

    #[test]
    fn credentials_are_written_in_the_form_that_docker_reads() {
        let host: Host = "127.0.0.1:5000".parse().unwrap();
        let config = DockerConfig::new([(&host, Account { user: "ann", password: "a:b" })]);
        // `ann:a:b` in base64, encoded by another program.
        assert_eq!(content(&config), json!({ "auths": { "127.0.0.1:5000": { "auth": "YW5uOmE6Yg==" } } }));
    }

    #[test]
    fn an_anonymous_configuration_has_no_credentials() {
        assert_eq!(content(&DockerConfig::anonymous()), json!({ "auths": {} }));
    }
}
