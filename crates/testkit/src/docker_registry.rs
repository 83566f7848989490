//! Debian's `docker-registry`: the distribution project's registry, version 2.8.

use std::path::PathBuf;

use oci::Host;

use crate::service::{Extension, Service};

/// A running registry of version 2.8, what much of the field still has. It knows no referrers API and asks for no
/// credentials. It ends when this is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    service: Service,
}

impl DockerRegistry {
    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// When it is not installed, or ends instead of listening; with what it logged.
    pub fn start() -> Self {
        Self { service: Service::start("docker-registry", |_| Extension::default()) }
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
}
