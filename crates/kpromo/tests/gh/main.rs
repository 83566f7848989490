//! Releases of GitHub to object stores, as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "the tests of files use the rest of it")]
#[path = "../files/stores.rs"]
mod stores;

mod copying;
mod faults;
mod interrupted;
mod limits;
mod listing;
mod object_stores;
mod recorded;
mod scene;
mod wrong;
