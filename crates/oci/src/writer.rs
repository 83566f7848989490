//! Write access to registries.

use crate::reader::Reader;

/// Writes to registries.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Read access without push permission.
    reader: Reader,
    /// Read access with the tokens for writing, so that a check before a write needs no other tokens.
    pub(crate) own: Reader,
}

impl Writer {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { own: reader.clone().pushing(), reader }
    }

    /// Returns read access without push permission.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}
