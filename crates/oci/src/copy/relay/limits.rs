//! Memory and time limits of a relay.

use std::time::Duration;

/// The maximum amount of a blob that is kept in memory, in bytes. The piece that exceeds it is not counted.
pub(in super::super) const WINDOW: u64 = 4 * 1024 * 1024;
/// The total time, for one blob, that a destination may delay the others before it is served from the spool.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(1);
/// The same limit if the spool is full. Then the destination is dropped.
pub(super) const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// How long a stream may stall because no destination takes anything, before the rest goes to the spool.
pub(super) const STANDSTILL: Duration = Duration::from_secs(10);
/// The same limit if the spool is full. Requests have timeouts of their own; this limit is for uploads that are not admitted.
pub(super) const STUCK: Duration = Duration::from_secs(300);
/// How long a blob that was read completely stays in memory for its destinations before any of them is done. From then on it
/// stays as long as the patience with the others lasts.
pub(super) const AT_THE_LONGEST: Duration = Duration::from_secs(5);
