//! Writing manifests (distribution specification, *Pushing Manifests*).

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use oci_types::Digest;
use oci_types::RawManifest;
use oci_types::Repository;
use transport::{Answer, Body, Reservation};

use crate::answer::{agrees, success};
use crate::error::{Error, ErrorKind, Refusal};
use crate::read::Selector;
use crate::writer::Writer;

/// The codes with which a registry reports that a part of a manifest does not exist. Some registries report them for a moment
/// after the part was pushed.
const PARTS_UNKNOWN: [&str; 4] =
    ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "NAME_UNKNOWN"];

impl Writer {
    /// Writes a manifest by its digest, byte for byte, and returns the registry's answer; `None` if the answer was lost and the
    /// manifest was found afterwards.
    ///
    /// # Errors
    /// Returns an error if the registry refuses the manifest, lacks its parts, or reports another digest.
    pub(crate) async fn put_by_digest(
        &self,
        repository: &Repository,
        digest: Digest,
        manifest: &RawManifest,
    ) -> Result<Option<Answer>, Error> {
        let which = Selector::Digest(digest);
        let mut budget = self.own.sessions.door.budget();
        loop {
            budget.attempt();
            let error = match self.put(repository, which, manifest, None, None).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => error,
            };
            match budget.pause(None) {
                Some(pause) if lacks_parts(&error) => {
                    tracing::debug!(%repository, %digest, %error, "writing again");
                    tokio::time::sleep(pause).await;
                }
                // The door has used up its attempts, but one of the writes may have succeeded.
                _ if error.is_temporary() && self.is_there(repository, which).await => return Ok(None),
                _ => return Err(error),
            }
        }
    }

    async fn is_there(&self, repository: &Repository, which: Selector<'_>) -> bool {
        // If this request fails too, the first error is more informative.
        self.own.head(repository, which).await.is_ok_and(|found| found.is_present())
    }

    /// Sends a manifest. With a `reservation` it is sent at most once, so that the caller can check the tag before another
    /// attempt.
    pub(super) async fn put(
        &self,
        repository: &Repository,
        which: Selector<'_>,
        manifest: &RawManifest,
        condition: Option<(HeaderName, HeaderValue)>,
        reservation: Option<Reservation>,
    ) -> Result<Answer, Error> {
        let doing = format!("writing {}", which.within(repository));
        let sessions = &self.own.sessions;
        let call = sessions.call(Method::PUT, repository, &format!("manifests/{which}"), "manifest-put")?;
        let media_type = HeaderValue::try_from(manifest.media_type().as_str())
            .map_err(|error| Error::new(&doing, ErrorKind::Malformed(error.to_string())))?;
        let mut request = call
            .request()
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::Bytes(manifest.bytes().clone()))
            .follow_on_host();
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        let request = match reservation {
            Some(reservation) => request.once().with_reservation(reservation),
            None => request,
        };
        let answer = success(sessions.send(&call, request, &doing).await?, &doing)?;
        agrees(&answer, manifest.digest(), &doing)?;
        Ok(answer)
    }
}

/// Returns `true` if the registry reports that it lacks a part of the manifest to write.
pub(super) fn lacks_parts(error: &Error) -> bool {
    let is_about_parts = |refusal: &Refusal| {
        matches!(refusal.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST)
            && refusal.says(&PARTS_UNKNOWN)
    };
    error.refusal().is_some_and(is_about_parts)
}
