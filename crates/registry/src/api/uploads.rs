//! Uploads of blobs (OCI distribution specification, *Pushing blobs*, *Mounting a blob from another repository*).

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, Method, StatusCode};
use oci::{Algorithm, Digest, RepositoryPath};

use super::{Call, Registry, created, header, only_reads, parse_digest, repository, status};
use crate::body::Response;
use crate::config::UploadLimits;
use crate::error::{ErrorCode, Refusal};
use crate::headers::DOCKER_UPLOAD_UUID;
use crate::request_body::RequestBody;
use crate::store::{Held, NoUpload, Upload, UploadId};

/// An upload and its URL.
struct Place<'a> {
    repository: &'a RepositoryPath,
    id: &'a UploadId,
}

impl Place<'_> {
    fn location(&self) -> String {
        format!("/v2/{}/blobs/uploads/{}", self.repository, self.id.as_str())
    }

    /// Returns the progress of the upload: the URL to continue at, and the bytes received.
    fn progress(&self, code: StatusCode, received: u64) -> Result<Response, Refusal> {
        let mut response = status(code);
        let headers = response.headers_mut();
        headers.insert(LOCATION, header(self.location())?);
        headers.insert(RANGE, header(received_range(received))?);
        headers.insert(DOCKER_UPLOAD_UUID, header(self.id.as_str().to_owned())?);
        Ok(response)
    }

    /// Returns the refusal of a chunk that does not continue the upload.
    fn out_of_order(&self, received: u64) -> Result<Refusal, Refusal> {
        let message = format!(
            "{received} bytes were received: the next chunk must start at {received} and have the \
             length that its headers declare"
        );
        Ok(Refusal::new(ErrorCode::BlobUploadInvalid, message)
            .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
            .with_header(LOCATION, header(self.location())?)
            .with_header(RANGE, header(received_range(received))?)
            .with_header(DOCKER_UPLOAD_UUID, header(self.id.as_str().to_owned())?))
    }
}

/// Returns the `Range` of an upload, which names the last byte received. The specification has no form for an empty upload;
/// `0-0` is what registries use.
fn received_range(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

fn blob_created(repository: &RepositoryPath, digest: &Digest) -> Result<Response, Refusal> {
    created(format!("/v2/{repository}/blobs/{digest}"), digest)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns whether the headers of a chunk say that it continues the upload.
fn continues(headers: &HeaderMap, received: u64) -> bool {
    let Some(range) = headers.get(CONTENT_RANGE) else { return true };
    let bounds = range.to_str().ok().and_then(|text| {
        let (first, last) = text.strip_prefix("bytes ").unwrap_or(text).split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.split('/').next()?.parse::<u64>().ok()?))
    });
    bounds.is_some_and(|(first, last)| {
        let length = last.checked_sub(first).and_then(|difference| difference.checked_add(1));
        first == received
            && length.is_some()
            && content_length(headers).is_none_or(|declared| Some(declared) == length)
    })
}

impl Registry {
    /// `POST`: mounts a blob, uploads it in one request, or opens an upload.
    pub(super) async fn begin_upload(
        &self,
        mut call: Call,
        repository: &RepositoryPath,
    ) -> Result<Response, Refusal> {
        if call.method != Method::POST {
            return Err(Refusal::method_not_allowed("POST"));
        }
        if let Some(digest) = call.query.first("mount").map(parse_digest).transpose()?
            && self.mount(&call, repository, digest).await?
        {
            return blob_created(repository, &digest);
        }
        let mut upload = self.store.begin_upload(repository).await?;
        if let Some(digest) = call.query.first("digest").map(parse_digest).transpose()? {
            upload.hash_with(digest.algorithm());
            self.receive(&mut call.body, &call.headers, &mut upload).await?;
            return self.finish(upload, repository, digest).await;
        }
        if let Some(name) = call.query.first("digest-algorithm") {
            upload.hash_with(algorithm(name)?);
        }
        let UploadLimits { open, idle, .. } = self.uploads;
        let id = self.store.uploads().open(upload, open, idle).ok_or_else(|| {
            Refusal::new(
                ErrorCode::TooManyRequests,
                format!("{open} uploads are open: complete or cancel some of them first"),
            )
        })?;
        Place { repository, id: &id }.progress(StatusCode::ACCEPTED, 0)
    }

    /// Mounts a blob. Returns whether it was found. Without `from`, the source is any repository that the caller may read.
    async fn mount(&self, call: &Call, target: &RepositoryPath, digest: Digest) -> Result<bool, Refusal> {
        let from = match call.query.first("from") {
            Some(from) => Some(repository(from)?),
            None => self.store.index().holder_of(&digest, |path| call.pass.may_pull(path)),
        };
        match from {
            Some(from) => Ok(self.store.mount(target, &from, digest).await?),
            None => Ok(false),
        }
    }

    /// `GET`, `PATCH`, `PUT` and `DELETE` of an open upload.
    pub(super) async fn upload(
        &self,
        mut call: Call,
        repository: &RepositoryPath,
        id: &str,
    ) -> Result<Response, Refusal> {
        let id = UploadId::named(id);
        let place = Place { repository, id: &id };
        let mut held = self.hold(&place)?;
        let Some(upload) = held.as_mut() else { return Err(no_upload(NoUpload::Unknown)) };
        match call.method {
            Method::PATCH => {
                if !continues(&call.headers, upload.received()) {
                    return Err(place.out_of_order(upload.received())?);
                }
                self.receive(&mut call.body, &call.headers, upload).await?;
                place.progress(StatusCode::ACCEPTED, upload.received())
            }
            Method::PUT => {
                let missing =
                    || Refusal::new(ErrorCode::DigestInvalid, "`digest` is required to complete an upload");
                let digest = parse_digest(call.query.first("digest").ok_or_else(missing)?)?;
                if !continues(&call.headers, upload.received()) {
                    return Err(place.out_of_order(upload.received())?);
                }
                upload.hash_with(digest.algorithm());
                self.receive(&mut call.body, &call.headers, upload).await?;
                self.store.uploads().close(&id);
                let Some(upload) = held.take() else { return Err(no_upload(NoUpload::Unknown)) };
                self.finish(upload, repository, digest).await
            }
            Method::DELETE => {
                self.store.uploads().close(&id);
                Ok(status(StatusCode::NO_CONTENT))
            }
            _ => {
                only_reads(&call)?;
                place.progress(StatusCode::NO_CONTENT, upload.received())
            }
        }
    }

    fn hold(&self, place: &Place<'_>) -> Result<Held, Refusal> {
        self.store.uploads().hold(place.repository, place.id, self.uploads.idle).map_err(no_upload)
    }

    /// Receives a request body. If it is interrupted, the received bytes are kept, and the client may continue from there.
    async fn receive(
        &self,
        body: &mut RequestBody,
        headers: &HeaderMap,
        upload: &mut Upload,
    ) -> Result<(), Refusal> {
        let limit = self.uploads.blob_size;
        let too_large = || {
            Refusal::new(ErrorCode::SizeInvalid, format!("a blob may have at most {limit} bytes"))
                .with_status(StatusCode::PAYLOAD_TOO_LARGE)
        };
        if let Some(announced) = content_length(headers) {
            if upload.received().saturating_add(announced) > limit {
                return Err(too_large());
            }
            upload.expect(announced);
        }
        while let Some(piece) = body.next().await? {
            if upload.received().saturating_add(piece.len() as u64) > limit {
                return Err(too_large());
            }
            upload.write(&piece).await?;
        }
        Ok(())
    }

    async fn finish(
        &self,
        upload: Upload,
        repository: &RepositoryPath,
        digest: Digest,
    ) -> Result<Response, Refusal> {
        let (size, found, finished) = upload.finish(digest.algorithm()).await?;
        let found = found.ok_or_else(|| {
            let name = digest.algorithm().name();
            let message =
                format!("the content was not kept: open such an upload with `?digest-algorithm={name}`");
            Refusal::new(ErrorCode::Unsupported, message).with_status(StatusCode::BAD_REQUEST)
        })?;
        if found != digest {
            let message = format!("{size} bytes were received whose digest is {found}, not {digest}");
            return Err(Refusal::new(ErrorCode::DigestInvalid, message));
        }
        self.store.adopt(repository, digest, size, finished).await?;
        blob_created(repository, &digest)
    }
}

fn algorithm(name: &str) -> Result<Algorithm, Refusal> {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|known| known.name() == name).ok_or_else(|| {
        Refusal::new(ErrorCode::DigestInvalid, "`digest-algorithm` is neither `sha256` nor `sha512`")
    })
}

fn no_upload(reason: NoUpload) -> Refusal {
    match reason {
        NoUpload::Unknown => {
            Refusal::new(ErrorCode::BlobUploadUnknown, "the upload does not exist, or no longer exists")
        }
        NoUpload::Busy => {
            Refusal::new(ErrorCode::BlobUploadInvalid, "another request is writing to this upload")
                .with_status(StatusCode::CONFLICT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(range: &str, length: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, range.parse().unwrap());
        headers.insert(CONTENT_LENGTH, length.parse().unwrap());
        headers
    }

    #[test]
    fn chunks_must_be_contiguous_and_have_the_declared_length() {
        assert!(continues(&HeaderMap::new(), 7), "`Content-Range` is optional");
        assert!(continues(&headers("10-19", "10"), 10));
        assert!(continues(&headers("bytes 10-19/100", "10"), 10));
        for (range, length) in [("11-20", "10"), ("0-9", "10"), ("10-19", "9"), ("19-10", "10"), ("x", "10")]
        {
            assert!(!continues(&headers(range, length), 10), "{range} of {length}");
        }
    }
}
