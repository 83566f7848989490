//! The repositories of a registry (distribution's `_catalog`, which the specification no longer describes).

use http::{Method, StatusCode};
use oci_types::text::printable;
use oci_types::{Host, RepositoryPath};
use serde::{Deserialize, Deserializer};
use transport::Class;

use super::pages::{Pages, without_page_size};
use crate::absent::Found;
use crate::answer::success;
use crate::auth::{Scope, Scopes};
use crate::error::{Error, ErrorKind};
use crate::reader::Reader;
use crate::session::{Call, NO_REPOSITORY, Reply};

/// The maximum size of one page, in bytes.
const PAGE_MAX: u64 = 16 * 1024 * 1024;
/// The maximum size of all pages together, in bytes.
const CATALOG_MAX: u64 = 128 * 1024 * 1024;
/// The maximum number of pages.
const PAGES_MAX: usize = 10_000;

/// A page of the catalog.
#[derive(Deserialize)]
struct Catalog {
    /// The member is required, but may be null.
    #[serde(deserialize_with = "nullable")]
    repositories: Option<Vec<String>>,
}

fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Option::deserialize(deserializer)
}

impl Reader {
    /// Lists the repositories of a registry, if it supports this. Leaves out invalid names, which cannot be requested.
    ///
    /// # Errors
    /// Returns the errors of [`Reader::list_repositories`].
    pub async fn catalog(&self, host: &Host) -> Result<Found<Vec<RepositoryPath>>, Error> {
        let mut found = Vec::new();
        let catalog = self
            .list_repositories(host, &mut |names| found.extend(names.iter().flat_map(|name| name.parse())))
            .await?;
        Ok(catalog.map(|()| found))
    }

    /// Lists the repositories of a registry, and passes the names on each page to `give`, which is called once for each page. The
    /// names are not checked, and may repeat.
    ///
    /// [`Found::Absent`] proves that the registry has no catalog. An error after the first call of `give` means that the catalog
    /// exists and was not read to its end.
    ///
    /// # Errors
    /// Returns an error if the registry does not answer with a catalog, if a page refers to another host, if its next page
    /// cannot be determined, or if the catalog does not end.
    pub async fn list_repositories(
        &self,
        host: &Host,
        give: &mut (dyn FnMut(&[String]) + Send),
    ) -> Result<Found<()>, Error> {
        let doing = format!("listing the repositories of {host}");
        let session = self.sessions.of(host)?;
        let size = session.page_size().map(|size| format!("?n={size}")).unwrap_or_default();
        let url = session.url(&format!("_catalog{size}"))?;
        let (kind, class, scopes) = ("catalog", Class::Read, Scopes::from([Scope::catalog()]));
        let mut call = Call { method: Method::GET, url, kind, class, session, repository: None, scopes };
        let mut pages = Pages::new(&doing, PAGES_MAX, CATALOG_MAX);
        let mut previous = Vec::new();
        let mut without_size = false;
        loop {
            let mut request = call.request().follow().limit(PAGE_MAX.min(pages.left()));
            let plain = without_page_size(&call.url);
            if plain.is_some() {
                request = request.again_when_refused();
            }
            let asked = self.sessions.send(&call, request, &doing).await;
            if let Some(plain) = plain.filter(|_| refuses_page_size(&asked)) {
                without_size |= asked.as_ref().is_ok_and(|reply| reply.status().is_client_error());
                call.url = plain;
                continue;
            }
            let reply = asked?;
            if pages.is_first() && reply.status() == StatusCode::NOT_FOUND {
                return call.session.absence(&reply, NO_REPOSITORY, &doing).map(Found::Absent);
            }
            let answer = success(reply, &doing)?;
            // Only the page size was refused.
            if std::mem::take(&mut without_size) {
                call.session.learn_page_size_refused();
            }
            let malformed = |problem: String| Error::new(&doing, ErrorKind::Malformed(problem));
            let catalog: Catalog = serde_json::from_slice(answer.body()).map_err(|error| {
                malformed(format!("expected a catalog: {}", printable(&error.to_string(), 200)))
            })?;
            let names = catalog.repositories.unwrap_or_default();
            give(&names);
            let next = pages.next(&answer, &call.url, answer.body().len() as u64)?;
            let Some(next) = next else { return Ok(Found::Present(())) };
            // The URLs of such pages may all differ, so `Pages` does not detect the loop.
            if !names.is_empty() && names == previous {
                return Err(malformed("its pages do not end: two in a row are the same".to_owned()));
            }
            (previous, call.url) = (names, next);
        }
    }
}

/// Returns `true` if the page may succeed without the page size. Unlike a list of tags, a catalog is often refused
/// altogether, which says nothing about page sizes.
fn refuses_page_size(asked: &Result<Reply, Error>) -> bool {
    match asked {
        Ok(reply) => {
            let status = reply.status();
            status.is_server_error()
                || matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(error) => error.is_temporary(),
    }
}
