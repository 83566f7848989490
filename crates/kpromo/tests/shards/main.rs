//! Shards of one promotion, each a process of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod command_line;
mod owners;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod union;
