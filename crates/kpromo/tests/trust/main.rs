//! Promotions with signatures and attestations on a real Sigstore, checked with cosign; and cosign's signatures, checked with
//! kpromo.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod attested;
mod repaired;
mod scanned;
mod signed;
#[path = "../support/mod.rs"]
mod support;
mod world;
