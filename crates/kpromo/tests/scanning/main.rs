//! Vulnerabilities: runs that only scan, and the gate within a promotion, by the binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod attested;
mod files;
mod gate;
#[path = "../support/mod.rs"]
mod support;
mod survey;
mod world;
