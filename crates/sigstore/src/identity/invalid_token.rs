//! Why an ID token cannot be used for signing.

use jiff::Timestamp;

/// The maximum size of a token, in bytes.
pub(super) const TOKEN_MAX: usize = 16 * 1024;

/// Why a token cannot be used for signing. The text contains nothing that would let another user use the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// The token is larger than 16 KiB.
    #[error("it is larger than {TOKEN_MAX} bytes, the limit for an ID token")]
    TooLarge,
    /// The token is not a signed JWT.
    #[error("it is not an ID token: {0}")]
    Malformed(&'static str),
    /// A claim is missing or malformed.
    #[error("its claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// The token is for another audience.
    #[error(
        "it is for the audience {}, not for `{expected}`; request one with the audience `{expected}`",
        quoted(found)
    )]
    Audience {
        /// The required audience.
        expected: String,
        /// The token's audiences.
        found: Vec<String>,
    },
    /// The token has expired or expires too soon.
    #[error(
        "it {} at {expires}{}, but this machine's clock says {now}; get a new token, or correct the clock",
        if expires <= now { "expired" } else { "expires" },
        issued.map(|at| format!(" (it was issued at {at})")).unwrap_or_default()
    )]
    Expired {
        /// The expiration time.
        expires: Timestamp,
        /// The time of issue, if the token contains it.
        issued: Option<Timestamp>,
        /// The local time.
        now: Timestamp,
    },
    /// The token is not valid yet.
    #[error("it is not valid before {not_before}, but this machine's clock says {now}; correct the clock")]
    NotYet {
        /// The start of the validity.
        not_before: Timestamp,
        /// The local time.
        now: Timestamp,
    },
    /// The issuer has not verified the e-mail address.
    #[error(
        "its issuer {issuer} has not verified the address {email}, which Fulcio requires; verify it there"
    )]
    UnverifiedEmail {
        /// The issuer.
        issuer: String,
        /// The e-mail address.
        email: String,
    },
    /// The token is of another identity than the requested one.
    #[error(
        "it is for `{found}` (issuer {issuer}), but `--signer-account` requires `{asked}`; nothing is signed"
    )]
    Another {
        /// The requested identity.
        asked: String,
        /// The token's identity.
        found: String,
        /// The token's issuer.
        issuer: String,
    },
}

fn quoted(audiences: &[String]) -> String {
    const MOST: usize = 5;
    let names: Vec<String> = audiences.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "(none)".to_owned() } else { names.join(", ") }
}
