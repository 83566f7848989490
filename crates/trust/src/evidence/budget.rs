//! Limits the memory for attachments. Anyone with push access to staging can attach any amount, and a run examines many
//! images concurrently.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// The maximum size of the attachments that are read for one image and its parts, in bytes.
pub(super) const BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The size up to which attachments need no permit, in bytes. Nearly all images have less.
const SMALL: u64 = 2 * 1024 * 1024;

/// The memory budget for attachments: any number of images with small attachments, but only one image at a time with large
/// ones.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Budget {
    /// Returns the allowance of one image. Dropping it releases its permit.
    pub fn share(&self) -> ImageBudget {
        ImageBudget { budget: self.clone(), taken: AtomicU64::new(0), permit: OnceCell::new() }
    }
}

/// The allowance of one image and its parts.
#[derive(Debug)]
pub struct ImageBudget {
    budget: Budget,
    taken: AtomicU64,
    /// The permit for large attachments. Set once the image needs it.
    permit: OnceCell<Option<OwnedSemaphorePermit>>,
}

impl ImageBudget {
    /// Takes bytes from the allowance. Returns `false` if too few are left. Waits for the permit if the image has large
    /// attachments.
    pub(super) async fn take(&self, bytes: u64) -> bool {
        let with = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= BYTES_MAX);
        let Ok(before) = self.taken.fetch_update(Relaxed, Relaxed, with) else { return false };
        if before + bytes > SMALL {
            let Budget(only) = &self.budget;
            // The semaphore is never closed.
            self.permit.get_or_init(async || Arc::clone(only).acquire_owned().await.ok()).await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn small_attachments_do_not_wait_and_large_ones_are_read_for_one_image_at_a_time() {
        let budget = Budget::default();
        let [one, other] = [budget.share(), budget.share()];
        assert!(one.take(SMALL).await && other.take(SMALL).await);
        assert!(one.take(SMALL).await && one.take(1).await, "an image does not wait for its own permit");
        assert_eq!(other.take(1).now_or_never(), None);
        assert!(budget.share().take(SMALL).await, "small attachments do not wait");
        drop(one);
        assert_eq!(other.take(1).now_or_never(), Some(true));
    }

    #[tokio::test]
    async fn the_allowance_of_an_image_is_limited() {
        let budget = Budget::default();
        let share = budget.share();
        assert!(share.take(BYTES_MAX - 1).await);
        assert!(!share.take(2).await && !share.take(u64::MAX).await);
        assert!(share.take(1).await && !share.take(1).await);
    }
}
