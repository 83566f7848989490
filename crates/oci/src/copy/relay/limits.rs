//! How much a relay keeps, and how long it waits.

use std::time::Duration;

/// The most that is kept of a blob in memory, in bytes, not counting the piece that goes beyond it.
pub(in super::super) const WINDOW: u64 = 4 * 1024 * 1024;
/// How long, in sum, a destination may hold up the others over one blob before it is served from the spool.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(1);
/// The same where the spool has no room: then the destination is let go.
pub(super) const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// How long a stream may stand still because no destination takes anything, before the rest goes to the spool.
pub(super) const STANDSTILL: Duration = Duration::from_secs(10);
/// The same where the spool has no room. Requests have timeouts of their own; this is for uploads that are not even admitted.
pub(super) const STUCK: Duration = Duration::from_secs(300);
/// How long what has all been read stays in memory for its destinations, before any of them is done. From then on it stays
/// as long as the others would be waited for.
pub(super) const AT_THE_LONGEST: Duration = Duration::from_secs(5);
