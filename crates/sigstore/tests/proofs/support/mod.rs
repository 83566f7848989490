//! What the tests are made of: somebody who signs with the Sigstore of the tests, servers that answer as they are told, an
//! authority that issues what it likes.

pub(crate) mod authority;
pub(crate) mod bundle;
pub(crate) mod der;
pub(crate) mod handmade;
pub(crate) mod server;
pub(crate) mod stack;
