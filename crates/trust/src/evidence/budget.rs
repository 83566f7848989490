//! How much of what is attached to images is held at once. Anybody who may push to staging may attach what they like, and a
//! run looks at many images together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// The most that is read of what is attached to one image and its parts, in bytes.
pub(super) const BYTES_MAX: u64 = 128 * 1024 * 1024;
/// What of it is little, in bytes: more than nearly all images have.
const LITTLE: u64 = 2 * 1024 * 1024;

/// Room for what is attached: for any number of images that have little, and one at a time that has much.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Budget {
    /// The part of one image, which is given back when it is dropped.
    pub fn share(&self) -> ImageBudget {
        ImageBudget { budget: self.clone(), taken: AtomicU64::new(0), much: OnceCell::new() }
    }
}

/// What one image, with its parts, may have read.
#[derive(Debug)]
pub struct ImageBudget {
    budget: Budget,
    taken: AtomicU64,
    /// Held where the image has much.
    much: OnceCell<Option<OwnedSemaphorePermit>>,
}

impl ImageBudget {
    /// Takes so many bytes, waiting while another image has much; whether there were so many left.
    pub(super) async fn take(&self, bytes: u64) -> bool {
        let with = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= BYTES_MAX);
        let Ok(before) = self.taken.fetch_update(Relaxed, Relaxed, with) else { return false };
        if before + bytes > LITTLE {
            let Budget(only) = &self.budget;
            // Nobody closes it.
            self.much.get_or_init(async || Arc::clone(only).acquire_owned().await.ok()).await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn little_is_taken_at_once_and_much_by_one_image_at_a_time() {
        let budget = Budget::default();
        let [one, other] = [budget.share(), budget.share()];
        assert!(one.take(LITTLE).await && other.take(LITTLE).await);
        assert!(one.take(LITTLE).await && one.take(1).await, "it waits for itself");
        assert_eq!(other.take(1).now_or_never(), None);
        assert!(budget.share().take(LITTLE).await, "what is little does not wait");
        drop(one);
        assert_eq!(other.take(1).now_or_never(), Some(true));
    }

    #[tokio::test]
    async fn no_image_takes_more_than_there_is() {
        let budget = Budget::default();
        let share = budget.share();
        assert!(share.take(BYTES_MAX - 1).await);
        assert!(!share.take(2).await && !share.take(u64::MAX).await);
        assert!(share.take(1).await && !share.take(1).await);
    }
}
