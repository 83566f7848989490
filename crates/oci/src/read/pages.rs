//! Paginated lists: the common part of tags, repositories and referrers.

use std::collections::HashSet;

use transport::Answer;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::link::next_page;

/// The pages of one list, bounded in number and size.
pub(crate) struct Pages<'a> {
    doing: &'a str,
    /// The URLs that were requested; a repeated one means a loop.
    asked: HashSet<Url>,
    pages_max: usize,
    bytes_max: u64,
    bytes: u64,
}

impl<'a> Pages<'a> {
    /// Constructs an unread list with limits on its pages and bytes.
    pub(crate) fn new(doing: &'a str, pages_max: usize, bytes_max: u64) -> Self {
        Self { doing, asked: HashSet::new(), pages_max, bytes_max, bytes: 0 }
    }

    /// Returns `true` if no page was read.
    pub(crate) fn is_first(&self) -> bool {
        self.asked.is_empty()
    }

    /// Returns how many bytes the next page may have.
    pub(crate) fn left(&self) -> u64 {
        self.bytes_max - self.bytes
    }

    /// Records a page of `bytes` bytes that was requested at `asked`, and returns the URL of the next page.
    ///
    /// # Errors
    /// Returns an error if the URL of the next page cannot be determined, was requested before, or exceeds the maximum number of
    /// pages.
    pub(crate) fn next(&mut self, answer: &Answer, asked: &Url, bytes: u64) -> Result<Option<Url>, Error> {
        self.bytes = self.bytes.saturating_add(bytes).min(self.bytes_max);
        self.asked.insert(asked.clone());
        let Some(next) = next_page(answer.headers(), answer.url(), asked, self.doing)? else {
            return Ok(None);
        };
        let fail = |kind| Err(Error::new(self.doing, kind));
        if self.asked.contains(&next) {
            return fail(ErrorKind::Malformed("its pages do not end: one leads back to another".to_owned()));
        }
        if self.asked.len() >= self.pages_max {
            return fail(ErrorKind::Unreasonable(format!("it has more than {} pages", self.pages_max)));
        }
        if self.left() == 0 {
            return fail(ErrorKind::Unreasonable(format!("it has more than {} bytes", self.bytes_max)));
        }
        Ok(Some(next))
    }
}

/// Returns the URL without the page size; `None` if it has none.
pub(super) fn without_page_size(url: &Url) -> Option<Url> {
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "n")
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    if kept.len() == url.query_pairs().count() {
        return None;
    }
    let mut plain = url.clone();
    plain.set_query(None);
    if !kept.is_empty() {
        plain.query_pairs_mut().extend_pairs(kept);
    }
    Some(plain)
}
