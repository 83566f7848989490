//! Tests of the public API: other tools verify our signatures, we verify theirs, forgeries are rejected, and misbehaving
//! services are handled.
//!
//! Bundles are made with the real Sigstore of the tests and then altered, so each test also shows that the unaltered bundle is
//! accepted.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests report failures as panics")]

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
