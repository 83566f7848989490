//! The integration tests of the client, in one program: it is built and linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests report failures by panicking"
)]

mod attaching;
mod copying;
mod hostile;
mod reading;
mod sharing;
