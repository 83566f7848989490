//! The warnings of stores.

use std::fmt;
use std::sync::Arc;

/// Receives the warnings of stores. By default, they are logged.
#[derive(Clone)]
pub struct Warnings(Arc<dyn Fn(String) + Send + Sync>);

impl Warnings {
    /// Creates a receiver that passes each warning to a function.
    pub fn to(receive: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Passes a warning on.
    pub(crate) fn warn(&self, warning: String) {
        (self.0)(warning);
    }
}

impl Default for Warnings {
    fn default() -> Self {
        Self::to(|warning| tracing::warn!("{warning}"))
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warnings")
    }
}
