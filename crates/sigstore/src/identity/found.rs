//! What a source of tokens says when it is asked.

use transport::Secret;

/// What a source says.
pub(super) enum Found {
    Token(Secret),
    /// The source does not apply, for this reason.
    Nothing(String),
    /// No service answers there, for this reason. The source does not apply, or is away for a moment.
    NoService(String),
}

impl From<Option<Secret>> for Found {
    fn from(token: Option<Secret>) -> Self {
        token.map_or_else(|| Self::Nothing("not given".to_owned()), Self::Token)
    }
}
