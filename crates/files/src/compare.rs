//! Compares objects in stores with wanted content.

use manifest::files::Sha256;

use crate::error::{Error, ErrorKind};
use crate::hash::Hasher;
use crate::object::Object;
use crate::stores::{Condition, StoreRead};
use crate::transfer::read_all;

/// Returns whether an object has the content with this hash: according to its metadata, or else to a read of its content.
///
/// # Errors
/// If a read is necessary and fails, or if the object changes in the meantime.
pub async fn has_content(
    store: &dyn StoreRead,
    name: &str,
    object: &Object,
    sha256: &Sha256,
) -> Result<bool, Error> {
    match object.is(sha256, None) {
        Some(is) => Ok(is),
        None => Ok(read_all(store, name, object, Hasher::new()).await?.sha256 == *sha256),
    }
}

/// Returns whether an object has the wanted content after its store has refused the condition of a write with `error`: another
/// run may have written it, or this run did and the answer was lost. False: another object is there, or the object has changed.
///
/// # Errors
/// If the object is as the condition says, or if the store does not answer.
pub async fn is_written(
    store: &dyn StoreRead,
    name: &str,
    sha256: &Sha256,
    condition: &Condition,
    error: &Error,
) -> Result<bool, Error> {
    let found = store.find(name).await?;
    if let Some(object) = &found
        && has_content(store, name, object, sha256).await?
    {
        return Ok(true);
    }
    let is_as_planned = match (condition, &found) {
        (Condition::Absent, None) => true,
        (Condition::Version(version), Some(object)) => object.version == *version,
        (Condition::Absent, Some(_)) | (Condition::Version(_), None) => false,
    };
    match error.kind() {
        _ if !is_as_planned => Ok(false),
        ErrorKind::PreconditionFailed => {
            let what = format!("writing {}", store.url().file(name));
            Err(Error::new(what, ErrorKind::FalsePrecondition))
        }
        _ => Err(error.clone()),
    }
}
