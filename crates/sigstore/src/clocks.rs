//! How far the clocks of services and the local clock may differ.

use jiff::SignedDuration;

/// How far the clock of a service may be ahead of the local clock.
pub(crate) const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(60);
