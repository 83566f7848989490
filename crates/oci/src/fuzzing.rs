//! What the fuzz targets reach beside the public items. Not a part of the interface.

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

pub use crate::auth::fuzzing::{Challenges, challenges};
use crate::error::Error;
use crate::listing::{Decoder, Listed};

/// Reads the `Link` headers of an answer from `asked`.
///
/// # Errors
/// When they cannot be understood, or lead to another host.
pub fn next_page(headers: &HeaderMap, asked: &Url) -> Result<Option<Url>, Error> {
    crate::link::next_page(headers, asked, asked, "fuzzing")
}

/// Reads a page of a list that arrives in these pieces.
///
/// # Errors
/// What is wrong, where it is no list.
pub fn listing(pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Listed>, String> {
    let (mut decoder, mut found) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut |listed| found.push(listed))?;
    }
    decoder.finish(&mut |listed| found.push(listed))?;
    Ok(found)
}
