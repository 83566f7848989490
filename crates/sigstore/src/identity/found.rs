//! Answers of token sources.

use transport::Secret;

/// The answer of a token source.
pub(super) enum Found {
    Token(Secret),
    /// The source does not apply, for this reason.
    Nothing(String),
    /// No service answers at the address, for this reason. The source does not apply or is temporarily unreachable.
    NoService(String),
}

impl From<Option<Secret>> for Found {
    fn from(token: Option<Secret>) -> Self {
        token.map_or_else(|| Self::Nothing("not given".to_owned()), Self::Token)
    }
}
