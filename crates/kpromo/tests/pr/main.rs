//! `kpromo pr` and `kpromo manifest add`, against a forge with real git and an embedded registry.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod add;
mod branches;
mod dry_run;
mod hooks;
mod interrupted;
mod policy;
mod recorded;
mod refused;
mod repeated;
mod scene;
mod secrets;

#[path = "../support/mod.rs"]
mod support;
