//! Promotion of files, as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod changes;
mod copying;
mod directories;
mod faults;
mod manifest_files;
mod page;
mod recorded;
mod scene;
mod stores;
mod trace;
