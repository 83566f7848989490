//! What a run tells programs and people: reports as JSON and as a page, metrics, and errors as JSON.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod browser;
mod json_log;
mod merging;
mod metrics;
mod page;
mod schema;
#[path = "../support/mod.rs"]
mod support;
mod trace;
mod world;
