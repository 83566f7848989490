//! How connections affect requests: certificates, TLS, HTTP/2, proxies, redirects, refusals, silence.
//!
//! The servers belong to the tests, since no real registry behaves in these ways on demand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests report failures by panicking"
)]

mod http2;
mod proxies;
mod redirects;
mod repeats;
mod support;
mod tls;
mod waits;
