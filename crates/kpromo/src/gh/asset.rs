//! Assets of releases, and their content.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use files::{Error, ErrorKind, Hasher, Hashes};
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use http::{HeaderValue, Method, StatusCode, header};
use manifest::files::Sha256;
use manifest::releases::ReleaseTag;
use transport::{BodyStream, Budget, Class, Opened, Request};
use url::Url;

use crate::github::GitHub;

/// An asset of a release, as GitHub describes it.
#[derive(Clone, Debug)]
pub(super) struct Asset {
    /// The tag of the release.
    pub(super) tag: ReleaseTag,
    /// The URL in the API. It identifies the content, because an asset is never changed, only replaced by another one.
    pub(super) url: Url,
    /// The name of the file.
    pub(super) name: String,
    /// The size, in bytes.
    pub(super) size: u64,
    /// The SHA-256. GitHub has it for assets uploaded since June 2025.
    pub(super) sha256: Option<Sha256>,
    /// The media type that was given at the upload.
    pub(super) content_type: Option<String>,
    /// The URL for browsers, as printable text.
    pub(super) shown: String,
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Reads assets.
#[derive(Clone, Debug)]
pub(super) struct Assets {
    github: GitHub,
    /// Whether GitHub's rate limit was used up for longer than the run waits.
    used_up: Arc<AtomicBool>,
}

impl Assets {
    pub(super) fn new(github: GitHub) -> Self {
        Self { github, used_up: Arc::default() }
    }

    /// Returns whether GitHub's rate limit was used up for longer than the run waits.
    pub(super) fn is_used_up(&self) -> bool {
        self.used_up.load(Relaxed)
    }

    /// Returns the content of an asset in pieces. A stream that breaks off is resumed at the offset that was reached. Content of
    /// another size than GitHub reports is an error.
    pub(super) fn content<'a>(&'a self, asset: &'a Asset) -> BoxStream<'a, Result<Bytes, Error>> {
        let budget = self.github.door().budget();
        let start = Reading { assets: self, asset, body: None, version: None, skip: 0, offset: 0, budget };
        let pieces =
            try_unfold(start, |mut state| async move { Ok(state.next().await?.map(|piece| (piece, state))) });
        pieces.boxed()
    }

    /// Reads an asset to hash it. Also returns its content if it has at most `keep` bytes.
    ///
    /// # Errors
    /// If the asset cannot be read.
    pub(super) async fn hash(&self, asset: &Asset, keep: u64) -> Result<(Hashes, Option<Bytes>), Error> {
        let mut kept = (asset.size <= keep).then(BytesMut::new);
        let mut hasher = Hasher::with_md5();
        let mut pieces = pin!(self.content(asset));
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            hasher.update(&piece);
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(&piece);
            }
        }
        Ok((hasher.finish(), kept.map(BytesMut::freeze)))
    }

    /// Opens an asset at an offset, in the version that was read so far if the offset is greater than 0. Returns the body, and
    /// how many of its bytes are before the offset.
    async fn open(
        &self,
        asset: &Asset,
        offset: u64,
        version: Option<&Version>,
    ) -> Result<(Box<BodyStream>, u64), ErrorKind> {
        // The token is sent only to the API: the door drops it if a redirect leads to another origin.
        let mut request = Request::new(Method::GET, asset.url.clone(), "forge-asset", Class::BulkRead)
            .header(header::ACCEPT, HeaderValue::from_static("application/octet-stream"))
            .follow();
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-"));
            request =
                request.header(header::RANGE, range.map_err(|error| ErrorKind::Source(error.to_string()))?);
            // If the server has another version, it sends that version as a whole, with another ETag.
            if let Some(etag) = version.and_then(Version::if_range) {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let request =
            self.github.authorized(request).map_err(|error| ErrorKind::Source(error.to_string()))?;
        let opened = self.github.door().stream(request).await.map_err(|error| self.not_opened(&error))?;
        let body = match opened {
            Opened::Body(body) => body,
            Opened::Other(answer) => {
                if answer.is_refusal() {
                    self.used_up.store(true, Relaxed);
                }
                return Err(ErrorKind::Source(self.github.refused(&answer).to_string()));
            }
        };
        if version.is_some_and(|version| *version != Version::of(&body)) {
            return Err(ErrorKind::Source("it was replaced while it was read".to_owned()));
        }
        let begins = if body.status() == StatusCode::PARTIAL_CONTENT {
            let range = body.header("content-range").and_then(|range| range.strip_prefix("bytes "));
            range.and_then(|range| range.split('-').next()?.parse::<u64>().ok())
        } else {
            Some(0)
        };
        let Some(skip) = begins.and_then(|begins| offset.checked_sub(begins)) else {
            return Err(ErrorKind::Source("the answer has another range than was asked for".to_owned()));
        };
        let begins = offset - skip;
        let length = body.header("content-length").and_then(|length| length.parse::<u64>().ok());
        if let Some(length) = length
            && begins + length != asset.size
        {
            return Err(wrong_size(asset, &format!("{}", begins + length)));
        }
        Ok((body, skip))
    }
}

impl Assets {
    /// Returns why an asset was not opened, after the door has used up its attempts.
    fn not_opened(&self, error: &transport::Error) -> ErrorKind {
        if error.used_up_for().is_some() {
            self.used_up.store(true, Relaxed);
            return ErrorKind::Source("the rate limit of GitHub is used up".to_owned());
        }
        ErrorKind::Source(error.to_string())
    }
}

/// Identifies a version of some content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Version {
    fn of(body: &BodyStream) -> Self {
        let text = |name: &str| body.header(name).map(str::to_owned);
        Self { etag: text("etag"), last_modified: text("last-modified") }
    }

    /// Returns the value of `If-Range`, which only accepts strong ETags (RFC 9110, section 13.1.5).
    fn if_range(&self) -> Option<HeaderValue> {
        let etag = self.etag.as_ref().filter(|etag| etag.starts_with('"'))?;
        HeaderValue::try_from(etag).ok()
    }

    /// Returns whether the version is known well enough to combine two parts of some content.
    fn is_known(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }
}

fn wrong_size(asset: &Asset, found: &str) -> ErrorKind {
    ErrorKind::Source(format!("it has {found} bytes, and GitHub says {}", asset.size))
}

/// An asset that is being read.
struct Reading<'a> {
    assets: &'a Assets,
    asset: &'a Asset,
    body: Option<Box<BodyStream>>,
    /// The version that was read so far.
    version: Option<Version>,
    /// The number of bytes of the body that were read before.
    skip: u64,
    offset: u64,
    budget: Budget,
}

impl Reading<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let asset = self.asset;
        let fail = |kind| Error::new(format!("reading {asset}"), kind);
        loop {
            let failure = match self.piece().await {
                Ok(Some(piece)) => {
                    self.offset += piece.len() as u64;
                    if self.offset > asset.size {
                        return Err(fail(wrong_size(asset, "more")));
                    }
                    self.budget.progressed();
                    return Ok(Some(piece));
                }
                Ok(None) if self.offset == asset.size => return Ok(None),
                Ok(None) => wrong_size(asset, &format!("only {}", self.offset)),
                Err(ErrorKind::Http(error)) if error.is_temporary() => {
                    self.budget.failed(&error);
                    ErrorKind::Http(error)
                }
                Err(kind) => return Err(fail(kind)),
            };
            // Release the host's concurrency slot before the next request.
            self.body = None;
            match self.budget.pause(None) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(fail(failure)),
            }
        }
    }

    /// Returns the next piece that was not returned before.
    async fn piece(&mut self) -> Result<Option<Bytes>, ErrorKind> {
        loop {
            let body = match &mut self.body {
                Some(body) => body,
                None if self.offset == self.asset.size && self.offset > 0 => return Ok(None),
                none => {
                    self.budget.attempt();
                    let version = self.version.as_ref().filter(|_| self.offset > 0);
                    if version.is_some_and(|version| !version.is_known()) && self.asset.sha256.is_none() {
                        let why =
                            "its content broke off, and GitHub tells neither its digest nor its version";
                        return Err(ErrorKind::Source(why.to_owned()));
                    }
                    let (body, skip) = self.assets.open(self.asset, self.offset, version).await?;
                    self.version = Some(Version::of(&body));
                    self.skip = skip;
                    none.insert(body)
                }
            };
            let Some(mut piece) = body.next().await? else { return Ok(None) };
            let skipped = self.skip.min(piece.len() as u64);
            self.skip -= skipped;
            let piece = piece.split_off(usize::try_from(skipped).unwrap_or(piece.len()));
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}
