//! Support for the tests: signers that use the Sigstore of the tests, servers with configurable answers, and a certificate
//! authority.

pub(crate) mod authority;
pub(crate) mod bundle;
pub(crate) mod der;
pub(crate) mod handmade;
pub(crate) mod server;
pub(crate) mod stack;
