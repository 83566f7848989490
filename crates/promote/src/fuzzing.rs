//! What the fuzz targets reach beside the public items. Not a part of the interface.

pub use manifest::fuzzing::{images, plain};

pub use crate::evidence::fuzzing::{Peeked, peek};
