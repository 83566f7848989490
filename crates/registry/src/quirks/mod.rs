//! Quirks: how a registry always behaves where registries differ.
//!
//! A [`crate::Fault`] is an event: a request is struck, perhaps some times. A quirk is a habit: it holds for every request
//! of its kind until it is changed, and it can be changed while the server runs. By default there are none.
//!
//! ```no_run
//! # fn example(server: &registry::Server) {
//! use registry::quirks::Head;
//!
//! server.quirks().change(|quirks| quirks.reading.head = Head::WithoutDigest);
//! # }
//! ```
//!
//! Templates are texts with names in braces, which are filled in for each request; each field says which.

mod auth;
mod fresh;
mod listing;
mod reading;
mod writing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub(crate) use auth::Challenged;
pub use auth::{Auth, Challenges};
use fresh::Fresh;
pub(crate) use fresh::Visible;
use http::{HeaderMap, HeaderValue, StatusCode};
pub use listing::ReferrersList;
use oci::Digest;
pub use reading::{FirstPage, Head, Ranges, Reading};
pub(crate) use writing::Instead;
use writing::Uploads;
pub use writing::{DigestHeader, LostUploads, PartsUnknown, Redirect, Writing};

use crate::api::Endpoint;
use crate::body::Response;
use crate::error::{ErrorCode, Refusal};
use crate::store::Store;
use crate::tally::Kind;

/// All quirks of one server.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// How it finds out who asks.
    pub auth: Auth,
    /// How it answers reads.
    pub reading: Reading,
    /// How it takes writes.
    pub writing: Writing,
}

/// A refusal that a quirk answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status of the answer.
    pub status: StatusCode,
    /// The code in its body.
    pub code: ErrorCode,
}

impl Rejection {
    /// A refusal with a status and a code that need not fit together.
    pub const fn new(status: StatusCode, code: ErrorCode) -> Self {
        Self { status, code }
    }

    fn refusal(self) -> Refusal {
        Refusal::new(self.code, "the registry has a quirk that refuses this").with_status(self.status)
    }

    fn response(self) -> Response {
        self.refusal().into_response()
    }
}

/// The quirks of a running server; clones share them.
#[derive(Clone, Debug, Default)]
pub struct SharedQuirks {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    current: RwLock<Arc<Quirks>>,
    memory: Mutex<Memory>,
}

/// What quirks that depend on earlier requests remember.
#[derive(Debug, Default)]
struct Memory {
    fresh: Fresh,
    uploads: Uploads,
}

impl SharedQuirks {
    /// Changes some quirks from the next request on.
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

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request that is served needs to remember for its answer.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// The `Range` that the answer is to claim.
    range: Option<HeaderValue>,
    /// What the tag that is written named.
    tagged: Option<Digest>,
}

impl Quirks {
    /// What a request is answered without being served.
    pub(crate) fn instead(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        store: &Store,
        shared: &SharedQuirks,
    ) -> Option<Instead> {
        let read = || self.reading.instead(asked, headers, store).map(Instead::Answer);
        self.writing.instead(asked, headers, store, shared).or_else(read)
    }

    /// Changes a request before it is served.
    pub(crate) fn before(&self, asked: &Asked<'_>, headers: &mut HeaderMap, store: &Store) -> Before {
        let lags = !self.reading.lag.is_zero();
        Before {
            range: self.reading.prepare(asked, headers),
            tagged: SharedQuirks::before(asked, store).filter(|_| lags),
        }
    }

    /// Changes the answer to a request that was served.
    pub(crate) async fn rewrite(
        &self,
        asked: &Asked<'_>,
        before: Before,
        response: Response,
        shared: &SharedQuirks,
    ) -> Response {
        if !self.reading.lag.is_zero() {
            shared.note(asked, before.tagged, &response);
        }
        let response = self.reading.rewrite(asked, before.range.as_ref(), response, shared).await;
        self.writing.rewrite(asked, response, shared).await
    }
}

/// A request as quirks see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) kind: Kind,
    pub(crate) endpoint: Endpoint<'a>,
    /// The path and the query.
    pub(crate) target: &'a str,
    /// `http://127.0.0.1:5000`: the registry as the client calls it.
    pub(crate) base: &'a str,
}

impl Asked<'_> {
    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

/// Fills in the names in braces of a template.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_by_name() {
        let values = [("base", "http://a"), ("path", "/v2/")];
        assert_eq!(fill("{base}{path}?x={other}", &values), "http://a/v2/?x={other}");
    }
}
