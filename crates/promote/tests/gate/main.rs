//! One gate: nothing is promoted, signed, recorded or summarised unless it has passed Provenance and Validate in the same run,
//! and the plan finds everything that is owed (specification 02, *One gate*).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod parts;
mod scene;
mod stagings;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod writes;
