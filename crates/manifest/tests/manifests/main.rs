//! Manifests as files: what is accepted, what is refused and how it is told, and what changed between commits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the report of a test")]

mod added;
mod checkout;
mod diff;
mod earlier;
mod folder;
mod golden;
mod left_out;
mod policies;
mod provenance;
mod random_trees;
mod real;
mod refused;
mod rendering;
mod support;
