//! Conditions of registries that several scenarios share.

use crate::protocol::{ConditionsSpec, QuotaSpec};

/// The quota of a host in most scenarios: about 5,000 requests a minute.
pub(super) const QUOTA: QuotaSpec = QuotaSpec { per_second: 83.0, burst: 100 };
/// The latency of a host in most scenarios.
pub(super) const LATENCY_MILLISECONDS: u64 = 20;
/// The conditions of most scenarios.
pub(super) const USUAL: ConditionsSpec =
    ConditionsSpec { latency_milliseconds: LATENCY_MILLISECONDS, quota: Some(QUOTA), ..FREE };
/// No latency, no limits and no faults.
pub(super) const FREE: ConditionsSpec =
    ConditionsSpec { latency_milliseconds: 0, quota: None, per_minute: None, refuses: false, faults: None };
