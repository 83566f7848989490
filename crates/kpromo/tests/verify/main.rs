//! `kpromo verify` as a user runs it: results, output and exit codes. The signatures are made with the tests' own keys.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod command_line;
mod images;
mod lists;
mod scene;
#[path = "../support/mod.rs"]
mod support;
