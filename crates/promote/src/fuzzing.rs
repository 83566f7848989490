//! What the fuzz targets reach beside the public items. Not a part of the interface.

pub use manifest::fuzzing::{images, plain};
pub use trust::fuzzing::{Peeked, peek};
