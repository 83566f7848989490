//! A minimal HTTP client and server for loopback: one response for each connection, as in HTTP/1.0.

mod get;
mod serve;

pub(crate) use get::{get, post};
pub(crate) use serve::FileServer;
