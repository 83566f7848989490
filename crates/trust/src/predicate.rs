//! The predicate types that kpromo both writes and reads.

/// The predicate type of promotion records.
pub const PROMOTION_TYPE: &str = "https://k8s.io/promo-tools/promotion/v1";
/// The predicate type of verification summaries (SLSA *Verification Summary Attestation*, 1.0).
pub const SUMMARY_TYPE: &str = "https://slsa.dev/verification_summary/v1";
