//! `kpromo snapshot` and the snapshots of `kpromo cip` as a user runs them: bytes, exit codes and requests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod comparing;
mod declared;
mod external;
mod listing;
mod memory;
mod proof;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod unreadable;
