//! Writing tags. Each tag is checked right before the write, so that no existing tag moves.

use http::{HeaderName, HeaderValue, StatusCode, header};
use oci_types::Digest;
use oci_types::RawManifest;
use oci_types::{Repository, Tag};
use transport::{Answer, Class, Reservation};

use super::manifest::lacks_parts;
use crate::error::{Error, ErrorKind};
use crate::read::Selector;
use crate::writer::Writer;

/// What a tag must name right before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing: the tag is new.
    Nothing,
    /// This digest: the tag is extended.
    Digest(Digest),
}

/// The result of writing a tag.
#[derive(Debug)]
pub(crate) enum Written {
    /// The tag was written; with the registry's answer.
    Now(Box<Answer>),
    /// The tag already named the manifest.
    Before,
}

/// Why a tag was not written.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// The tag names another digest than expected, or nothing.
    Changed(Option<Digest>),
    /// The registry does not accept the write.
    Failed(Error),
}

impl Writer {
    /// Creates a tag for a manifest, whose parts must exist. A tag that names another manifest is left unchanged.
    ///
    /// Sends one request to check the tag and one to write it, or no write if the tag already names the manifest. On hosts with
    /// `conditional_writes` the registry itself refuses the write if the tag was created in between.
    ///
    /// # Errors
    /// Returns [`ErrorKind::TagMoved`] if the tag names another digest, and an error if the registry refuses the manifest or
    /// reports another digest.
    pub(crate) async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
    ) -> Result<Written, Error> {
        match self.write_tag(repository, tag, manifest, Expected::Nothing).await {
            Ok(written) => Ok(written),
            Err(NotWritten::Changed(found)) => {
                let doing = format!("writing {repository}:{tag}");
                let wanted = manifest.digest();
                let kind = match found {
                    Some(found) => ErrorKind::TagMoved { found, wanted },
                    None => ErrorKind::Content("the tag has gone while it was written".to_owned()),
                };
                Err(Error::new(doing, kind))
            }
            Err(NotWritten::Failed(error)) => Err(error),
        }
    }

    /// Writes a tag if it names what is expected right before the write, and otherwise returns what it names.
    pub(crate) async fn write_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
        expected: Expected,
    ) -> Result<Written, NotWritten> {
        let which = Selector::Tag(tag);
        let mut budget = self.own.sessions.door.budget();
        let mut is_renewed = false;
        loop {
            // The permit is acquired before the check, so that its result does not become outdated in the queue of writes.
            let reservation = self.turn(repository, tag).await.map_err(NotWritten::Failed)?;
            let found = self.named(repository, tag).await.map_err(NotWritten::Failed)?;
            if found == Some(manifest.digest()) {
                return Ok(Written::Before);
            }
            if found != expected.digest() {
                return Err(NotWritten::Changed(found));
            }
            budget.attempt();
            let condition = self.condition(repository, expected).map_err(NotWritten::Failed)?;
            let error = match self.put(repository, which, manifest, condition, Some(reservation)).await {
                Ok(answer) => return Ok(Written::Now(Box::new(answer))),
                Err(error) => error,
            };
            if error.status() == Some(StatusCode::UNAUTHORIZED) && !is_renewed {
                // The token was refused; the next attempt fetches a new one.
                is_renewed = true;
                continue;
            }
            if may_be_immutable(&error) {
                return self.after_refusal(repository, tag, manifest, expected, error).await;
            }
            error.count_in(&mut budget);
            let is_refused = error.status() == Some(StatusCode::TOO_MANY_REQUESTS);
            let pause = if is_refused { budget.pause_refused() } else { budget.pause(None) };
            let Some(pause) = pause.filter(|_| error.is_temporary() || lacks_parts(&error)) else {
                // The answer may have been lost after a successful write.
                if error.is_temporary() {
                    let found = self.named(repository, tag).await;
                    if found.is_ok_and(|found| found == Some(manifest.digest())) {
                        return Ok(Written::Before);
                    }
                }
                return Err(NotWritten::Failed(error));
            };
            tracing::debug!(%repository, %tag, %error, "writing the tag again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits for the permit for a write at its host.
    async fn turn(&self, repository: &Repository, tag: &Tag) -> Result<Reservation, Error> {
        let session = self.own.sessions.of(&repository.host)?;
        let reservation = self.own.sessions.door.reserve(&session.url("")?, Class::Write).await;
        reservation
            .map_err(|error| Error::new(format!("writing {repository}:{tag}"), ErrorKind::Transport(error)))
    }

    /// Returns the digest that a tag names. It is read by `GET`, since only a 404 to `GET` proves that the tag does not exist.
    async fn named(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        let found = self.own.find_manifest(repository, Selector::Tag(tag)).await?;
        Ok(found.present().map(|manifest| manifest.digest()))
    }

    /// Checks the tag after a refusal with a status that registries use for immutable tags, and returns the result.
    async fn after_refusal(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &RawManifest,
        expected: Expected,
        error: Error,
    ) -> Result<Written, NotWritten> {
        match self.named(repository, tag).await {
            Ok(Some(found)) if found == manifest.digest() => Ok(Written::Before),
            Ok(found) if found != expected.digest() => Err(NotWritten::Changed(found)),
            _ => Err(NotWritten::Failed(error)),
        }
    }

    /// Returns the condition for the write if the host supports conditional writes (RFC 9110, section 13.1).
    fn condition(
        &self,
        repository: &Repository,
        expected: Expected,
    ) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
        if !self.own.sessions.of(&repository.host)?.options.conditional_writes {
            return Ok(None);
        }
        Ok(match expected {
            Expected::Nothing => Some((header::IF_NONE_MATCH, HeaderValue::from_static("*"))),
            Expected::Digest(digest) => {
                HeaderValue::try_from(format!("\"{digest}\"")).ok().map(|value| (header::IF_MATCH, value))
            }
        })
    }
}

impl Expected {
    pub(crate) fn digest(self) -> Option<Digest> {
        match self {
            Self::Nothing => None,
            Self::Digest(digest) => Some(digest),
        }
    }
}

/// Returns `true` if an error may mean that the tag exists and is immutable, or that a condition does not hold.
fn may_be_immutable(error: &Error) -> bool {
    !lacks_parts(error)
        && matches!(
            error.status(),
            Some(
                StatusCode::BAD_REQUEST
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::CONFLICT
                    | StatusCode::PRECONDITION_FAILED
            )
        )
}
