//! The accounts of a server, and how the server authenticates requests. [`crate::Config`] holds both.

use std::fmt;
use std::time::Duration;

/// How a server authenticates requests.
#[derive(Clone, Debug, Default)]
pub enum Authentication {
    /// Every request may do everything.
    #[default]
    Open,
    /// Every request carries the name and the password of an account.
    Basic(Vec<Account>),
    /// Every request carries a bearer token for its scope, from `/token`.
    Token(Tokens),
}

/// How a server issues tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The accounts that get a token for their name and password.
    pub accounts: Vec<Account>,
    /// Whether a client without credentials gets tokens to pull.
    pub anonymous_pull: bool,
    /// How long a token is valid. Responses give this time in whole seconds.
    pub lifetime: Duration,
    /// The service that the challenge names.
    pub service: String,
}

/// An account that a server knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// What the account may do, in every repository.
    pub access: Access,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read, write and delete.
    Full,
}
