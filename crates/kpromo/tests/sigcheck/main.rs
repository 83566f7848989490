//! `kpromo sigcheck`, and `--repair` of `kpromo cip`, as a user runs them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod command_line;
mod interrupted;
mod repair;
mod scene;
#[path = "../support/mod.rs"]
mod support;
