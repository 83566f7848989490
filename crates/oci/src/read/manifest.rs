//! Manifests (distribution specification, *Pulling Manifests* and *Checking if content exists*).

use std::fmt;

use http::{HeaderValue, Method, StatusCode, header};
use oci_types::Digest;
use oci_types::{MANIFEST_MAX, MediaType, RawManifest};
use oci_types::{Repository, Tag};

use crate::absent::Found;
use crate::answer::{named_digest, refused, success};
use crate::error::{Error, ErrorKind};
use crate::reader::Reader;
use crate::session::{Call, NO_MANIFEST, Reply};

/// How a manifest is addressed.
#[derive(Clone, Copy, Debug)]
pub enum Selector<'a> {
    /// By a tag, which may move.
    Tag(&'a Tag),
    /// By its digest.
    Digest(Digest),
}

impl fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Selector<'_> {
    /// Returns the image reference in a repository.
    pub(crate) fn within(&self, repository: &Repository) -> String {
        match self {
            Self::Tag(tag) => format!("{repository}:{tag}"),
            Self::Digest(digest) => format!("{repository}@{digest}"),
        }
    }
}

/// The headers of a manifest, read without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The digest.
    pub digest: Digest,
    /// The media type, as the registry reports it.
    pub media_type: MediaType,
}

impl Reader {
    /// Determines whether a manifest exists, and its digest. Absence is reported only after a `GET` whose answer proves
    /// it ([`Absent`](crate::Absent)).
    ///
    /// Sends one request if the manifest exists and the host supports `HEAD`, and two if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the request fails, or if the answer denies the manifest without proving its absence.
    pub async fn head(&self, repository: &Repository, which: Selector<'_>) -> Result<Found<Head>, Error> {
        let doing = format!("looking for {}", which.within(repository));
        let call = self.call(Method::HEAD, repository, &format!("manifests/{which}"), "manifest-head")?;
        let mut answered = None;
        if call.session.takes_head() {
            // If HEAD fails, GET follows, which is retried like any other request.
            let request = accepting(&call).follow().again_when_refused();
            match self.sessions.send(&call, request, &doing).await {
                Ok(reply) => match reply.status() {
                    status if status.is_success() => {
                        if let Some(head) = head_of(&reply, which, &doing)? {
                            return Ok(Found::Present(head));
                        }
                        answered = Some(status);
                    }
                    StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => {
                        return Err(refused(&reply, &doing));
                    }
                    status if refuses_head(status) => call.session.learn_head_refused(),
                    // The answer to GET contains more information.
                    status if !status.is_redirection() => answered = Some(status),
                    _ => return Err(refused(&reply, &doing)),
                },
                Err(error) if error.is_temporary() => {}
                Err(error) => return Err(error),
            }
        }
        let found = self.find_manifest(repository, which).await?;
        match (&found, answered) {
            (Found::Present(_), Some(StatusCode::NOT_FOUND)) => call.session.learn_head_refused(),
            (Found::Absent(_), Some(status)) if status.is_success() => {
                let why = format!("HEAD returned {status}, but GET says that the manifest does not exist");
                return Err(Error::new(doing, ErrorKind::Content(why)));
            }
            _ => {}
        }
        Ok(found.map(|manifest| {
            let digest = if let Selector::Digest(digest) = which { digest } else { manifest.digest() };
            Head { digest, media_type: manifest.media_type().clone() }
        }))
    }

    /// Reads a manifest, and verifies it against the digest by which it was requested.
    ///
    /// # Errors
    /// Returns an error if the manifest does not exist, is larger than [`MANIFEST_MAX`], or does not match its digest, or if a
    /// tag is answered with neither a digest nor a valid manifest.
    pub async fn manifest(&self, repository: &Repository, which: Selector<'_>) -> Result<RawManifest, Error> {
        let doing = format!("reading {}", which.within(repository));
        let (_, reply) = self.get(repository, which, &doing).await?;
        received(reply, which, &doing)
    }

    /// Reads a manifest as [`Reader::manifest`] does, but returns a proof if it does not exist.
    ///
    /// # Errors
    /// Returns the errors of [`Reader::manifest`], and an error if the answer denies the manifest without proving its absence.
    pub async fn find_manifest(
        &self,
        repository: &Repository,
        which: Selector<'_>,
    ) -> Result<Found<RawManifest>, Error> {
        let doing = format!("reading {}", which.within(repository));
        let (call, reply) = self.get(repository, which, &doing).await?;
        if reply.status() == StatusCode::NOT_FOUND {
            return call.session.absence(&reply, NO_MANIFEST, &doing).map(Found::Absent);
        }
        received(reply, which, &doing).map(Found::Present)
    }

    async fn get<'a>(
        &self,
        repository: &'a Repository,
        which: Selector<'_>,
        doing: &str,
    ) -> Result<(Call<'a>, Reply), Error> {
        let call = self.call(Method::GET, repository, &format!("manifests/{which}"), "manifest-get")?;
        let request = accepting(&call).follow().limit(MANIFEST_MAX as u64);
        let reply = self.sessions.send(&call, request, doing).await?;
        Ok((call, reply))
    }
}

/// Returns `true` if the status means that the host does not support `HEAD`.
fn refuses_head(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::NOT_IMPLEMENTED
    )
}

fn accepting(call: &Call<'_>) -> transport::Request {
    call.request().header(header::ACCEPT, HeaderValue::from_static(MediaType::ACCEPT))
}

/// Returns the information in the headers of an answer; `None` if they are incomplete. The specification only recommends them.
fn head_of(reply: &Reply, which: Selector<'_>, doing: &str) -> Result<Option<Head>, Error> {
    let media_type = reply.answer.header(header::CONTENT_TYPE.as_str()).map(MediaType::parse);
    let Some(media_type) = media_type else { return Ok(None) };
    Ok(match (which, named_digest(&reply.answer)) {
        (Selector::Digest(asked), Some(got)) if asked != got && asked.algorithm() == got.algorithm() => {
            return Err(Error::new(doing, ErrorKind::WrongDigest { expected: asked, got }));
        }
        // A page of a proxy may have a media type too, but only answers of the registry itself name the digest.
        (Selector::Digest(digest), Some(_)) | (Selector::Tag(_), Some(digest)) => {
            Some(Head { digest, media_type })
        }
        (_, None) => None,
    })
}

fn received(reply: Reply, which: Selector<'_>, doing: &str) -> Result<RawManifest, Error> {
    let answer = success(reply, doing)?;
    let content_type = answer.header(header::CONTENT_TYPE.as_str()).map(str::to_owned);
    let expected = match which {
        Selector::Digest(digest) => Some(digest),
        Selector::Tag(_) => named_digest(&answer),
    };
    let manifest = RawManifest::received(content_type.as_deref(), answer.into_body());
    match expected {
        // Only its form distinguishes the manifest from a page of a proxy.
        None => match manifest.parse() {
            Ok(_) => Ok(manifest),
            Err(error) => Err(Error::new(doing, ErrorKind::NotAManifest(error))),
        },
        Some(expected) if !expected.names(manifest.bytes()) => {
            Err(Error::new(doing, ErrorKind::WrongDigest { expected, got: manifest.digest() }))
        }
        _ => Ok(manifest),
    }
}
