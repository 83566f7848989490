//! The table of the specification's section *Registries as they are*. Each row is a run between embedded registries, one of
//! which has the quirk of the row.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod authentication;
mod line;
mod reading;
mod row;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod writing;
