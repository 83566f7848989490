//! The tags of a repository (distribution specification, *Listing Tags*), parsed as their bytes arrive.

use std::collections::HashSet;

use bytes::Bytes;
use http::{Method, StatusCode};
use oci_types::Repository;
use oci_types::text::printable;
use transport::Sink;

use super::pages::{Pages, without_page_size};
use crate::absent::Found;
use crate::answer::success;
use crate::error::{Error, ErrorKind};
use crate::listing::{Decoder, Listed, Listing};
use crate::reader::Reader;
use crate::session::{NO_REPOSITORY, Reply};

/// The maximum size of one page, in bytes. Google's lists of the largest repositories have about 20 MB, in one page.
const PAGE_MAX: u64 = 128 * 1024 * 1024;
/// The maximum size of all pages of one list together, in bytes.
const LISTING_MAX: u64 = 256 * 1024 * 1024;
/// The maximum number of pages of one list.
const PAGES_MAX: usize = 2_000;
/// The maximum number of times that a list is read again from its first page.
const RESTARTS_MAX: usize = 3;

impl Reader {
    /// Lists all tags of a repository, and its manifests if the registry lists them.
    ///
    /// # Errors
    /// Returns the errors of [`Reader::list`].
    pub async fn listing(&self, repository: &Repository) -> Result<Found<Listing>, Error> {
        let mut listing = Listing::default();
        let found = self.list(repository, &mut |listed| listing.take(listed)).await?;
        // The entries of a page that was read again occur twice.
        let mut seen = HashSet::new();
        listing.tags.retain(|tag| seen.insert(tag.clone()));
        Ok(found.map(|()| listing))
    }

    /// Lists all pages of a repository, and passes the entries to `give` as their bytes arrive, so that no list has to fit into
    /// memory. A page that is interrupted is read again, and its entries are passed again. [`Listed::Restarted`] comes before
    /// them if those that were passed before are void. If this method returns an error, the entries that were passed before it
    /// are unreliable.
    ///
    /// [`Found::Absent`] proves that the repository has no tags. It may still hold untagged manifests.
    ///
    /// # Errors
    /// Returns an error if the registry does not answer with a list of tags, if a page refers to another host or its next page
    /// cannot be determined, if the list does not end, or if the answer denies the repository without proving its absence.
    pub async fn list(
        &self,
        repository: &Repository,
        give: &mut (dyn FnMut(Listed) + Send),
    ) -> Result<Found<()>, Error> {
        let doing = format!("listing the tags of {repository}");
        let mut call = self.call(Method::GET, repository, "tags/list", "tags")?;
        call.session.page_size().into_iter().for_each(|size| call.url.set_query(Some(&format!("n={size}"))));
        let mut pages = Pages::new(&doing, PAGES_MAX, LISTING_MAX);
        let first = call.url.clone();
        let mut progress = Progress::default();
        let (mut without_size, mut restarts) = (false, 0);
        loop {
            let mut page = Page::new(give, &mut progress);
            let mut request = call.request().follow().limit(PAGE_MAX.min(pages.left()));
            // Some hosts refuse a page size, with various statuses. Then the page is requested without it; that request is
            // retried like any other.
            let plain = without_page_size(&call.url);
            if plain.is_some() {
                request = request.again_when_refused();
            }
            let asked = self.sessions.pieces(&call, request, &doing, &mut page).await;
            let (problem, bytes) = page.finish();
            if let Some(plain) = plain.filter(|_| may_refuse_page_size(&asked)) {
                without_size |= asked.as_ref().is_ok_and(|reply| reply.status().is_client_error());
                call.url = plain;
                continue;
            }
            let reply = asked?;
            // A later page that does not exist does not end the list, unless the list has been empty so far.
            if reply.status() == StatusCode::NOT_FOUND && !progress.has_listed {
                return call.session.absence(&reply, NO_REPOSITORY, &doing).map(Found::Absent);
            }
            let answer = success(reply, &doing)?;
            // Only the page size was refused.
            if std::mem::take(&mut without_size) {
                call.session.learn_page_size_refused();
            }
            if std::mem::take(&mut progress.is_void) {
                restarts += 1;
                if restarts > RESTARTS_MAX {
                    let problem = format!("its pages were interrupted more than {RESTARTS_MAX} times");
                    return Err(Error::new(doing, ErrorKind::Unreasonable(problem)));
                }
                give(Listed::Restarted);
                (pages, call.url) = (Pages::new(&doing, PAGES_MAX, LISTING_MAX), first.clone());
                progress = Progress::default();
                continue;
            }
            if let Some(problem) = problem {
                let problem = format!("expected a list of tags: {}", printable(&problem, 200));
                return Err(Error::new(doing, ErrorKind::Malformed(problem)));
            }
            match pages.next(&answer, &call.url, bytes)? {
                None => return Ok(Found::Present(())),
                Some(next) => call.url = next,
            }
            progress.next_page();
        }
    }
}

/// Returns `true` if the page may succeed without the page size. Statuses with another cause are excluded.
fn may_refuse_page_size(asked: &Result<Reply, Error>) -> bool {
    match asked {
        Ok(reply) => {
            let status = reply.status().as_u16();
            status >= 400 && !matches!(status, 401 | 404 | 429)
        }
        Err(error) => error.is_temporary(),
    }
}

/// What a list has passed on so far.
#[derive(Debug, Default)]
struct Progress {
    /// Whether the list has had any entry.
    has_listed: bool,
    /// Whether the current page has had any entry.
    in_page: bool,
    /// Whether the current page has had entries other than tags. Outdated tags do no harm: they are looked up where they matter.
    manifests_in_page: bool,
    is_later_page: bool,
    /// Whether the whole list has to be read again.
    is_void: bool,
}

impl Progress {
    fn next_page(&mut self) {
        (self.in_page, self.manifests_in_page, self.is_later_page) = (false, false, true);
    }
}

/// A page while it arrives.
struct Page<'a> {
    give: &'a mut (dyn FnMut(Listed) + Send),
    progress: &'a mut Progress,
    decoder: Decoder,
    problem: Option<String>,
    bytes: u64,
    began: bool,
}

impl<'a> Page<'a> {
    fn new(give: &'a mut (dyn FnMut(Listed) + Send), progress: &'a mut Progress) -> Self {
        Self { give, progress, decoder: Decoder::new(), problem: None, bytes: 0, began: false }
    }

    /// Ends the page. Returns what is wrong with it, if anything, and its size in bytes. A page that never started is not
    /// checked.
    fn finish(self) -> (Option<String>, u64) {
        let Self { give, progress, decoder, problem, bytes, began } = self;
        let ends = began && !progress.is_void;
        let mut note = recording(give, progress);
        let problem = problem.or_else(|| if ends { decoder.finish(&mut note).err() } else { None });
        (problem, bytes)
    }
}

/// Wraps `give` so that it records what was passed on.
fn recording<'a>(
    give: &'a mut (dyn FnMut(Listed) + Send),
    progress: &'a mut Progress,
) -> impl FnMut(Listed) + use<'a> {
    move |listed| {
        progress.has_listed |= !matches!(listed, Listed::Manifests);
        progress.in_page = true;
        progress.manifests_in_page |= !matches!(listed, Listed::Tag(_) | Listed::Invalid(_));
        give(listed);
    }
}

impl Sink for Page<'_> {
    fn begin(&mut self) {
        (self.decoder, self.problem, self.bytes, self.began) = (Decoder::new(), None, 0, true);
        if self.progress.is_later_page {
            // The entries of this page cannot be distinguished from those of the pages before.
            self.progress.is_void |= self.progress.manifests_in_page;
        } else if self.progress.in_page {
            (self.give)(Listed::Restarted);
            *self.progress = Progress::default();
        }
    }

    fn take(&mut self, piece: Bytes) -> bool {
        if self.progress.is_void {
            return false;
        }
        self.bytes += piece.len() as u64;
        self.problem = self.decoder.push(piece, &mut recording(self.give, self.progress)).err();
        self.problem.is_none()
    }
}
