//! Reading from a registry (distribution specification, *Pull* and *Content Discovery*).

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use http::{HeaderValue, Method, header};
use serde::Deserialize;
use transport::{Class, Response};

use crate::auth::Scope;
use crate::blob::BlobStream;
use crate::client::{Call, Shared, body, expect, named_digest, same_host};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, printable};
use crate::listing::{Decoder, Listed, Listing, next_page};
use crate::manifest::{MANIFEST_MAX, MediaType, RawManifest};
use crate::name::{Host, Repository, RepositoryPath, Tag};

/// The largest page of a listing, in bytes. Google's listings of the largest repositories have some 20 MB, in one page.
const PAGE_MAX: usize = 128 * 1024 * 1024;
/// The most that all pages of one listing may have together, in bytes.
const LISTING_MAX: usize = 256 * 1024 * 1024;
/// The most pages of one listing.
const PAGES_MAX: usize = 2_000;
/// The names asked for in a page; registries give fewer where they like.
const PAGE_SIZE: usize = 1_000;

/// How a manifest is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Selector<'a> {
    /// By a tag, which may move.
    Tag(&'a Tag),
    /// By its digest.
    Digest(Digest),
}

impl std::fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Selector<'_> {
    /// The image in a repository, as people write it.
    pub(crate) fn within(&self, repository: &Repository) -> String {
        match self {
            Self::Tag(tag) => format!("{repository}:{tag}"),
            Self::Digest(digest) => format!("{repository}@{digest}"),
        }
    }
}

/// What the registry says of a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its digest.
    pub digest: Digest,
    /// Its kind.
    pub media_type: MediaType,
}

/// What may read registries, and nothing else.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    /// The tags of a repository, all pages, and its manifests where the registry lists them; `None` where there is no
    /// such repository.
    ///
    /// # Errors
    /// As [`Reader::list`].
    pub async fn listing(&self, repository: &Repository) -> Result<Option<Listing>, Error> {
        let mut listing = Listing::default();
        let there = self.list(repository, &mut |listed| listing.take(listed)).await?;
        Ok(there.then_some(listing))
    }

    /// Lists a repository, all pages, and gives away what they say as their bytes arrive, so that no list has to fit into
    /// memory; `false` where there is no such repository. What was given away before an error is not to be believed.
    ///
    /// # Errors
    /// When the registry does not answer with a list of tags, leads to another host, or lists without end.
    pub async fn list(
        &self,
        repository: &Repository,
        give: &mut (dyn FnMut(Listed) + Send),
    ) -> Result<bool, Error> {
        let doing = format!("listing the tags of {repository}");
        let path = format!("tags/list?n={PAGE_SIZE}");
        let call = self.shared.reading(Method::GET, repository, &path, "tags")?;
        let mut seen = Seen::default();
        let pages = self
            .pages(call, &doing, async |response| {
                let before = seen.tags.len();
                let bytes = page(response, &doing, &mut |listed| {
                    seen.take(&listed);
                    give(listed);
                })
                .await?;
                Ok(Page { bytes, is_empty: seen.tags.len() == before })
            })
            .await?;
        if seen.repeats && pages > 1 {
            return Err(Error::new(doing, ErrorKind::Malformed("pages repeat one another".to_owned())));
        }
        Ok(pages > 0)
    }

    /// The repositories of a registry, where it tells; none where it keeps no catalog.
    ///
    /// # Errors
    /// When the registry does not answer with a catalog.
    pub async fn catalog(&self, host: &Host) -> Result<Vec<RepositoryPath>, Error> {
        #[derive(Deserialize)]
        struct Catalog {
            repositories: Option<Vec<String>>,
        }
        let doing = format!("listing the repositories of {host}");
        let url = self.shared.url(host, &format!("_catalog?n={PAGE_SIZE}"))?;
        let scopes = BTreeSet::from([Scope::catalog()]);
        let call = Call { method: Method::GET, url, kind: "catalog", class: Class::Read, host, scopes };
        let mut found = Vec::new();
        self.pages(call, &doing, async |response| {
            let content = body(response, PAGE_MAX, &doing).await?;
            let catalog: Catalog = serde_json::from_slice(&content)
                .map_err(|error| Error::new(&doing, ErrorKind::Malformed(error.to_string())))?;
            let before = found.len();
            found.extend(catalog.repositories.into_iter().flatten().filter_map(|name| name.parse().ok()));
            Ok(Page { bytes: content.len(), is_empty: found.len() == before })
        })
        .await?;
        Ok(found)
    }

    /// Reads pages until there is no next one, and counts them; none where the first is not found. `read` reads one.
    async fn pages(
        &self,
        mut call: Call<'_>,
        doing: &str,
        mut read: impl AsyncFnMut(Response) -> Result<Page, Error>,
    ) -> Result<usize, Error> {
        let mut bytes = 0;
        for page in 1..=PAGES_MAX {
            let request = call.request().follow();
            let this =
                Call { url: call.url.clone(), scopes: call.scopes.clone(), method: Method::GET, ..call };
            let response = self.shared.send(this, request, doing).await?;
            if page == 1 && response.status() == http::StatusCode::NOT_FOUND {
                response.discard().await;
                return Ok(0);
            }
            let response = expect(response, &[200], doing).await?;
            let links = response.headers().get_all(header::LINK).iter().filter_map(|link| link.to_str().ok());
            let next = links.filter_map(next_page).next();
            let next = next.map(|to| same_host(&call.url, to, "Link", doing)).transpose()?;
            let content = read(response).await?;
            bytes += content.bytes;
            if bytes > LISTING_MAX {
                return Err(Error::new(
                    doing,
                    ErrorKind::Unreasonable(format!("it has more than {LISTING_MAX} bytes")),
                ));
            }
            match next {
                None => return Ok(page),
                Some(next) if !content.is_empty && next != call.url => call.url = next,
                Some(_) => {
                    return Err(Error::new(doing, ErrorKind::Malformed("its pages do not end".to_owned())));
                }
            }
        }
        Err(Error::new(doing, ErrorKind::Unreasonable(format!("it has more than {PAGES_MAX} pages"))))
    }

    /// Which manifest there is; `None` where there is none.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn head(&self, repository: &Repository, which: Selector<'_>) -> Result<Option<Head>, Error> {
        let doing = format!("looking for {}", which.within(repository));
        let call =
            self.shared.reading(Method::HEAD, repository, &format!("manifests/{which}"), "manifest-head")?;
        let request =
            call.request().follow().header(header::ACCEPT, HeaderValue::from_static(MediaType::ACCEPT));
        let response = self.shared.send(call, request, &doing).await?;
        if response.status() == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = expect(response, &[200], &doing).await?;
        let media_type = response.header(header::CONTENT_TYPE.as_str()).map(MediaType::parse);
        match (which, named_digest(&response), media_type) {
            (Selector::Digest(asked), Some(got), _) if asked != got => {
                Err(Error::new(doing, ErrorKind::WrongDigest { expected: asked, got }))
            }
            (Selector::Digest(digest), _, Some(media_type)) | (_, Some(digest), Some(media_type)) => {
                Ok(Some(Head { digest, media_type }))
            }
            // The specification only recommends these headers; the manifest itself has all.
            _ => {
                let manifest = self.manifest(repository, which).await?;
                Ok(Some(Head { digest: manifest.digest(), media_type: manifest.media_type().clone() }))
            }
        }
    }

    /// A manifest, verified against the digest it is asked by.
    ///
    /// # Errors
    /// When there is none, it is larger than [`MANIFEST_MAX`], or it is not what its digest names.
    pub async fn manifest(&self, repository: &Repository, which: Selector<'_>) -> Result<RawManifest, Error> {
        let doing = format!("reading {}", which.within(repository));
        let call =
            self.shared.reading(Method::GET, repository, &format!("manifests/{which}"), "manifest-get")?;
        let request =
            call.request().follow().header(header::ACCEPT, HeaderValue::from_static(MediaType::ACCEPT));
        let response = expect(self.shared.send(call, request, &doing).await?, &[200], &doing).await?;
        let media_type = MediaType::parse(response.header(header::CONTENT_TYPE.as_str()).unwrap_or_default());
        let named = named_digest(&response);
        let manifest = RawManifest::new(media_type, body(response, MANIFEST_MAX, &doing).await?);
        let expected = match which {
            Selector::Digest(digest) => Some(digest),
            Selector::Tag(_) => named,
        };
        match expected {
            Some(expected) if !expected.names(manifest.bytes()) => {
                Err(Error::new(doing, ErrorKind::WrongDigest { expected, got: manifest.digest() }))
            }
            _ => Ok(manifest),
        }
    }

    /// A blob, piece by piece, hashed while it streams; its last piece comes only when digest and size are right.
    pub fn blob(&self, repository: &Repository, digest: Digest, size: u64) -> BlobStream {
        BlobStream::new(self.clone(), repository.clone(), digest, size)
    }
}

/// A page that was read.
struct Page {
    /// Its size, in bytes.
    bytes: usize,
    /// Whether it brought nothing new.
    is_empty: bool,
}

/// The tags of earlier pages, as far as it takes to see that pages repeat one another.
#[derive(Default)]
struct Seen {
    /// Their hashes. Two tags of one hash would be taken for a repetition: once in 37 million lists of a million tags.
    tags: HashSet<u64>,
    hasher: RandomState,
    repeats: bool,
}

impl Seen {
    fn take(&mut self, listed: &Listed) {
        if let Listed::Tag(tag) = listed {
            self.repeats |= !self.tags.insert(self.hasher.hash_one(tag));
        }
    }
}

/// Reads one page of a list of tags as it comes; gives its size in bytes.
async fn page(
    response: Response,
    doing: &str,
    give: &mut (dyn FnMut(Listed) + Send),
) -> Result<usize, Error> {
    let mut decoder = Decoder::new();
    let malformed = |why: String| {
        let why = printable(&why, 200);
        Error::new(doing, ErrorKind::Malformed(format!("a list of tags is expected: {why}")))
    };
    let mut wrong = None;
    let read = response
        .read(PAGE_MAX as u64, |piece| {
            wrong = decoder.push(piece, give).err();
            wrong.is_none()
        })
        .await
        .map_err(|error| Error::new(doing, ErrorKind::Transport(error)))?;
    match wrong {
        Some(why) => Err(malformed(why)),
        None => decoder.finish(give).map_err(malformed).map(|()| usize::try_from(read).unwrap_or(usize::MAX)),
    }
}
