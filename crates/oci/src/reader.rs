//! Read access to registries.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use oci_types::{Host, Repository};

use crate::attach::Memory;
use crate::auth::{Scope, Scopes};
use crate::error::Error;
use crate::session::{Call, Sessions};

/// Reads registries, and cannot change them.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) sessions: Arc<Sessions>,
    /// What was learnt of attached manifests.
    pub(crate) attached: Arc<Memory>,
    /// Whether tokens are asked for with the right to push.
    pushes: bool,
}

impl Reader {
    pub(crate) fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions, attached: Arc::default(), pushes: false }
    }

    /// The same access, with tokens that may push too. Some token services (Docker Hub's, Quay's) grant nothing at all for
    /// pulling from a repository that does not exist yet, and everything for pushing to it.
    #[must_use]
    pub fn pushing(self) -> Self {
        Self { pushes: true, ..self }
    }

    /// When a host has last answered anything; `None` where it never has.
    pub fn last_answer(&self, host: &Host) -> Option<Instant> {
        self.sessions.door.last_answer(host.api())
    }

    /// A call that reads a repository; `path` is what follows its name.
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
