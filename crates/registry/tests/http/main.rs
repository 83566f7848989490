//! The registry over HTTP: each switch of its configuration, each effect of its weather.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a panic is how they report")]

mod auth;
mod client;
mod content;
mod disk;
mod listings;
mod server;
mod uploads;
mod weather;
