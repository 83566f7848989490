//! Which manifests are about an image (distribution specification, *Listing Referrers* and *Unavailable Referrers API*).

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use oci_spec::image::{Descriptor as OciDescriptor, ImageIndex};
use transport::Response;
use url::{Url, form_urlencoded};

use super::Known;
use super::attachment::{digest, ordered};
use super::tag::referrers_tag;
use crate::client::{Call, body, expect, same_host};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Refusal, printable};
use crate::listing::next_page;
use crate::manifest::{InvalidManifest, MANIFEST_MAX, MediaType, RawManifest};
use crate::name::Repository;
use crate::read::{Reader, Selector};

/// The most referrers that one image may have; those of other types, which are left out of the answer, are counted.
pub(super) const REFERRERS_MAX: usize = 1_000;
/// The most pages of one list: some registries give fifty a page.
const PAGES_MAX: usize = 100;
/// The most bytes that all pages of a list may have together.
const BYTES_MAX: usize = 2 * MANIFEST_MAX;

/// A manifest that is listed as being about an image. All of it is what the list says: see
/// [`Reader::referrer`](crate::Reader::referrer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The kind of the manifest.
    pub media_type: MediaType,
    /// Its digest.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// What it is, where the list tells.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Referrer {
    fn new(descriptor: &OciDescriptor) -> Result<Self, InvalidManifest> {
        Ok(Self {
            media_type: MediaType::parse(descriptor.media_type().as_ref()),
            digest: digest(descriptor)?,
            size: descriptor.size(),
            artifact_type: descriptor.artifact_type().as_ref().map(ToString::to_string),
            annotations: ordered(descriptor.annotations().as_ref()),
        })
    }

    /// The referrers that an index lists, in its order.
    pub(super) fn all(index: &RawManifest) -> Result<Vec<Self>, InvalidManifest> {
        if *index.media_type() != MediaType::OciIndex {
            let got = index.media_type().clone();
            return Err(InvalidManifest::WrongKind { expected: "an OCI index of referrers", got });
        }
        // What is checked of every manifest: that it is what it says.
        index.parse()?;
        let parsed = ImageIndex::from_reader(&index.bytes()[..]).map_err(|source| {
            InvalidManifest::Malformed { media_type: index.media_type().clone(), source }
        })?;
        parsed.manifests().iter().map(Self::new).collect()
    }
}

impl Reader {
    /// The manifests that say they are about an image, of one artifact type or of all: by the referrers API, or by the
    /// fallback tag where the registry has none.
    ///
    /// One request a page, and most images have one page. A registry without the API costs two requests the first time, and
    /// one for every further image of its host; the one for the tag is not made where it is [`Known::Absent`].
    ///
    /// # Errors
    /// When the registry answers with something else than an index, lists without end, or lists more than 1,000 referrers.
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: Digest,
        artifact_type: Option<&str>,
        fallback: Known,
    ) -> Result<Vec<Referrer>, Error> {
        let mut found = List::new(format!("listing the referrers of {repository}@{subject}"));
        let memory = &self.shared.attached;
        // An empty answer is an answer. What was pushed before the registry had the API, it must list from the fallback tag
        // when it gets it (*Enabling the Referrers API*), so crane, cosign and regclient ask no further either; to do so
        // would be one more request for nearly every image.
        if !memory.lacks_referrers(&repository.host)
            && self.referrers_by_api(repository, subject, artifact_type, &mut found).await?
        {
            return Ok(found.referrers);
        }
        let tag = referrers_tag(subject);
        if fallback == Known::Absent && !memory.has_written(repository, &tag) {
            return Ok(Vec::new());
        }
        match self.manifest(repository, Selector::Tag(&tag)).await {
            Ok(index) => found.take(&index, artifact_type).map(|_| found.referrers),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Asks the API, page by page; `false` where the registry has none.
    async fn referrers_by_api(
        &self,
        repository: &Repository,
        subject: Digest,
        artifact_type: Option<&str>,
        found: &mut List,
    ) -> Result<bool, Error> {
        let path = match artifact_type {
            Some(wanted) => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("artifactType", wanted)
                    .finish();
                format!("referrers/{subject}?{query}")
            }
            None => format!("referrers/{subject}"),
        };
        let mut call = self.shared.reading(Method::GET, repository, &path, "referrers")?;
        for page in 1..=PAGES_MAX {
            let response = self.referrers_page(&call, &found.doing).await?;
            if page == 1 && says_no_api(response.status()) {
                let refusal = Refusal::read(response).await;
                if !is_about_content(&refusal) {
                    self.shared.attached.learn_referrers(&repository.host, false);
                }
                return Ok(false);
            }
            let response = expect(response, &[200], &found.doing).await?;
            let next = next(&response, &call.url, &found.doing)?;
            let index = index(response, found.left(), &found.doing).await?;
            let brought_new = found.take(&index, artifact_type)?;
            self.shared.attached.learn_referrers(&repository.host, true);
            match next {
                None => return Ok(true),
                Some(next) if brought_new => call.url = next,
                Some(_) => return Err(found.fail(ErrorKind::Malformed("its pages do not end".to_owned()))),
            }
        }
        Err(found.fail(ErrorKind::Unreasonable(format!("it has more than {PAGES_MAX} pages"))))
    }

    async fn referrers_page(&self, call: &Call<'_>, doing: &str) -> Result<Response, Error> {
        let request = call.request().follow().header(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        let this = Call { url: call.url.clone(), scopes: call.scopes.clone(), method: Method::GET, ..*call };
        self.shared.send(this, request, doing).await
    }
}

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json";

/// What is found of a list, while its pages are read.
struct List {
    doing: String,
    referrers: Vec<Referrer>,
    /// All that was listed, of whatever type.
    seen: HashSet<Digest>,
    bytes: usize,
}

impl List {
    fn new(doing: String) -> Self {
        Self { doing, referrers: Vec::new(), seen: HashSet::new(), bytes: 0 }
    }

    fn fail(&self, kind: ErrorKind) -> Error {
        Error::new(&self.doing, kind)
    }

    /// How large the next page may be, in bytes.
    fn left(&self) -> usize {
        MANIFEST_MAX.min(BYTES_MAX - self.bytes)
    }

    /// Takes in a page, and tells whether it had anything new.
    fn take(&mut self, page: &RawManifest, artifact_type: Option<&str>) -> Result<bool, Error> {
        let listed = Referrer::all(page).map_err(|error| self.fail(ErrorKind::Manifest(error)))?;
        let before = self.seen.len();
        self.bytes += page.bytes().len();
        for referrer in listed {
            // One that is listed twice is one referrer.
            if !self.seen.insert(referrer.digest) {
                continue;
            }
            if self.seen.len() > REFERRERS_MAX {
                let what = format!("it has more than {REFERRERS_MAX} referrers");
                return Err(self.fail(ErrorKind::Unreasonable(what)));
            }
            // Registries may filter (`OCI-Filters-Applied`) or not; to do it again costs nothing.
            if artifact_type.is_none() || referrer.artifact_type.as_deref() == artifact_type {
                self.referrers.push(referrer);
            }
        }
        Ok(self.seen.len() > before)
    }
}

/// The statuses by which registries say that they have no referrers API. The specification's is 404; older registries take
/// the path for something else, and refuse it as that.
fn says_no_api(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 406)
}

/// Whether a registry refuses to answer for what it was asked about, though it may have the API: some answer so where they
/// do not know the repository or the image.
fn is_about_content(refusal: &Refusal) -> bool {
    let codes = ["NAME_UNKNOWN", "NAME_INVALID", "MANIFEST_UNKNOWN", "DIGEST_INVALID"];
    refusal.errors.iter().any(|error| codes.contains(&error.code.as_str()))
}

/// Where the next page is.
fn next(response: &Response, asked: &Url, doing: &str) -> Result<Option<Url>, Error> {
    let links = response.headers().get_all(header::LINK).iter().filter_map(|link| link.to_str().ok());
    let target = links.filter_map(next_page).next();
    target.map(|to| same_host(asked, to, "Link", doing)).transpose()
}

/// The index of a page. A web page that greets every visitor with 200 is not an empty list, and must not pass for one.
async fn index(response: Response, limit: usize, doing: &str) -> Result<RawManifest, Error> {
    let content_type = MediaType::parse(response.header(header::CONTENT_TYPE.as_str()).unwrap_or_default());
    let is_index = content_type == MediaType::OciIndex || content_type.as_str() == "application/json";
    let bytes: Bytes = body(response, limit, doing).await?;
    if !is_index {
        let got = printable(content_type.as_str(), 120);
        let what = format!("an index of referrers is expected, `{got}` came");
        return Err(Error::new(doing, ErrorKind::Malformed(what)));
    }
    Ok(RawManifest::new(MediaType::OciIndex, bytes))
}
