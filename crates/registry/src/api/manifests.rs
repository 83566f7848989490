//! Manifests (OCI distribution specification, *Pulling manifests*, *Pushing manifests*, *Deleting manifests*).

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use oci::{Digest, MANIFEST_MAX, Manifest, MediaType, RawManifest, RepositoryPath, Tag};
use serde::Deserialize;

use super::{Call, Registry, created, header, parse_digest, status};
use crate::body::{Response, full};
use crate::error::{ErrorCode, Refusal};
use crate::headers::{DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG};
use crate::quirks::Visible;
use crate::store::{Placed, Placement};

/// The maximum number of tags that one request sets.
const TAGS_MAX: usize = 100;

/// How a request names a manifest.
enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl Reference {
    fn parse(text: &str) -> Result<Self, Refusal> {
        // A digest always contains a colon, a tag never does.
        if text.contains(':') {
            return parse_digest(text).map(Self::Digest);
        }
        parse_tag(text).map(Self::Tag)
    }
}

fn parse_tag(text: &str) -> Result<Tag, Refusal> {
    text.parse().map_err(|error: oci::InvalidName| Refusal::new(ErrorCode::NameInvalid, error.to_string()))
}

fn unknown(repository: &RepositoryPath, reference: &str) -> Refusal {
    Refusal::new(ErrorCode::ManifestUnknown, format!("`{repository}` has no manifest `{reference}`"))
}

impl Registry {
    pub(super) async fn manifest(
        &self,
        call: Call,
        repository: &RepositoryPath,
        reference: &str,
        visible: Visible,
    ) -> Result<Response, Refusal> {
        // Some clients percent-encode the colon of a digest.
        let reference = &reference.replace("%3A", ":").replace("%3a", ":");
        let parsed = Reference::parse(reference)?;
        match call.method {
            Method::GET | Method::HEAD => {
                let digest = match (visible, &parsed) {
                    (Visible::Nothing, _) => None,
                    (Visible::Before(digest), _) => Some(digest),
                    (Visible::Now, Reference::Digest(digest)) => Some(*digest),
                    (Visible::Now, Reference::Tag(tag)) => self.store.resolve(repository, tag),
                };
                let digest = digest.ok_or_else(|| unknown(repository, reference))?;
                self.get_manifest(repository, digest, reference).await
            }
            Method::PUT => self.put_manifest(call, repository, parsed).await,
            Method::DELETE => {
                let deleted = match parsed {
                    Reference::Digest(digest) => self.store.delete_manifest(repository, digest).await?,
                    Reference::Tag(tag) => self.store.delete_tag(repository, &tag).await?,
                };
                if deleted { Ok(status(StatusCode::ACCEPTED)) } else { Err(unknown(repository, reference)) }
            }
            _ => Err(Refusal::method_not_allowed("GET, HEAD, PUT, DELETE")),
        }
    }

    async fn get_manifest(
        &self,
        repository: &RepositoryPath,
        digest: Digest,
        reference: &str,
    ) -> Result<Response, Refusal> {
        let found = self.store.index().manifest(repository, &digest).cloned();
        let entry = found.ok_or_else(|| unknown(repository, reference))?;
        let bytes = self.store.manifest_bytes(digest, &entry).await?;
        let mut response = Response::new(full(bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, header(entry.media_type.as_str().to_owned())?);
        headers.insert(DOCKER_CONTENT_DIGEST, header(digest.to_string())?);
        Ok(response)
    }

    async fn put_manifest(
        &self,
        mut call: Call,
        repository: &RepositoryPath,
        reference: Reference,
    ) -> Result<Response, Refusal> {
        let bytes = call.body.collect(MANIFEST_MAX).await?;
        let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let manifest = RawManifest::new(media_type(content_type, &bytes)?, bytes);
        let parts = parts(&manifest)?;
        let (digest, tags) = match reference {
            Reference::Tag(tag) => (manifest.digest(), vec![tag]),
            Reference::Digest(digest) if digest.names(manifest.bytes()) => (digest, wanted_tags(&call)?),
            Reference::Digest(digest) => {
                let message =
                    format!("the manifest does not match `{digest}`; its digest is {}", manifest.digest());
                return Err(Refusal::new(ErrorCode::DigestInvalid, message));
            }
        };
        let subject = parts.as_ref().and_then(|parts| parts.subject.as_ref()).map(|subject| subject.digest);
        let placement = Placement { digest, tags: tags.clone(), manifest, parts, complete: true };
        if let Placed::PartsMissing(missing) = self.store.place(repository, placement).await? {
            let missing: Vec<String> = missing.iter().take(10).map(Digest::to_string).collect();
            let message =
                format!("the manifest names parts that `{repository}` lacks: {}", missing.join(", "));
            return Err(Refusal::new(ErrorCode::ManifestBlobUnknown, message));
        }
        let mut response = created(format!("/v2/{repository}/manifests/{digest}"), &digest)?;
        if let Some(subject) = subject.filter(|_| self.referrers_api) {
            response.headers_mut().insert(OCI_SUBJECT, header(subject.to_string())?);
        }
        for tag in tags {
            response.headers_mut().append(OCI_TAG, header(tag.to_string())?);
        }
        Ok(response)
    }
}

/// Returns the tags that a push by digest also sets (`?tag=…`, distribution specification, development version).
fn wanted_tags(call: &Call) -> Result<Vec<Tag>, Refusal> {
    let tags: Vec<Tag> = call.query.all("tag").take(TAGS_MAX + 1).map(parse_tag).collect::<Result<_, _>>()?;
    if tags.len() > TAGS_MAX {
        let message = format!("more than {TAGS_MAX} tags are set at once");
        return Err(Refusal::new(ErrorCode::SizeInvalid, message));
    }
    Ok(tags)
}

/// Returns the media type of a manifest. The header and the body must agree on it.
fn media_type(content_type: Option<&str>, bytes: &[u8]) -> Result<MediaType, Refusal> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "mediaType")]
        media_type: Option<String>,
    }
    let invalid = |message: String| Refusal::new(ErrorCode::ManifestInvalid, message);
    let kind: Kind =
        serde_json::from_slice(bytes).map_err(|e| invalid(format!("the manifest is not JSON: {e}")))?;
    let header = content_type.map(MediaType::parse);
    let body = kind.media_type.as_deref().map(MediaType::parse);
    match (header, body) {
        (Some(header), Some(body)) if header != body => Err(invalid(format!(
            "the header says the manifest is `{header}`, the manifest itself says `{body}`"
        ))),
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) => Err(invalid("neither a header nor the manifest has a media type".to_owned())),
    }
}

/// Parses a manifest to find its parts. Returns `None` for unknown media types, which are stored without a check.
fn parts(manifest: &RawManifest) -> Result<Option<Manifest>, Refusal> {
    if !manifest.media_type().is_supported() {
        return Ok(None);
    }
    manifest.parse().map(Some).map_err(|error| Refusal::new(ErrorCode::ManifestInvalid, error.to_string()))
}
