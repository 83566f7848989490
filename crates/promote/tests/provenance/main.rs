//! Provenance and Validate between embedded registries: attachments of staging images decide whether they are promoted, and
//! reading them costs the expected number of requests. These tests sign with keys. The tests of certificate identities are in
//! `judging` of the crate `trust`, and those with real signing services in kpromo.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod images;
mod indexes;
mod late;
mod scene;
#[path = "../support/mod.rs"]
mod support;
