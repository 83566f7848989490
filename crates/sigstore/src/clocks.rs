//! How far the clocks of services and of this machine may be apart.

use jiff::SignedDuration;

/// How far the clock of a service may be ahead of ours.
pub(crate) const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(60);
