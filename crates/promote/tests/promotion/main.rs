//! Promotions between embedded registries over HTTP. The tests count every request.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod authentication;
mod failures;
mod requests;
#[path = "../support/mod.rs"]
mod support;
mod verdicts;
mod worlds;
