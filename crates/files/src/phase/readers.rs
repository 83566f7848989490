//! The stores of a run, for reading and for writing.

use std::sync::Arc;

use crate::stores::{StoreRead, StoreWrite};

/// The stores of a project for reading.
#[derive(Clone, Debug)]
pub(super) struct ProjectReaders {
    pub(super) source: Arc<dyn StoreRead>,
    pub(super) destinations: Vec<Arc<dyn StoreRead>>,
}

/// The stores of a run for reading.
#[derive(Clone, Debug)]
pub struct Readers {
    pub(super) projects: Vec<ProjectReaders>,
}

/// The stores of a run for writing. Only [`Confirmed::when`](super::Confirmed::when) gives access to them.
#[derive(Debug)]
pub struct Writers {
    /// The destinations of each project.
    pub(super) projects: Vec<Vec<Arc<dyn StoreWrite>>>,
}
