//! Paginated lists of tags and repositories (OCI distribution specification, *Listing tags*).

use http::header::LINK;
use oci::{RepositoryPath, Tag};
use url::form_urlencoded;

use super::{Call, Registry, google, header, json, only_reads};
use crate::body::Response;
use crate::error::{ErrorCode, Refusal};

/// One page of a list.
pub(super) struct Page {
    pub(super) entries: Vec<String>,
    /// The maximum number of entries.
    pub(super) size: usize,
    pub(super) is_last: bool,
}

impl Page {
    /// Takes a page from the entries after `last`.
    pub(super) fn of(call: &Call, limit: usize, rest: impl Iterator<Item = String>) -> Result<Self, Refusal> {
        let size = match call.query.first("n") {
            None => limit,
            Some(text) => text
                .parse::<usize>()
                .map(|n| n.min(limit))
                .map_err(|_| Refusal::new(ErrorCode::PaginationInvalid, "`n` is not a number of entries"))?,
        };
        let mut entries: Vec<String> = rest.take(size + 1).collect();
        let is_last = entries.len() <= size || size == 0;
        entries.truncate(size);
        Ok(Self { entries, size, is_last })
    }

    /// Adds the `Link` to the next page, if there is one. `more` is the rest of its query.
    pub(super) fn link(
        &self,
        path: &str,
        more: Option<(&str, &str)>,
        mut response: Response,
    ) -> Result<Response, Refusal> {
        if let Some(last) = self.entries.last().filter(|_| !self.is_last) {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("n", &self.size.to_string()).append_pair("last", last);
            if let Some((name, value)) = more {
                query.append_pair(name, value);
            }
            let link = format!("<{path}?{}>; rel=\"next\"", query.finish());
            response.headers_mut().insert(LINK, header(link)?);
        }
        Ok(response)
    }
}

impl Registry {
    pub(super) fn tags(&self, call: &Call, repository: &RepositoryPath) -> Result<Response, Refusal> {
        only_reads(call)?;
        if self.google_listing {
            return google::listing(&self.store.index(), repository).map(|listing| json(&listing));
        }
        let index = self.store.index();
        let names = index.repository(repository).filter(|names| !names.is_empty()).ok_or_else(|| {
            Refusal::new(ErrorCode::NameUnknown, format!("there is no repository `{repository}`"))
        })?;
        let last = call.query.first("last").unwrap_or_default();
        let behind = names.tags.keys().map(Tag::as_str).filter(|tag| *tag > last).map(str::to_owned);
        let page = Page::of(call, self.page_size.get(), behind)?;
        let answer = json(&serde_json::json!({ "name": repository, "tags": page.entries }));
        page.link(&format!("/v2/{repository}/tags/list"), None, answer)
    }

    pub(super) fn catalog(&self, call: &Call) -> Result<Response, Refusal> {
        only_reads(call)?;
        let index = self.store.index();
        let behind = index.names_after(call.query.first("last")).map(RepositoryPath::to_string);
        let page = Page::of(call, self.page_size.get(), behind)?;
        let answer = json(&serde_json::json!({ "repositories": page.entries }));
        page.link("/v2/_catalog", None, answer)
    }
}
