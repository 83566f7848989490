//! What the fuzz targets reach beside the public items. Not a part of the interface.

pub use crate::evidence::fuzzing::{Peeked, peek};
pub use crate::manifest::fuzzing::{images, plain};
