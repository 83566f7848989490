//! Entry points for the fuzz targets. They are not part of the public interface.

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

pub use crate::auth::fuzzing::{Challenges, challenges};
use crate::error::Error;
use crate::listing::{Decoder, Listed};

/// Parses the `Link` headers of an answer from `asked`.
///
/// # Errors
/// Returns an error if they cannot be parsed, or if they refer to another host.
pub fn next_page(headers: &HeaderMap, asked: &Url) -> Result<Option<Url>, Error> {
    crate::link::next_page(headers, asked, asked, "fuzzing")
}

/// Parses a page of a list that arrives in these pieces.
///
/// # Errors
/// Returns what is wrong if this is not a list.
pub fn listing(pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Listed>, String> {
    let (mut decoder, mut found) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut |listed| found.push(listed))?;
    }
    decoder.finish(&mut |listed| found.push(listed))?;
    Ok(found)
}
