//! What the line to a host does to requests: certificates, TLS, HTTP/2, proxies, redirects, refusals, silence.
//!
//! The servers are the tests' own, since no sound registry does these things.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the report of a test")]

mod http2;
mod proxies;
mod redirects;
mod repeats;
mod support;
mod tls;
mod waits;
