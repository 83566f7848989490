//! The repositories of a registry (distribution's `_catalog`, which the specification no longer describes).

use http::Method;
use oci_types::text::printable;
use oci_types::{Host, RepositoryPath};
use serde::Deserialize;
use transport::Class;

use super::pages::Pages;
use crate::absent::Found;
use crate::answer::success;
use crate::auth::{Scope, Scopes};
use crate::error::{Error, ErrorKind};
use crate::reader::Reader;
use crate::session::{Call, NO_REPOSITORY};

/// The maximum size of one page, in bytes.
const PAGE_MAX: u64 = 16 * 1024 * 1024;
/// The maximum size of all pages together, in bytes.
const CATALOG_MAX: u64 = 128 * 1024 * 1024;
/// The maximum number of pages.
const PAGES_MAX: usize = 10_000;

impl Reader {
    /// Lists the repositories of a registry, if it supports this.
    ///
    /// # Errors
    /// Returns an error if the registry does not answer with a catalog.
    pub async fn catalog(&self, host: &Host) -> Result<Found<Vec<RepositoryPath>>, Error> {
        #[derive(Deserialize)]
        struct Catalog {
            repositories: Option<Vec<String>>,
        }
        let doing = format!("listing the repositories of {host}");
        let session = self.sessions.of(host)?;
        let size = session.page_size().map(|size| format!("?n={size}")).unwrap_or_default();
        let url = session.url(&format!("_catalog{size}"))?;
        let (kind, class, scopes) = ("catalog", Class::Read, Scopes::from([Scope::catalog()]));
        let mut call = Call { method: Method::GET, url, kind, class, session, repository: None, scopes };
        let mut found = Vec::new();
        let mut pages = Pages::new(&doing, PAGES_MAX, CATALOG_MAX);
        loop {
            let request = call.request().follow().limit(PAGE_MAX.min(pages.left()));
            let reply = self.sessions.send(&call, request, &doing).await?;
            if pages.is_first() && reply.status() == http::StatusCode::NOT_FOUND {
                return call.session.absence(&reply, NO_REPOSITORY, &doing).map(Found::Absent);
            }
            let answer = success(reply, &doing)?;
            let catalog: Catalog = serde_json::from_slice(answer.body()).map_err(|error| {
                Error::new(&doing, ErrorKind::Malformed(printable(&error.to_string(), 200)))
            })?;
            found.extend(catalog.repositories.into_iter().flatten().filter_map(|name| name.parse().ok()));
            match pages.next(&answer, &call.url, answer.body().len() as u64)? {
                None => return Ok(Found::Present(found)),
                Some(next) => call.url = next,
            }
        }
    }
}
