//! The registry over HTTP: each option of its configuration, each fault and each quirk.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers report failures by panicking")]

mod auth;
mod client;
mod content;
mod disk;
mod faults;
mod listings;
mod quirks;
mod server;
mod uploads;
