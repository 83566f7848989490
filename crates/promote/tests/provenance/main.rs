//! Provenance and Validate between embedded registries: what is attached to staging images decides whether they are promoted,
//! and looking costs the expected number of requests. These tests sign with keys. The rights of certificate identities are
//! covered by `judging.rs`, and signatures by real services by the outside tests of kpromo.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod images;
mod indexes;
mod late;
mod scene;
#[path = "../support/mod.rs"]
mod support;
