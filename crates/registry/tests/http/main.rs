//! The registry over HTTP: each switch of its configuration, each fault.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a panic is how they report")]

mod auth;
mod client;
mod content;
mod disk;
mod faults;
mod listings;
mod quirks;
mod server;
mod uploads;
