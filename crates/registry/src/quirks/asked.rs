//! Requests as quirks see them.

use oci::{Digest, RepositoryPath, Tag};

use crate::endpoint::Endpoint;
use crate::store::Store;
use crate::tally::Kind;

/// A request as quirks see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) kind: Kind,
    pub(crate) endpoint: Endpoint<'a>,
    /// The path and the query.
    pub(crate) target: &'a str,
    /// The base URL by which the client knows the registry, such as `http://127.0.0.1:5000`.
    pub(crate) base: &'a str,
}

impl Asked<'_> {
    pub(super) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the digest that the tag in the path names now. Returns `None` if the path has no tag or the tag does not exist.
    pub(super) fn resolve(&self, store: &Store) -> Option<Digest> {
        let Endpoint::Manifest { name, reference } = self.endpoint else { return None };
        let (path, tag) = (name.parse::<RepositoryPath>().ok()?, reference.parse::<Tag>().ok()?);
        store.resolve(&path, &tag)
    }
}
