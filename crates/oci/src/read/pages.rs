//! Lists in pages: what is the same for tags, repositories and referrers.

use std::collections::HashSet;

use transport::Answer;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::link::next_page;

/// The pages of one list, bounded in number and size.
pub(crate) struct Pages<'a> {
    doing: &'a str,
    /// The URLs that were asked: one that is repeated is a loop.
    asked: HashSet<Url>,
    pages_max: usize,
    bytes_max: u64,
    bytes: u64,
}

impl<'a> Pages<'a> {
    /// A list of which nothing was read, of at most so many pages and bytes.
    pub(crate) fn new(doing: &'a str, pages_max: usize, bytes_max: u64) -> Self {
        Self { doing, asked: HashSet::new(), pages_max, bytes_max, bytes: 0 }
    }

    /// Whether no page was read.
    pub(crate) fn is_first(&self) -> bool {
        self.asked.is_empty()
    }

    /// How many bytes the next page may have.
    pub(crate) fn left(&self) -> u64 {
        self.bytes_max - self.bytes
    }

    /// Takes in a page of so many bytes that was asked for at `asked`, and gives the URL of the next one.
    ///
    /// # Errors
    /// When the next page cannot be told, was asked for before, or is one too many.
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
