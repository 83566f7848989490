//! Read access to registries.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use oci_types::{Host, Repository};

use crate::attach::Memory;
use crate::auth::{Scope, Scopes};
use crate::error::Error;
use crate::session::{Call, Sessions};

/// Reads from registries. It cannot change them.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) sessions: Arc<Sessions>,
    /// What is known about attached manifests.
    pub(crate) attached: Arc<Memory>,
    /// Whether tokens are requested with the permission to push.
    pushes: bool,
}

impl Reader {
    pub(crate) fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions, attached: Arc::default(), pushes: false }
    }

    /// Returns the same access with tokens that may also push. For a repository that does not exist yet, some token services
    /// (those of Docker Hub and Quay) grant no permission to pull, but grant all permissions if push is requested.
    #[must_use]
    pub fn pushing(self) -> Self {
        Self { pushes: true, ..self }
    }

    /// Returns when a host last served a request, which excludes refusals because of a rate limit and failures. `None`: never.
    pub fn last_served(&self, host: &Host) -> Option<Instant> {
        self.sessions.door.last_served(host.api())
    }

    /// Constructs a call that reads from a repository; `path` is the part after its name.
    pub(crate) fn call<'a>(
        &self,
        method: Method,
        repository: &'a Repository,
        path: &str,
        kind: &'static str,
    ) -> Result<Call<'a>, Error> {
        let call = self.sessions.call(method, repository, path, kind)?;
        let scopes = if self.pushes { Scopes::from([Scope::push(&repository.path)]) } else { call.scopes };
        Ok(Call { scopes, ..call })
    }
}
