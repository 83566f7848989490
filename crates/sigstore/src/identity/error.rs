//! Why there is nobody to sign as.

use std::fmt;

use super::answer::Failure;
use super::invalid_token::InvalidToken;

/// Where a token comes from, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `--identity-token`.
    Given,
    /// `SIGSTORE_ID_TOKEN`.
    Value,
    /// GitHub Actions.
    GitHub,
    /// Google: a service account that we act as.
    GoogleAccount,
    /// Google: the machine's own account.
    GoogleMachine,
    /// A file that the platform puts there and renews.
    Projected,
}

impl TokenSource {
    /// All of them, in order.
    pub(super) const ALL: [Self; 6] =
        [Self::Given, Self::Value, Self::GitHub, Self::GoogleAccount, Self::GoogleMachine, Self::Projected];

    /// Whether a token is kept while it is good. What is here already is read anew, so that what somebody puts there holds.
    pub(super) fn is_far(self) -> bool {
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

/// Why there is no token to sign with. Cloned to whoever asks again soon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No source applies.
    #[error(
        "there is no identity to sign with. Asked in turn:{}\ngive a token with --identity-token FILE, or sign with a key",
        listed(asked)
    )]
    Nobody {
        /// The sources, and why each does not apply.
        asked: Vec<(TokenSource, String)>,
    },
    /// A source that applies gave no token. Others are not asked: they could be somebody else.
    #[error("no identity token from {from}: {why}")]
    Unavailable {
        /// Which.
        from: TokenSource,
        /// What was tried, what came back, what to do.
        why: String,
    },
    /// The same, where it may give one a little later: it was not reached, is out of order, or is asked too much.
    #[error("no identity token from {from} for now: {why}")]
    TemporarilyUnavailable {
        /// Which.
        from: TokenSource,
        /// What was tried, and what came back.
        why: String,
    },
    /// What a source gave cannot be signed with.
    #[error("the identity token from {from} cannot be used: {why}{}", renewal(*from, why))]
    Unusable {
        /// Which.
        from: TokenSource,
        /// What is wrong with it.
        why: InvalidToken,
    },
    /// A renewed token is of somebody else than the one before.
    #[error(
        "the identity token from {from} is now of `{now}`, and was of `{before}` when signing began; \
         nothing more is signed. Run again with the one that is right"
    )]
    Changed {
        /// Which.
        from: TokenSource,
        /// Identity and issuer as they were.
        before: String,
        /// As they are.
        now: String,
    },
}

impl IdentityError {
    /// Whether the same might succeed a little later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::TemporarilyUnavailable { .. })
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

fn listed(asked: &[(TokenSource, String)]) -> String {
    asked.iter().map(|(from, why)| format!("\n  {from}: {why}")).collect()
}

/// What to do about a source that cannot renew what it gives.
fn renewal(from: TokenSource, why: &InvalidToken) -> &'static str {
    match (from, why) {
        (TokenSource::Value, InvalidToken::Expired { .. }) => {
            "; for a run that takes longer, let somebody renew a file and give it with `--identity-token FILE`"
        }
        _ => "",
    }
}
