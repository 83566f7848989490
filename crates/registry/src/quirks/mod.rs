//! Quirks: the lasting deviations of a registry from the specification or from other registries.
//!
//! A [`crate::Fault`] is an event: it strikes single requests. A quirk holds for every request of its kind until it is
//! changed. Quirks can be changed while the server runs. By default there are none.
//!
//! ```no_run
//! # fn example(server: &registry::Server) {
//! use registry::quirks::Head;
//!
//! server.quirks().change(|quirks| quirks.reading.head = Head::WithoutDigest);
//! # }
//! ```
//!
//! Templates are texts with names in braces. The names are replaced for each request. Each field documents its names.

mod asked;
mod auth;
mod fresh;
mod listing;
mod memory;
mod reading;
mod rejection;
mod template;
mod uploads;
mod writing;

use std::sync::{Arc, PoisonError, RwLock};

pub(crate) use asked::Asked;
pub(crate) use auth::Challenged;
pub use auth::{Auth, Challenges};
pub(crate) use fresh::Visible;
use http::{HeaderMap, HeaderValue};
pub use listing::ReferrersList;
use memory::Memory;
use oci::Digest;
pub use reading::{FirstPage, Head, Ranges, Reading};
pub use rejection::Rejection;
pub(crate) use writing::Instead;
pub use writing::{DigestHeader, LostUploads, PartsUnknown, Redirect, Writing};

use crate::body::Response;
use crate::store::Store;

/// All quirks of one server.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// How the registry authenticates.
    pub auth: Auth,
    /// How the registry responds to reads.
    pub reading: Reading,
    /// How the registry responds to writes.
    pub writing: Writing,
}

/// The quirks of a running server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SharedQuirks {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    current: RwLock<Arc<Quirks>>,
    memory: Memory,
}

impl SharedQuirks {
    /// Changes quirks from the next request on.
    pub fn change(&self, change: impl FnOnce(&mut Quirks)) {
        let mut current = self.shared.current.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut current));
    }

    /// Removes all quirks.
    pub fn clear(&self) {
        self.change(|quirks| *quirks = Quirks::default());
    }

    pub(crate) fn current(&self) -> Arc<Quirks> {
        Arc::clone(&self.shared.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn memory(&self) -> &Memory {
        &self.shared.memory
    }
}

/// The state from before a request that its response needs.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// The requested `Range`, if the response must claim falsely to have that part.
    range: Option<HeaderValue>,
    /// The digest that the tag named before the write.
    tagged: Option<Digest>,
}

impl Quirks {
    /// Returns the response to a request that a quirk answers instead of the registry.
    pub(crate) fn instead(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        store: &Store,
        shared: &SharedQuirks,
    ) -> Option<Instead> {
        let read = || self.reading.instead(asked, headers, store).map(Instead::Answer);
        self.writing.instead(asked, headers, store, shared.memory()).or_else(read)
    }

    /// Changes a request before it is served.
    pub(crate) fn before(&self, asked: &Asked<'_>, headers: &mut HeaderMap, store: &Store) -> Before {
        let lags = !self.reading.lag.is_zero();
        Before { range: self.reading.prepare(asked, headers), tagged: asked.resolve(store).filter(|_| lags) }
    }

    /// Changes the response to a request that was served.
    pub(crate) async fn rewrite(
        &self,
        asked: &Asked<'_>,
        before: Before,
        response: Response,
        shared: &SharedQuirks,
    ) -> Response {
        if !self.reading.lag.is_zero() {
            shared.memory().fresh().note(asked, before.tagged, &response);
        }
        let response = self.reading.rewrite(asked, before.range.as_ref(), response, shared.memory()).await;
        self.writing.rewrite(asked, response, shared.memory()).await
    }

    /// Returns what a tag or digest of a repository resolves to now.
    pub(crate) fn visible(&self, shared: &SharedQuirks, repository: &str, reference: &str) -> Visible {
        if self.reading.lag.is_zero() {
            return Visible::Now;
        }
        shared.memory().fresh().visible(self.reading.lag, repository, reference)
    }
}
