//! Entry points for fuzzing: the unverified content of a bundle, without private types.

use crate::evidence::{self, Content};

/// The content that a bundle claims to have.
#[derive(Debug, PartialEq, Eq)]
pub enum Peeked {
    /// A signature over bytes.
    Message,
    /// A statement, with its predicate type if it can be read.
    Statement(Option<String>),
}

/// Reads the content that a bundle claims to have.
pub fn peek(bundle: &[u8]) -> Peeked {
    match evidence::peek(bundle).content {
        Content::Message => Peeked::Message,
        Content::Statement(predicate_type) => Peeked::Statement(predicate_type),
    }
}
