//! A minimal HTTP client and server for loopback: one response for each connection, as in HTTP/1.0.

mod exchange;
mod get;
mod listening;
mod serve;

pub use exchange::Reply;
pub(crate) use exchange::exchange;
pub(crate) use get::{get, post};
pub(crate) use listening::{Listening, locked};
pub(crate) use serve::FileServer;
