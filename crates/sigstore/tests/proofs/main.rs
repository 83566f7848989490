//! The crate by its public face: what it signs others verify, what others sign it verifies, what is forged it refuses, and
//! services that misbehave get nothing out of it.
//!
//! Bundles are made by the real Sigstore of the tests and then altered, so that each test also shows that what it has not
//! altered is accepted.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how tests report")]

mod bounds;
mod conformance;
mod forged;
mod forged_logs;
mod identities;
mod layers;
mod many;
mod misbehaving;
mod support;
mod trusting;
mod with_cosign;
mod with_slsa_verifier;
