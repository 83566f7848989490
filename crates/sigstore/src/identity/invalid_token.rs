//! Why an ID token cannot be signed with.

use jiff::Timestamp;

/// The largest token, in bytes.
pub(super) const TOKEN_MAX: usize = 16 * 1024;

/// Why a token cannot be signed with. The text holds nothing that would let another user use the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// More than a token may be.
    #[error("it is larger than {TOKEN_MAX} bytes, which no ID token is")]
    TooLarge,
    /// Not a signed JWT.
    #[error("it is not an ID token: {0}")]
    Malformed(&'static str),
    /// A claim is missing or of the wrong form.
    #[error("its claim `{0}` is missing or not of the form it should have")]
    Claim(&'static str),
    /// It is for another audience.
    #[error(
        "it is for the audience {}, not for `{expected}`; ask for one with the audience `{expected}`",
        quoted(found)
    )]
    Audience {
        /// The audience that it should be for.
        expected: String,
        /// The audiences that it is for.
        found: Vec<String>,
    },
    /// It has expired, or is about to.
    #[error(
        "it {} at {expires}{}, and the clock here says {now}; get a new one, or set the clock right",
        if expires <= now { "expired" } else { "expires" },
        issued.map(|at| format!(" (it was issued at {at})")).unwrap_or_default()
    )]
    Expired {
        /// When it expires.
        expires: Timestamp,
        /// When it was issued, where it says so.
        issued: Option<Timestamp>,
        /// The time here.
        now: Timestamp,
    },
    /// It is not valid yet.
    #[error("it is not valid before {not_before}, and the clock here says {now}; set the clock right")]
    NotYet {
        /// When it begins.
        not_before: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// The issuer does not vouch for the address.
    #[error(
        "its issuer {issuer} has not verified the address {email}, and Fulcio takes none that is not; verify it there"
    )]
    UnverifiedEmail {
        /// The issuer.
        issuer: String,
        /// The address.
        email: String,
    },
    /// It is of another identity than the one that was asked for.
    #[error(
        "it is of `{found}` (issuer {issuer}), and `{asked}` was asked for (`--signer-account`); \
         nothing is signed as another"
    )]
    Another {
        /// Who was asked for.
        asked: String,
        /// Whose it is.
        found: String,
        /// Who says so.
        issuer: String,
    },
}

fn quoted(audiences: &[String]) -> String {
    const MOST: usize = 5;
    let names: Vec<String> = audiences.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "of nobody".to_owned() } else { names.join(", ") }
}
