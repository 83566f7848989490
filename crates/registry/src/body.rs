//! Response bodies.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// The body of every response. An error in it makes the server break the connection.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// A response of the registry.
pub(crate) type Response = http::Response<Body>;

/// Returns a body with the given content.
pub(crate) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Returns an empty body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
