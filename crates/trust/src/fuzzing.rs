//! What a bundle claims before it is verified, without the types that are private.

use crate::evidence::{self, Content};

/// What a bundle claims.
#[derive(Debug, PartialEq, Eq)]
pub enum Peeked {
    /// A signature over bytes.
    Message,
    /// A statement, with the type of its predicate where it can be read.
    Statement(Option<String>),
}

/// Reads what a bundle claims.
pub fn peek(bundle: &[u8]) -> Peeked {
    match evidence::peek(bundle).content {
        Content::Message => Peeked::Message,
        Content::Statement(predicate_type) => Peeked::Statement(predicate_type),
    }
}
