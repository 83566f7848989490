//! Manifests as files: accepted manifests, refused manifests with their diagnostics, and changes between commits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic fails the test")]

mod added;
mod checkout;
mod diff;
mod directory;
mod earlier;
mod golden;
mod history;
mod left_out;
mod lint_changes;
mod lint_style;
mod policies;
mod provenance;
mod random_trees;
mod real;
mod refused;
mod rendering;
mod repaired;
mod shards;
mod support;
