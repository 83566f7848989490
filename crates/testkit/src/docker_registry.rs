//! Debian's `docker-registry`: the distribution project's registry, version 2.8.

use std::path::PathBuf;

use oci::Host;

use crate::service::{Extension, Service};

/// A running registry of version 2.8, which is still in wide use. It has no referrers API and requires no credentials. It
/// stops when it is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    service: Service,
}

impl DockerRegistry {
    /// Starts an empty registry and waits until it listens.
    ///
    /// # Panics
    /// If the registry is not installed, or if it exits before it listens. The message has its log.
    pub fn start() -> Self {
        Self { service: Service::start("docker-registry", |_| Extension::default()) }
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
}
