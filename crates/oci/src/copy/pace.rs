//! Tracks which hosts were behind recently, so that the other hosts do not wait long for them again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oci_types::Host;

use super::relay::PATIENCE;

/// The total time, for one blob, that the other hosts wait for a host that was behind with its previous blob.
const LITTLE_PATIENCE: Duration = Duration::from_millis(100);

/// The hosts that were behind with the last blob that they received together with others.
#[derive(Debug, Default)]
pub(super) struct Pace {
    behind: Mutex<HashSet<Host>>,
}

impl Pace {
    /// Returns how long a host may delay the others for one blob.
    pub(super) fn patience(&self, host: &Host) -> Duration {
        let behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        if behind.contains(host) { LITTLE_PATIENCE } else { PATIENCE }
    }

    /// Records whether a host was behind.
    pub(super) fn note(&self, host: &Host, is_behind: bool) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_behind {
            behind.remove(host);
        } else if !behind.contains(host) {
            behind.insert(host.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_was_behind_gets_less_patience_until_it_keeps_up() {
        let pace = Pace::default();
        let host: Host = "slow.io".parse().unwrap();
        assert_eq!(pace.patience(&host), PATIENCE);
        pace.note(&host, true);
        assert_eq!(pace.patience(&host), LITTLE_PATIENCE);
        pace.note(&host, false);
        assert_eq!(pace.patience(&host), PATIENCE);
    }
}
