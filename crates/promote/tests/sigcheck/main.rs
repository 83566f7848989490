//! `kpromo sigcheck` against embedded registries: what is found, what is repaired, and with which requests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod damage;
mod heal;
mod scene;
mod subjects;
#[path = "../support/mod.rs"]
mod support;
mod verdicts;
