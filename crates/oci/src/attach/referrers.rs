//! The referrers of an image (distribution specification, *Listing Referrers* and *Unavailable Referrers API*).

use std::collections::HashSet;

use http::{HeaderValue, Method, StatusCode, header};
use oci_types::Digest;
use oci_types::Repository;
use oci_types::referrers_tag;
use oci_types::text::printable;
use oci_types::{MANIFEST_MAX, MediaType, RawManifest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use transport::{Answer, Request};
use url::form_urlencoded;

use super::Known;
use super::referrer::{REFERRERS_MAX, Referrer};
use crate::absent::Found;
use crate::answer::{refused, success};
use crate::error::{Error, ErrorKind, Refusal};
use crate::read::{Pages, Selector};
use crate::reader::Reader;
use crate::session::Call;

/// The maximum number of pages of one list: some registries return fifty entries a page.
const PAGES_MAX: usize = 100;
/// The maximum size of all pages of a list together, in bytes.
const BYTES_MAX: u64 = 2 * MANIFEST_MAX as u64;
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json";

/// The referrers of an image.
#[derive(Clone, Debug, Default)]
pub struct Referrers {
    /// The referrers in the list.
    pub listed: Vec<Referrer>,
    /// Why the list may lack referrers: the host has the API, and has refused it for this image. The list is that of the fallback
    /// tag.
    pub refused: Option<Error>,
}

/// Whether the API has listed the referrers of an image.
enum ByApi {
    Listed,
    /// The host has no API, or no list for this image. With the refusal if the host has the API.
    NotListed(Option<Error>),
}

impl Reader {
    /// Lists the referrers of an image as [`Reader::referrers_of`] does, without the reason why the list may be incomplete.
    ///
    /// # Errors
    /// Those of [`Reader::referrers_of`].
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: Digest,
        artifact_type: Option<&str>,
        fallback: Known,
    ) -> Result<Vec<Referrer>, Error> {
        self.referrers_of(repository, subject, artifact_type, fallback).await.map(|found| found.listed)
    }

    /// Lists the referrers of an image, of one artifact type or of all types. Uses the referrers API, or the fallback tag if the
    /// registry has no such API.
    ///
    /// Sends one request for each page; most images have one page. For a registry without the API it sends three requests the
    /// first time, and one for each further image of the host. The request for the tag is omitted if the tag is
    /// [`Known::Absent`].
    ///
    /// # Errors
    /// Returns an error if the registry answers with something other than an index, if the list does not end, or if it has more
    /// than 1,000 referrers.
    pub async fn referrers_of(
        &self,
        repository: &Repository,
        subject: Digest,
        artifact_type: Option<&str>,
        fallback: Known,
    ) -> Result<Referrers, Error> {
        let mut found = List::new(format!("listing the referrers of {repository}@{subject}"));
        let session = self.sessions.of(&repository.host)?;
        // The first list shows whether the host has the API.
        let first = session.first_referrers().await;
        // An empty answer is final. A registry that adds the API must take over the referrers that the fallback tag lists
        // (*Enabling the Referrers API*), so crane, cosign and regclient do not read the tag either. Reading it would
        // cost one more request for nearly every image.
        let refused = match session.lacks_referrers() {
            true => None,
            false => match self.referrers_by_api(repository, subject, artifact_type, &mut found).await? {
                ByApi::Listed => return Ok(Referrers { listed: found.referrers, refused: None }),
                ByApi::NotListed(refused) => refused,
            },
        };
        drop(first);
        let tag = referrers_tag(subject);
        if fallback == Known::Absent && !self.attached.has_written(repository, &tag) {
            return Ok(Referrers { listed: Vec::new(), refused });
        }
        if let Found::Present(index) = self.find_manifest(repository, Selector::Tag(&tag)).await? {
            has_list(&index, &found.doing)?;
            found.take(&index, artifact_type)?;
        }
        Ok(Referrers { listed: found.referrers, refused })
    }

    /// Reads the list through the API, page by page.
    async fn referrers_by_api(
        &self,
        repository: &Repository,
        subject: Digest,
        artifact_type: Option<&str>,
        found: &mut List,
    ) -> Result<ByApi, Error> {
        let path = match artifact_type {
            Some(wanted) => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("artifactType", wanted)
                    .finish();
                format!("{subject}?{query}")
            }
            None => subject.to_string(),
        };
        let mut call = self.referrers_call(repository, &path)?;
        let doing = found.doing.clone();
        let mut pages = Pages::new(&doing, PAGES_MAX, BYTES_MAX);
        loop {
            let request = referrers_request(&call, pages.left());
            let reply = self.sessions.send(&call, request, &doing).await?;
            if pages.is_first() && says_no_api(reply.status()) {
                if is_about_content(&reply.refusal()) {
                    return Ok(ByApi::NotListed(None));
                }
                if call.session.may_look_for_referrers() {
                    self.look_for_api(repository, &doing).await?;
                }
                let refused = call.session.has_referrers().then(|| refused(&reply, &doing));
                return Ok(ByApi::NotListed(refused));
            }
            let answer = success(reply, &doing)?;
            let index = index(&answer, &doing)?;
            if !has_list(&index, &doing)? {
                // An index without a list comes from a registry that does not maintain one.
                if pages.is_first() {
                    return Ok(ByApi::NotListed(None));
                }
                let what = "expected a further page of the referrers, got an index without `manifests`";
                return Err(found.fail(ErrorKind::Malformed(what.to_owned())));
            }
            found.take(&index, artifact_type)?;
            call.session.learn_referrers(true);
            match pages.next(&answer, &call.url, answer.body().len() as u64)? {
                None => return Ok(ByApi::Listed),
                Some(next) => call.url = next,
            }
        }
    }

    /// Finds out whether a host that has refused the list of one image has the API. The specification requires an empty list for
    /// a digest that no manifest has (*Listing Referrers*), so a host that refuses this list has no API.
    ///
    /// Sends one request. Anything but a list or a refusal leaves the question open.
    ///
    /// # Errors
    /// Returns an error if the repository has no URL at the host.
    async fn look_for_api(&self, repository: &Repository, doing: &str) -> Result<(), Error> {
        let call = self.referrers_call(repository, &Digest::of(b"").to_string())?;
        let sent = self.sessions.send(&call, referrers_request(&call, u64::MAX), doing).await;
        let Ok(reply) = sent else { return Ok(()) };
        if says_no_api(reply.status()) {
            if !is_about_content(&reply.refusal()) {
                call.session.learn_referrers(false);
            }
            return Ok(());
        }
        let is_list = success(reply, doing)
            .and_then(|answer| has_list(&index(&answer, doing)?, doing))
            .is_ok_and(|has_list| has_list);
        if is_list {
            call.session.learn_referrers(true);
        }
        Ok(())
    }

    /// Returns a call of the API. `path` is the digest with the query.
    fn referrers_call<'a>(&self, repository: &'a Repository, path: &str) -> Result<Call<'a>, Error> {
        let mut call = self.call(Method::GET, repository, "referrers/", "referrers")?;
        call.url = call.session.url(&format!("{}/referrers/{path}", repository.path))?;
        Ok(call)
    }
}

/// Returns the request for a page of at most `left` bytes.
fn referrers_request(call: &Call<'_>, left: u64) -> Request {
    let request = call.request().follow().limit(left.min(MANIFEST_MAX as u64));
    request.header(header::ACCEPT, HeaderValue::from_static(ACCEPT))
}

/// The list while its pages are read.
struct List {
    doing: String,
    referrers: Vec<Referrer>,
    /// The digests of all entries, of every type.
    seen: HashSet<Digest>,
}

impl List {
    fn new(doing: String) -> Self {
        Self { doing, referrers: Vec::new(), seen: HashSet::new() }
    }

    fn fail(&self, kind: ErrorKind) -> Error {
        Error::new(&self.doing, kind)
    }

    /// Adds the entries of a page.
    fn take(&mut self, page: &RawManifest, artifact_type: Option<&str>) -> Result<(), Error> {
        let listed = Referrer::all(page).map_err(|error| self.fail(ErrorKind::Manifest(error)))?;
        for referrer in listed {
            // A duplicate entry counts once.
            if !self.seen.insert(referrer.digest) {
                continue;
            }
            if self.seen.len() > REFERRERS_MAX {
                let what = format!("it has more than {REFERRERS_MAX} referrers");
                return Err(self.fail(ErrorKind::Unreasonable(what)));
            }
            // Registries may filter (`OCI-Filters-Applied`) or not; filtering again costs nothing.
            if artifact_type.is_none() || referrer.artifact_type.as_deref() == artifact_type {
                self.referrers.push(referrer);
            }
        }
        Ok(())
    }
}

/// The statuses by which registries say that they have no referrers API. The specification requires 404; some registries
/// mistake the path for another endpoint, and refuse it with other statuses.
fn says_no_api(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 406 | 410 | 415 | 422 | 501)
}

/// Returns `true` if the refusal is about the repository or the image, so that the registry may have the API nevertheless. Some
/// registries refuse requests in this way if they do not know the repository or the image.
fn is_about_content(refusal: &Refusal) -> bool {
    let codes = ["NAME_UNKNOWN", "NAME_INVALID", "MANIFEST_UNKNOWN", "DIGEST_INVALID"];
    refusal.says(&codes)
}

/// Returns whether an index has the list `manifests`. Some clients write `null` for an empty list.
///
/// # Errors
/// Returns an error if the JSON has neither `manifests` nor `schemaVersion`, or if it has `errors`. Such JSON is not an index, and
/// does not prove an empty list.
fn has_list(index: &RawManifest, doing: &str) -> Result<bool, Error> {
    let malformed = |what: &str| Err(Error::new(doing, ErrorKind::Malformed(what.to_owned())));
    if serde_json::from_slice::<Errors>(index.bytes()).is_ok_and(|Errors { errors }| errors.is_some()) {
        return malformed("expected an index of referrers, got JSON with `errors`");
    }
    // An index that cannot be parsed is an error when its entries are read.
    let Ok(wire) = index.wire() else { return Ok(true) };
    if wire.manifests.is_none() && !wire.has_schema_version() {
        return malformed("expected an index of referrers, got JSON without `manifests` and `schemaVersion`");
    }
    Ok(wire.manifests.is_some())
}

/// The errors in an answer of a registry (distribution specification, *Error Codes*).
#[derive(Deserialize)]
struct Errors {
    errors: Option<IgnoredAny>,
}

/// Returns the index of a page. A web page that is served with 200 for every path must not count as an empty list.
fn index(answer: &Answer, doing: &str) -> Result<RawManifest, Error> {
    let content_type = MediaType::parse(answer.header(header::CONTENT_TYPE.as_str()).unwrap_or_default());
    // Registries also send the index with one of these media types.
    let generic = ["application/json", "application/octet-stream", "text/plain", ""];
    if content_type != MediaType::OciIndex && !generic.contains(&content_type.as_str()) {
        let got = printable(content_type.as_str(), 120);
        let what = format!("expected an index of referrers, got `{got}`");
        return Err(Error::new(doing, ErrorKind::Malformed(what)));
    }
    Ok(RawManifest::new(MediaType::OciIndex, answer.body().clone()))
}
