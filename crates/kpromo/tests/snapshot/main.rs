//! `kpromo snapshot` and the snapshots of `kpromo cip` as a user runs them: bytes, exit codes and requests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod comparing;
mod declared;
mod listing;
mod memory;
mod outside;
mod proof;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod unreadable;
