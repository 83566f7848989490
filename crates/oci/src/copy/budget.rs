//! Memory budgets for blobs that are copied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use oci_types::Host;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::relay::WINDOW;

/// The maximum size, in bytes, of all blobs in memory that fit into one window, over all images.
const SMALL_TOGETHER: usize = 48 * 1024 * 1024;
/// How many larger blobs are read concurrently, over all images. Each uses one window of memory.
const LARGE_AT_ONCE: usize = 4;
/// The same limits for each host that is behind. In the meantime such a host keeps at least that many connections open.
const SMALL_BEHIND: usize = 4 * 1024 * 1024;
const LARGE_BEHIND: usize = 2;
/// How many requests about blobs one host may have at once, including those that wait at its gate. Each uses about 10 KB.
/// This bounds only memory; the gate limits the load on the host.
const REQUESTS: usize = 128;

/// The memory budgets. Each host that is behind has its own budget, so that it does not use up the budget of other hosts.
#[derive(Debug)]
pub(super) struct Budgets {
    common: Budget,
    behind: Mutex<HashMap<Host, Budget>>,
    requests: Mutex<HashMap<Host, Arc<Semaphore>>>,
}

#[derive(Clone, Debug)]
struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            common: Budget::new(SMALL_TOGETHER, LARGE_AT_ONCE),
            behind: Mutex::default(),
            requests: Mutex::default(),
        }
    }
}

impl Budgets {
    /// Waits for memory for a blob of `size` bytes: from the budget of the host `behind`, or from the common one.
    pub(super) async fn wait(&self, size: u64, behind: Option<&Host>) -> OwnedSemaphorePermit {
        let budget = match behind {
            None => self.common.clone(),
            Some(host) => {
                let mut shares = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
                let share = || Budget::new(SMALL_BEHIND, LARGE_BEHIND);
                shares.entry(host.clone()).or_insert_with(share).clone()
            }
        };
        let (semaphore, permits) = match u32::try_from(size) {
            Ok(bytes) if size <= WINDOW => (budget.small, bytes),
            _ => (budget.large, 1),
        };
        acquire(semaphore, permits).await
    }

    /// Waits until one more request to a host may use memory. The holder of this permit must not wait for memory for a blob.
    pub(super) async fn request(&self, host: &Host) -> OwnedSemaphorePermit {
        let semaphore = {
            let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(requests.entry(host.clone()).or_insert_with(|| Arc::new(Semaphore::new(REQUESTS))))
        };
        acquire(semaphore, 1).await
    }
}

async fn acquire(semaphore: Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    #[expect(
        clippy::expect_used,
        reason = "the semaphore is never closed, and no caller acquires more than its total"
    )]
    semaphore.acquire_many_owned(permits).await.expect("the semaphore is open")
}

impl Budget {
    fn new(small: usize, large: usize) -> Self {
        Self { small: Arc::new(Semaphore::new(small)), large: Arc::new(Semaphore::new(large)) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_host_that_is_behind_does_not_use_the_budget_of_others() {
        let budgets = Budgets::default();
        let (slow, other): (Host, Host) = ("slow.io".parse().unwrap(), "other.io".parse().unwrap());
        let held = budgets.wait(WINDOW, Some(&slow)).await;
        assert!(budgets.wait(1, Some(&slow)).now_or_never().is_none(), "its budget is used up");
        assert!(budgets.wait(WINDOW, Some(&other)).now_or_never().is_some());
        assert!(budgets.wait(WINDOW, None).now_or_never().is_some());
        drop(held);
        assert!(budgets.wait(1, Some(&slow)).now_or_never().is_some());
    }
}
