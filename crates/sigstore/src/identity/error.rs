//! Why there is no identity to sign with.

use std::fmt;

use super::answer::Failure;
use super::invalid_token::InvalidToken;

/// A source of tokens. The order is the order in which the sources are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `--identity-token`.
    Given,
    /// `SIGSTORE_ID_TOKEN`.
    Value,
    /// GitHub Actions.
    GitHub,
    /// Google: a service account that the caller may impersonate.
    GoogleAccount,
    /// Google: the machine's service account.
    GoogleMachine,
    /// A file that the platform projects and renews.
    Projected,
}

impl TokenSource {
    /// All sources, in order.
    pub(super) const ALL: [Self; 6] =
        [Self::Given, Self::Value, Self::GitHub, Self::GoogleAccount, Self::GoogleMachine, Self::Projected];

    /// Returns whether a token of this source is kept while it is valid. Tokens of local sources are read again each time, so
    /// that a renewed token takes effect.
    pub(super) fn is_remote(self) -> bool {
        matches!(self, Self::GitHub | Self::GoogleAccount | Self::GoogleMachine)
    }
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "--identity-token",
            Self::Value => "SIGSTORE_ID_TOKEN",
            Self::GitHub => "GitHub Actions",
            Self::GoogleAccount => "Google (acting as a service account)",
            Self::GoogleMachine => "Google (the account of this machine)",
            Self::Projected => "the projected token file",
        })
    }
}

/// Why there is no token to sign with. It can be cloned because a failure is returned again for a while.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No source applies.
    #[error("there is no identity to sign with. {}", tried(asked))]
    NoSource {
        /// The sources, and why each of them does not apply.
        asked: Vec<(TokenSource, String)>,
    },
    /// A source that applies returned no token. Further sources are not asked because their tokens could be of another identity.
    #[error("no identity token from {from}: {why}")]
    Unavailable {
        /// The source.
        from: TokenSource,
        /// What was tried, what came back and what to do.
        why: String,
    },
    /// A source that applies returned no token but may return one a little later: it was unreachable, failing or overloaded.
    #[error("temporarily no identity token from {from}: {why}")]
    TemporarilyUnavailable {
        /// The source.
        from: TokenSource,
        /// What was tried and what came back.
        why: String,
    },
    /// The token from a source cannot be used for signing.
    #[error("the identity token from {from} cannot be used: {why}{}", renewal(*from, why))]
    Unusable {
        /// The source.
        from: TokenSource,
        /// What is wrong with the token.
        why: InvalidToken,
    },
    /// The identity of a renewed token differs from the previous one.
    #[error(
        "the identity token from {from} is now for `{now}`, but was for `{before}` when signing began; \
         signing has stopped. Run again with the right identity"
    )]
    Changed {
        /// The source.
        from: TokenSource,
        /// The previous identity and issuer.
        before: String,
        /// The current identity and issuer.
        now: String,
    },
}

impl IdentityError {
    /// Returns whether a retry may succeed a little later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::TemporarilyUnavailable { .. })
    }

    /// Returns the sources that were tried and what to do, if no source applies: the message without its first sentence, for
    /// another error that already contains that sentence.
    pub fn tried(&self) -> Option<String> {
        match self {
            Self::NoSource { asked } => Some(tried(asked)),
            _ => None,
        }
    }

    pub(super) fn of(from: TokenSource, failure: Failure) -> Self {
        let Failure { why, is_temporary } = failure;
        if is_temporary {
            Self::TemporarilyUnavailable { from, why }
        } else {
            Self::Unavailable { from, why }
        }
    }
}

fn tried(asked: &[(TokenSource, String)]) -> String {
    format!(
        "Tried in this order:{}\ngive a token with --identity-token FILE, or sign with a key",
        listed(asked)
    )
}

fn listed(asked: &[(TokenSource, String)]) -> String {
    asked.iter().map(|(from, why)| format!("\n  {from}: {why}")).collect()
}

/// Returns the advice for a source that cannot renew its token.
fn renewal(from: TokenSource, why: &InvalidToken) -> &'static str {
    match (from, why) {
        (TokenSource::Value, InvalidToken::Expired { .. }) => {
            "; for longer runs, use `--identity-token FILE` with a file that is renewed"
        }
        _ => "",
    }
}
