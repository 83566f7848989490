//! What the fuzz targets use besides the public items. Not part of the public interface.

pub use manifest::fuzzing::{images, plain};
pub use trust::fuzzing::{Peeked, peek};
